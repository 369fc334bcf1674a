"""The map worker under its short name: `python -m wcord.lab.maps RUN`."""

import sys

from .reading.map_worker import main

if __name__ == "__main__":
    sys.exit(main())
