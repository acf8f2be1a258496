"""The `mnn` command."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mnn._version import __version__
from mnn.cli.output import USAGE, Parser, guarded

__all__ = ["main"]


def _parser() -> Parser:
    from mnn.cli import bench, classify, demo, info

    parser = Parser(prog="mnn", description="Run and inspect .mnn models.")
    parser.add_argument("--version", action="version", version=f"mnn {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, module, text in (
        ("demo", demo, "classify the packaged digits and draw the results"),
        ("run", classify, "classify pictures with a model"),
        ("info", info, "show what a model file holds"),
        ("bench", bench, "time a model, kernel by kernel"),
    ):
        command = commands.add_parser(name, help=text, description=text)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0: done, 1: failed, 2: wrong arguments."""
    parser = _parser()
    try:
        options = parser.parse_args(arguments)
    except SystemExit as stop:
        return int(stop.code or 0)
    if options.command is None:
        parser.print_help(sys.stderr)
        return USAGE
    return guarded(lambda: int(options.run(options)))


if __name__ == "__main__":
    sys.exit(main())
