"""Finished runs that ship with the lab, and the tools that make them."""
