"""Sweeps over settings and seeds, reports with intervals, estimates of time and disk, `doctor`."""
