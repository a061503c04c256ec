"""``fpbench ablate``: vary one thing, keep the rest, and follow the scores."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from fpbench.cli.tables import console, number


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
@click.option("--bag-size", default=10, show_default=True, type=click.IntRange(1),
              help="Training images in a bag, for --vary bags-per-source.")  # fmt: skip
@click.option("--seeds", default=3, show_default=True, type=click.IntRange(1),
              help="Number of seeds: 0, 1, ...")  # fmt: skip
@click.option("--budget", type=click.Choice(["smoke", "small", "full"]), default="small",
              show_default=True, help="Training length, unless that is varied.")  # fmt: skip
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE",
              help="A parameter of the method; may be repeated.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True,
              help="Folder for records, table and curve.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--offline", is_flag=True, help="Never ask the Hub.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as one JSON document.")
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
    out: Path,
    device: str,
    offline: bool,
    as_json: bool,
) -> None:
    """Vary one thing and follow the scores: a table and a curve with bands.

    Made from ordinary jobs, so what is finished is not run again. All sizes of bags come from
    one job a seed, and so do all numbers of bags (bags-per-source), which say how many bags of
    training images a source's fingerprint is the mean of.
    """
    from fpbench.cli.progress import progress_bars
    from fpbench.datasets.load import load
    from fpbench.runs.ablation import (
        Ablation,
        ablation_folder,
        collect_ablation,
        default_values,
        parse_values,
        plan_ablation,
        write_ablation,
    )
    from fpbench.runs.plan import parse_settings
    from fpbench.runs.store import Store

    images = load(dataset, offline=offline)
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
    store = Store(out)
    store.check_writable()
    jobs = list({spec.key: spec for point in points for spec in point.jobs}.values())
    for position, spec in enumerate(jobs, start=1):
        place = f"[{position}/{len(jobs)}] {spec.title}"
        if store.find(spec) is not None:
            click.echo(f"{place}: done before", err=True)
            continue
        # Imported here, because it imports torch: showing finished jobs must be quick.
        from fpbench.runs.execute import execute

        click.echo(f"{place}: running", err=True)
        with progress_bars(spec.title) as progress:
            record = execute(
                spec, store, device=device, progress=progress, figures=False, offline=offline
            )
        if record.status != "done":
            click.echo(f"{place}: {record.status}: {record.reason}", err=True)
            sys.exit(1)
    first = points[0].jobs[0]
    ablation = Ablation(
        method=f"{first.method}:{first.variant}",
        dataset=first.dataset,
        content_hash=first.content_hash,
        varied=vary,
        budget=budget,
        bag_size=bag_size if vary == "bags-per-source" else None,
        rows=collect_ablation(points, vary, store, scores),
    )
    paths = write_ablation(ablation_folder(store, points, vary), ablation)
    if as_json:
        click.echo(ablation.model_dump_json(indent=2))
        return
    from rich import box
    from rich.table import Table

    counted = "1 seed" if seeds == 1 else f"{seeds} seeds"
    title = f"{ablation.method} on {ablation.dataset}, {vary} varied, {counted}"
    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left")
    headings = [vary, "score", "mean", "95 % interval", "chance", "n"]
    if ablation.bag_size is not None:
        table.title = f"{title}, bags of {ablation.bag_size} training images"
        headings.append("training images")
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
    for path in paths:
        click.echo(str(path))
