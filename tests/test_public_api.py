"""The public interface changes only together with `tests/public_api.json`."""

from __future__ import annotations

from scripts.public_api import current, differences, recorded, text_of


def test_interface_is_the_recorded_one() -> None:
    lines = differences(recorded(), current())
    assert not lines, (
        "the public interface changed:\n  "
        + "\n  ".join(lines)
        + "\nIf that is meant, run `python -m scripts.public_api` and commit the file."
    )


def test_recorded_file_is_as_the_script_writes_it() -> None:
    from scripts.public_api import TARGET

    assert TARGET.read_text(encoding="utf-8") == text_of(recorded())


def test_changes_are_told_apart() -> None:
    before = {"m": {"gone": ["function", "(x)"], "changed": ["function", "(x)"], "same": ["a", ""]}}
    after = {"m": {"changed": ["function", "(x, y)"], "new": ["class", "()"], "same": ["a", ""]}}
    assert differences(before, after) == [
        "m.changed was function (x)",
        "          is  function (x, y)",
        "m.gone is gone",
        "m.new is new: class ()",
    ]
