"""What the commands share: exit codes, messages without tracebacks, tables, labels."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from mnn.errors import MnnError

__all__ = ["FAILED", "OK", "USAGE", "CommandError", "Parser", "guarded", "read_labels", "table"]

OK, FAILED, USAGE = 0, 1, 2


class CommandError(Exception):
    """A command cannot do what was asked; the message is all the user sees."""


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors exit with USAGE."""

    def refuse(self, message: str) -> int:
        """Print the usage and what is wrong with the arguments, and return USAGE."""
        self.print_usage(sys.stderr)
        print(f"{self.prog}: error: {message}", file=sys.stderr)
        return USAGE


def guarded(command: Callable[[], int]) -> int:
    """Run a command; errors become one line on stderr and an exit code."""
    try:
        return command()
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return OK
    except FileNotFoundError as error:
        print(f"error: {error.filename or error}: no such file", file=sys.stderr)
    except OSError as error:
        print(f"error: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
    except (MnnError, CommandError) as error:
        print(f"error: {error}", file=sys.stderr)
    except MemoryError:
        print("error: not enough memory", file=sys.stderr)
    return FAILED


def table(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as text in aligned columns."""
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def read_labels(path: str | None) -> list[str]:
    """Return the lines of a label file, [] for none."""
    if path is None:
        return []
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise CommandError(f"{path}: labels must be UTF-8 text, one per line") from error
