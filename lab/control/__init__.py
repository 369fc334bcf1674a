"""Choosing, starting and steering runs from a page."""
