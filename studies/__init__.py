"""The measurements of results/: `python -m studies NAME`, declared in studies.yaml."""
