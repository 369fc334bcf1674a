"""Figures of matplotlib for notebooks, README and results: pure functions from data to figures."""

from .plots import *  # noqa: F403
