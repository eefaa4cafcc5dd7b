"""``python -m nbplat.ui.cli``: the command line where no script is installed, and for child processes."""

import sys

from nbplat.ui.cli import main

sys.exit(main())
