"""``fpbench verify``: recompute a record's scores, and run its job again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from fpbench.cli.options import FiniteRange, PathName


@click.command()
@click.argument("records", nargs=-1, required=True, type=PathName())
@click.option("--rerun/--no-rerun", default=True, help="Run the job again where that is possible.")
@click.option("--require-rerun", is_flag=True, help="End with 1 if the job could not be run again.")
@click.option("--dataset", metavar="NAME|FOLDER|HUB_ID", default=None,
              help="Where the record's dataset is, if not under its name.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--tolerance", type=FiniteRange(0), default=0.5, show_default=True,
              help="Half-widths of its interval that a score may move by in a rerun.")  # fmt: skip
@click.option("--offline", is_flag=True, help="Never ask the Hub.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def verify(
    records: tuple[Path, ...],
    rerun: bool,
    require_rerun: bool,
    dataset: str | None,
    device: str,
    tolerance: float,
    offline: bool,
    as_json: bool,
) -> None:
    """Verify RECORDS: bitwise, within tolerance, reproduced within seed variation, or mismatch.

    Scores are computed again from the stored predictions; then the job is run again, and what
    processor and libraries differ is told. Ends with 1 on a mismatch.
    """
    from fpbench.cli.progress import progress_bars
    from fpbench.leaderboard.audit.verify import verify as verify_record

    found = []
    for path in records:
        with progress_bars(f"verify {path}") as progress:
            found.append(
                verify_record(
                    path,
                    rerun=rerun,
                    dataset=dataset,
                    device=device,
                    tolerance=tolerance,
                    offline=offline,
                    progress=progress,
                )
            )
        if not as_json:
            click.echo(f"{found[-1].path}: {found[-1].outcome}")
            for step in found[-1].steps:
                click.echo(f"  {step.what:<11} {step.outcome}")
                for line in step.details[:20]:
                    click.echo(f"    {line}")
                if len(step.details) > 20:
                    click.echo(f"    and {len(step.details) - 20} more")
    if as_json:
        documents = [
            {
                "record": str(item.path),
                "outcome": item.outcome,
                "steps": [
                    {"what": s.what, "outcome": s.outcome, "details": list(s.details)}
                    for s in item.steps
                ],
            }
            for item in found
        ]
        click.echo(json.dumps(documents, indent=2))
    unrun = [
        item
        for item in found
        if not any(s.what == "rerun" and s.outcome != "not checked" for s in item.steps)
    ]
    if any(item.outcome == "mismatch" for item in found) or (require_rerun and unrun):
        sys.exit(1)
