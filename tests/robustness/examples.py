"""Repeats what once went wrong and prints a line each: ``python tests/robustness/examples.py``.

A line says what was tried, what fpbench said, and whether that is right; the exit code is 1 if
anything is not. Each has a test of its own kind elsewhere; this shows all of them in one place.
"""

import os
import sys
import tempfile
from pathlib import Path

from one_bad_part import one_bad_part
from smaller import smaller
from tried import Tried
from wrong_numbers import wrong_numbers


def main() -> int:
    """Print a line each, and say whether all are right."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        tried = Tried(Path(folder))
        (Path(folder) / "here").mkdir()
        os.chdir(Path(folder) / "here")
        try:
            for part in (wrong_numbers, one_bad_part, smaller):
                part(tried)
                tried.show()
        finally:
            os.chdir(before)
    wrong = sum(not right for *_, right in tried.lines)
    print(f"{len(tried.lines)} examples, {wrong} not as they should be")  # noqa: T201
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
