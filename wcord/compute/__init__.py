"""The base of all other packages: seeds and draws, ranks of torchrun, memory formats."""
