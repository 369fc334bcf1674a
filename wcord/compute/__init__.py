"""What every other room builds on: seeds of draws, ranks of torchrun, memory formats of devices."""
