"""What `wcord app` runs in an installed package: the text of the repository's `app.py`."""

from wcord.lab.dashboard import show

show()
