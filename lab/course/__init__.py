"""What the notebooks and the tour are made with."""
