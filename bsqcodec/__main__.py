"""`python -m bsqcodec`: the same as the installed command."""

import sys

from bsqcodec.cli.main import main

sys.exit(main())
