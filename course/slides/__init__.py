"""The slides of the lecture and its script."""
