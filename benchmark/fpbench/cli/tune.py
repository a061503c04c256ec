"""``fpbench tune``: rates and lengths of learned methods from one grid, on a development set."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fpbench.cli.options import PathName, running_options, seeds_option
from fpbench.cli.tables import console, number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fpbench.runs.tuning import Choice


@click.command()
@click.option("--method", "methods", required=True, multiple=True, metavar="NAME[:VARIANT]",
              help="A learned method, or all; may be repeated.")  # fmt: skip
@click.option("--dataset", default=None, metavar="NAME|FOLDER",
              help="The development set.  [default: gm-dev]")  # fmt: skip
@click.option("--table", type=PathName(dir_okay=False), default=Path("docs/tuning.csv"),
              show_default=True, help="CSV file that the points are added to.")  # fmt: skip
@seeds_option(1)
@running_options
def tune(
    methods: tuple[str, ...], dataset: str | None, table: Path, seeds: int, **running: Any
) -> None:
    """Run the grid of rates and lengths of learned methods, and say what it chooses.

    One grid for all methods, ordinary jobs of budget small, so that what is finished is not run
    again. A board's dataset is refused: a setting that is chosen where it is ranked proves
    nothing.
    """
    from fpbench.cli.jobs import Problems, exit_code, find_sides, run_jobs
    from fpbench.datasets.card import is_development
    from fpbench.errors import BadInput
    from fpbench.runs.plan import EVERYTHING
    from fpbench.runs.tuning import (
        DATASET,
        Cell,
        choices,
        learned_methods,
        plan_tuning,
        write_table,
    )

    name = dataset or DATASET
    problems = Problems()
    sides = find_sides([name], problems, offline=running["offline"])
    if not sides:
        problems.tell()
        sys.exit(2)
    side = sides[0]
    if not is_development(side.name):
        raise BadInput(
            f"{side.name} is no development set, so settings that are chosen on it could not be "
            f"compared there; use {DATASET}, or say `purpose: development` in its recipe.yaml."
        )
    asked = [m for m in methods if m != EVERYTHING]
    if EVERYTHING in methods:
        asked += learned_methods()
    plan = plan_tuning(list(dict.fromkeys(asked)), side, range(seeds))
    _, records = run_jobs(plan, problems, None, **running)
    cells = write_table(table, [Cell.of(job, record) for job, record in records])
    found = choices(cell for cell in cells if cell.dataset == side.revision)
    _show(found)
    click.echo(f"table    {table}")
    problems.tell()
    sys.exit(exit_code(records, problems))


def _show(found: Sequence[Choice]) -> None:
    """Print what is chosen."""
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD)
    for heading in ("method", "version", "grid", "rate", "passes", "accuracy", ""):
        shown.add_column(heading, justify="left" if heading in ("method", "") else "right")
    for choice in found:
        note = "" if choice.complete else "incomplete: no choice yet"
        if choice.complete and choice.at_edge:
            note = "at the edge of the grid"
        shown.add_row(
            choice.method,
            choice.version,
            f"{choice.done}/{choice.asked}",
            "" if choice.rate is None else f"{choice.rate:g}",
            "" if choice.passes is None else str(choice.passes),
            number(choice.accuracy),
            note,
        )
    console().print(shown)
