"""``fpbench run``: score methods on datasets."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fpbench.cli.options import time_limit_option
from fpbench.cli.tables import console, interval, number

if TYPE_CHECKING:
    from fpbench.runs.job import JobSpec
    from fpbench.runs.record import Record

_NAMED_SCORES = (
    ("accuracy", "accuracy, generators only"),
    ("accuracy_with_real", "accuracy, Real included"),
    ("accuracy_bag10", "accuracy, bags of 10"),
    ("accuracy_bag100", "accuracy, bags of 100"),
    ("auc", "AUC, generators one v. rest"),
    ("auc_real", "AUC, real v. generated"),
    ("probe_accuracy", "accuracy of the common probe"),
    ("fdr", "FDR-v1"),
    ("decorrelation_margin", "decorrelation margin"),
    ("purity", "purity of 10 neighbours"),
    ("silhouette", "silhouette"),
)
"""The scores of the table; the others stand in the record."""


@click.command()
@click.option("--method", "methods", multiple=True, required=True, metavar="NAME[:VARIANT]",
              help="A method, or 'all'; may be repeated.")  # fmt: skip
@click.option("--dataset", "datasets", multiple=True, required=True, metavar="NAME|FOLDER|HUB_ID",
              help="A dataset, or 'all'; may be repeated.")  # fmt: skip
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(1),
              help="Number of seeds: 0, 1, ...")  # fmt: skip
@click.option("--folds", type=click.IntRange(3), default=None, metavar="K",
              help="K-fold cross-validation instead of the dataset's splits.")  # fmt: skip
@click.option("--budget", type=click.Choice(["smoke", "small", "full"]), default="small",
              show_default=True, help="Training length.")  # fmt: skip
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE",
              help="A parameter of the method; may be repeated.")  # fmt: skip
@click.option("--control", type=click.Choice(["none", "shuffled-labels"]), default="none",
              help="Null control: train on shuffled labels.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True,
              help="Folder for records, predictions and figures.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@time_limit_option
@click.option("--figures/--no-figures", default=True, help="Draw figures.")
@click.option("--offline", is_flag=True, help="Never ask the Hub.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document of all records.")
def run(
    methods: tuple[str, ...],
    datasets: tuple[str, ...],
    seeds: int,
    folds: int | None,
    budget: Any,
    settings: tuple[str, ...],
    control: Any,
    out: Path,
    device: str,
    time_limit: float | None,
    figures: bool,
    offline: bool,
    as_json: bool,
) -> None:
    """Score methods on datasets; finished jobs are shown, not run again."""
    from fpbench.cli.progress import progress_bars
    from fpbench.datasets.load import identify
    from fpbench.registry import card_folders
    from fpbench.runs.plan import EVERYTHING, expand_methods, make_plan, parse_settings
    from fpbench.runs.store import Store

    names = list(
        dict.fromkeys(
            name
            for asked in datasets
            for name in (card_folders() if asked == EVERYTHING else [asked])
        )
    )
    plan = make_plan(
        expand_methods(methods),
        {name: identify(name, offline=offline) for name in names},
        seeds=range(seeds),
        folds=folds,
        budget=budget,
        params=parse_settings(settings),
        control=control,
    )
    store = Store(out)
    store.check_writable()
    records: list[tuple[JobSpec, Record]] = []
    for position, spec in enumerate(plan, start=1):
        record = store.find(spec)
        place = f"[{position}/{len(plan)}] " if len(plan) > 1 else ""
        if record is not None:
            click.echo(f"{place}{spec.title}: done before", err=True)
        else:
            # Imported here, because it imports torch: showing a finished job must be quick.
            from fpbench.runs.execute import execute

            click.echo(f"{place}{spec.title}: running", err=True)
            with progress_bars(spec.title) as progress:
                record = execute(
                    spec,
                    store,
                    device=device,
                    progress=progress,
                    figures=figures,
                    offline=offline,
                    time_limit=time_limit,
                )
        records.append((spec, record))
        if record.status != "done":
            click.echo(f"{place}{spec.title}: {record.status}: {record.reason}", err=True)
        elif not as_json:
            _show(spec, record, store.folder(spec))
    if as_json:
        documents = [record.model_dump(mode="json") for _, record in records]
        click.echo(json.dumps(documents, indent=2))
    elif len(records) > 1:
        _compare(records)
    if any(record.status == "failed" for _, record in records):
        sys.exit(1)


def _show(spec: JobSpec, record: Record, folder: Path) -> None:
    """Print one job's scores, and where its files lie."""
    from rich import box
    from rich.table import Table

    table = Table(title=spec.title, box=box.SIMPLE_HEAD, title_justify="left")
    for heading in ("score", "value", "95 % interval", "chance", "n"):
        table.add_column(heading, justify="left" if heading == "score" else "right")
    for key, name in _NAMED_SCORES:
        score = record.scores.get(key)
        if score is None:
            continue
        if score.value is None:
            table.add_row(name, "null", score.reason or "", "", str(score.n), style="dim")
            continue
        table.add_row(
            name, number(score.value), interval(score), number(score.chance), str(score.n)
        )
    if record.dataset.shortcut is not None:
        table.add_row("shortcut probe of the audit", number(record.dataset.shortcut), "", "", "")
    screen = console()
    screen.print(table)
    cost = record.cost
    if cost is not None:
        screen.print(
            f"{cost.total_seconds:.1f} s in all (fit {cost.fit_seconds:.1f} s), "
            f"{cost.images_per_second:.0f} images/s, "
            f"peak memory {cost.peak_memory_bytes / 2**30:.2f} GiB, {cost.device}"
        )
    drawn = sorted((folder / "figures").glob("*.png")) if folder.is_dir() else []
    click.echo(f"record   {folder / 'record.json'}")
    if drawn:
        click.echo(f"figures  {folder / 'figures'} ({', '.join(path.stem for path in drawn)})")
    click.echo("")


def _compare(records: list[tuple[JobSpec, Record]]) -> None:
    """Print one row a job, so that several can be read together."""
    from rich import box
    from rich.table import Table

    table = Table(title="All jobs", box=box.SIMPLE_HEAD, title_justify="left")
    for heading in ("job", "accuracy", "95 % interval", "chance", "bags of 10", "AUC", "seconds"):
        table.add_column(heading, justify="left" if heading == "job" else "right")
    for spec, record in records:
        if record.status != "done":
            table.add_row(spec.title, record.status, record.reason or "", style="dim")
            continue
        cells = []
        for key in ("accuracy", "accuracy_bag10", "auc"):
            score = record.scores.get(key)
            cells.append("null" if score is None or score.value is None else number(score.value))
        head = record.scores["accuracy"]
        between, chance = interval(head), number(head.chance)
        seconds = "" if record.cost is None else f"{record.cost.total_seconds:.0f}"
        table.add_row(spec.title, cells[0], between, chance, cells[1], cells[2], seconds)
    console().print(table)
