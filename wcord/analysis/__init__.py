"""Around training: sweeps over settings and seeds, reports with intervals, estimates, `doctor`."""
