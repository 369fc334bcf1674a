"""The studies of results/, declared in studies.yaml and run by `python -m studies NAME`."""
