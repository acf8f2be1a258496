"""Write mnn/format/schema.json from the full facts on the format (a JSON file, the argument)."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parent.parent / "mnn" / "format" / "schema.json"


def compact_field(field: dict[str, Any]) -> list[Any]:
    """Return [name, slot, kind, type, is vector, default] of a field."""
    return [
        field["name"],
        field["slot"],
        field["kind"],
        field["type"],
        int(bool(field.get("vector"))),
        field.get("default"),
    ]


def main() -> int:
    """Read the full facts and write the compact ones."""
    facts = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    compact = {
        "enums": {
            name: {"type": enum["type"], "members": enum["members"]}
            for name, enum in facts["enums"].items()
        },
        "unions": {name: union["members"] for name, union in facts["unions"].items()},
        "tables": {
            name: [compact_field(field) for field in table["fields"]]
            for name, table in facts["tables"].items()
        },
        "newer": facts["newer_than_3_6_1"],
    }
    lines = [json.dumps({key: compact[key]}, separators=(",", ":"))[1:-1] for key in compact]
    TARGET.write_text("{" + ",\n".join(lines) + "}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
