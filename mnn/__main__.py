"""`python -m mnn` is the `mnn` command."""

from __future__ import annotations

import sys

from mnn.cli.main import main

sys.exit(main())
