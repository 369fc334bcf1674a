"""What every other room builds on: seeds and draws, ranks of torchrun, memory formats."""
