"""The `mnnquant` command: quantisation is not available yet."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mnn.cli.output import CommandError, Parser, guarded

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Say that quantisation is not available; 1: failed, 2: wrong arguments."""
    parser = Parser(prog="mnnquant", description="Quantise models (not available yet).")
    parser.add_argument("source", help="a .mnn file")
    parser.add_argument("target", help="the .mnn file to write")
    parser.add_argument("config", help="a JSON file")
    try:
        parser.parse_args(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)

    def work() -> int:
        raise CommandError("quantising models is not available yet; nothing was written")

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
