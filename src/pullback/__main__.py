"""`python -m pullback`: the command line. Read `cli` first; may import only that."""

import sys

from pullback.cli import main

sys.exit(main())
