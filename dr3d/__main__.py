"""Runs the command `dr3d` as `python -m dr3d`."""

import sys

from dr3d.cli import main

sys.exit(main())
