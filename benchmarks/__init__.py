"""Benchmarks of speed, memory and reliability: `make bench`, or `python -m benchmarks.NAME`."""
