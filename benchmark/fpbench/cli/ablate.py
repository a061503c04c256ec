"""``fpbench ablate``: vary one thing, keep the rest, and follow the scores."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from fpbench.cli.options import configuration_options, running_options, seeds_option
from fpbench.cli.tables import console, number

if TYPE_CHECKING:
    from fpbench.runs.ablation import Ablation


@click.command()
@click.option("--method", required=True, metavar="NAME[:VARIANT]", help="The method.")
@click.option("--dataset", required=True, metavar="NAME|FOLDER|HUB_ID", help="The dataset.")
@click.option("--vary", required=True, help="What to vary.",
              type=click.Choice(["bag-size", "bags-per-source", "train-images", "reference-size",
                                 "k", "budget"]),
              )  # fmt: skip
@click.option("--values", default=None, metavar="V,V…",
              help="Its values; by default some that suit the dataset.")  # fmt: skip
@click.option("--score", "scores", multiple=True, metavar="KEY",
              help="A score of the record to follow; may be repeated.  [default: accuracy] "
              "Bag sizes and numbers of bags have scores of their own.")  # fmt: skip
@click.option("--bag-size", default=10, show_default=True, type=click.IntRange(1, 100_000),
              help="Training images in a bag, for --vary bags-per-source.")  # fmt: skip
@seeds_option(3)
@configuration_options
@running_options
def ablate(
    method: str,
    dataset: str,
    vary: Any,
    values: str | None,
    scores: tuple[str, ...],
    bag_size: int,
    seeds: int,
    budget: Any,
    settings: tuple[str, ...],
    **running: Any,
) -> None:
    """Vary one thing and follow the scores: a table and a curve with bands.

    Made from ordinary jobs, so what is finished is not run again. All sizes of bags come from
    one job a seed, and so do all numbers of bags (bags-per-source), which say how many bags of
    training images a source's fingerprint is the mean of.
    """
    from fpbench.cli.jobs import Problems, run_jobs
    from fpbench.cli.progress import progress_bars
    from fpbench.datasets.resolve import resolve
    from fpbench.runs.ablation import (
        ablation_folder,
        ablation_of,
        check_scores,
        default_values,
        parse_values,
        plan_ablation,
    )
    from fpbench.runs.plan import parse_settings

    check_scores(vary, scores)
    with progress_bars(f"load {dataset}") as progress:
        found = resolve(dataset, offline=running["offline"], progress=progress)
        images = found.load(progress)
    chosen = default_values(vary, images) if values is None else parse_values(vary, values)
    points = plan_ablation(
        method,
        dataset,
        images,
        vary,
        chosen,
        seeds=range(seeds),
        budget=budget,
        params=parse_settings(settings),
        bag_size=bag_size,
    )
    problems = Problems()
    store, records = run_jobs(
        [job for point in points for job in point.jobs], problems, None, **running
    )
    if problems.messages or any(record.status != "done" for _, record in records):
        problems.tell()
        click.echo("Not all jobs are finished, so there is no curve.", err=True)
        sys.exit(1)
    ablation = ablation_of(points, vary, store, scores, bag_size)
    if running["as_json"]:
        click.echo(ablation.model_dump_json(indent=2))
        return
    _show(ablation, seeds)
    for path in sorted(ablation_folder(store, points, vary).iterdir()):
        click.echo(str(path))


def _show(ablation: Ablation, seeds: int) -> None:
    """Print the table."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    counted = "1 seed" if seeds == 1 else f"{seeds} seeds"
    title = f"{ablation.method} on {ablation.dataset}, {ablation.varied} varied, {counted}"
    headings = [ablation.varied, "score", "mean", "95 % interval", "chance", "n"]
    if ablation.bag_size is not None:
        title = f"{title}, bags of {ablation.bag_size} training images"
        headings.append("training images")
    table = Table(title=Text(title), box=box.SIMPLE_HEAD, title_justify="left")
    for heading in headings:
        table.add_column(heading, justify="left" if heading == "score" else "right")
    for row in ablation.rows:
        between = "" if row.ci_low is None else f"{number(row.ci_low)} - {number(row.ci_high)}"
        mean = "null" if row.mean is None else number(row.mean)
        cells = [
            str(row.value), row.score, mean, row.reason or between, number(row.chance), str(row.n),
        ]  # fmt: skip
        if row.images is not None:
            cells.append(str(row.images))
        table.add_row(*cells)
    console().print(table)
