"""`python -m wcord` is the command `wcord`."""

import sys

from wcord.cli import main

sys.exit(main())
