"""The `mnnconvert` command: today it inspects `.mnn` files."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mnn._version import __version__
from mnn.cli.info import describe, reference_lines
from mnn.cli.output import OK, USAGE, CommandError, Parser, guarded

__all__ = ["main"]


def _parser() -> Parser:
    parser = Parser(prog="mnnconvert", description="Inspect .mnn models (-f MNN --info).")
    parser.add_argument("-v", "--version", action="version", version=__version__)
    parser.add_argument("-f", "--framework", metavar="NAME", help="MNN; others are not available")
    parser.add_argument("--modelFile", metavar="FILE", help="the model to read")
    parser.add_argument("--info", action="store_true", help="print inputs, outputs and version")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0: done, 1: failed, 2: wrong arguments."""
    parser = _parser()
    try:
        options, unknown = parser.parse_known_args(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)

    if not (options.framework or options.modelFile or options.info or unknown):
        parser.print_help(sys.stderr)
        return USAGE
    if options.info and not options.modelFile:
        return parser.refuse("--modelFile is missing")

    def work() -> int:
        framework = (options.framework or "").upper()
        if framework != "MNN" or not options.info or unknown:
            raise CommandError(
                "converting models is not available yet; mnnconvert -f MNN --modelFile FILE --info "
                "shows what a .mnn file holds"
            )
        print("\n".join(reference_lines(describe(options.modelFile))))
        return OK

    return guarded(work)


if __name__ == "__main__":
    sys.exit(main())
