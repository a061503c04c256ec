"""``fpbench rescore``: bring finished runs to the present scoring rules."""

from __future__ import annotations

from pathlib import Path

import click

from fpbench.cli.options import PathName


@click.command()
@click.argument("runs", nargs=-1, required=True, type=PathName(exists=True))
def rescore(runs: tuple[Path, ...]) -> None:
    """Score RUNS again by the present rules, from their stored predictions.

    A RUN is a run's folder, or a folder of runs. Nothing is trained. A job's name holds the
    version of the rules, so each run's folder is replaced by that of its new job.
    """
    from fpbench.cli.progress import progress_bars
    from fpbench.leaderboard.audit.rescore import rescore as rescore_run
    from fpbench.leaderboard.audit.submit import find_records

    paths = find_records(runs)
    moved = []
    with progress_bars("rescore") as progress:
        for position, path in enumerate(paths, start=1):
            found = rescore_run(path)
            if found is not None:
                moved.append(found)
            progress("rescore", position, len(paths))
    for path in moved:
        click.echo(str(path))
    click.echo(f"{len(moved)} of {len(paths)} runs scored anew; the others are of these rules.")
