"""`python -m dr3d` is the command `dr3d`."""

import sys

from dr3d.cli import main

sys.exit(main())
