"""Tables of names and texts that fit a terminal of 80 columns, whatever its encoding."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

WIDTH = 80
_LEAST = 24  # columns for the last text, however wide the others are


def text_table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], right: Sequence[int] = ()
) -> str:
    """Rows under headings, within `WIDTH` columns; the last column's text is wrapped.

    Args:
        headings: One a column.
        rows: Cells as text; the last may hold several lines.
        right: Positions of columns of numbers, which are aligned right.

    Returns:
        Lines, without a line break at the end.

    >>> print(text_table(["name", "n", "what"], [["a", "12", "one thing"]], right=[1]))
    name   n  what
    ----  --  ---------
    a     12  one thing
    """
    body = [[cell if k == len(row) - 1 else " ".join(cell.split()) for k, cell in enumerate(row)]
            for row in rows]  # fmt: skip
    widths = [
        max(len(line[k]) for line in [list(headings), *body]) for k in range(len(headings) - 1)
    ]
    left = max(_LEAST, WIDTH - sum(widths) - 2 * len(widths))
    wrapped = [
        [
            part
            for line in row[-1].splitlines() or [""]
            for part in textwrap.wrap(line, left, break_on_hyphens=False) or [""]
        ]
        for row in body
    ]
    last = max([len(headings[-1]), *(len(part) for parts in wrapped for part in parts)])

    def line(cells: Sequence[str], end: str) -> str:
        fixed = [
            cell.rjust(width) if k in right else cell.ljust(width)
            for k, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return "  ".join([*fixed, end]).rstrip()

    lines = [line(headings[:-1], headings[-1]), line(["-" * width for width in widths], "-" * last)]
    for row, parts in zip(body, wrapped, strict=True):
        lines.append(line(row[:-1], parts[0]))
        lines += [line([""] * len(widths), part) for part in parts[1:]]
    return "\n".join(lines)
