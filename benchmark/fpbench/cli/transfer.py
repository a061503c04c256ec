"""``fpbench transfer``: train on the sources of one dataset, test on those of another."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fpbench.cli.options import time_limit_option
from fpbench.cli.tables import console, interval, number

if TYPE_CHECKING:
    from fpbench.runs.transferjob import TransferSpec
    from fpbench.runs.transferrecord import TransferRecord

_NAMED_SCORES = (
    ("shared_masked", "shared models, masked"),
    ("shared_unmasked", "shared models, unmasked"),
    ("shared_masked_with_real", "shared models and Real, masked"),
    ("shared_unmasked_with_real", "shared models and Real, unmasked"),
    ("family", "family, Real included"),
    ("disjoint", "family of unseen models"),
    ("auc_real", "AUC, real v. generated"),
)


def _names(ctx: click.Context, parameter: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",") if name.strip())


@click.command()
@click.option("--method", "methods", multiple=True, required=True, metavar="NAME[:VARIANT]",
              help="A method, or 'all'; may be repeated.")  # fmt: skip
@click.option("--train-on", required=True, metavar="NAME|FOLDER|HUB_ID",
              help="The dataset to train on.")  # fmt: skip
@click.option("--test-on", required=True, metavar="NAME|FOLDER|HUB_ID",
              help="The dataset to test on.")  # fmt: skip
@click.option("--train-sources", default="", callback=_names, metavar="NAME,NAME…",
              help="Train on these generators and Real only.")  # fmt: skip
@click.option("--test-sources", default="", callback=_names, metavar="NAME,NAME…",
              help="Test on these generators and Real only.")  # fmt: skip
@click.option("--reference", type=click.Choice(["source", "target"]), default="source",
              show_default=True,
              help="Whose reference images a method is given: of the dataset trained on (source) "
              "or tested on (target).")  # fmt: skip
@click.option("--resize", is_flag=True,
              help="Enlarge the smaller images by nearest neighbour where sizes differ; scores "
              "are then confounded.")  # fmt: skip
@click.option("--seeds", default=1, show_default=True, type=click.IntRange(1),
              help="Number of seeds: 0, 1, ...")  # fmt: skip
@click.option("--budget", type=click.Choice(["smoke", "small", "full"]), default="small",
              show_default=True, help="Training length.")  # fmt: skip
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE",
              help="A parameter of the method; may be repeated.")  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True,
              help="Folder for records and predictions.")  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@time_limit_option
@click.option("--offline", is_flag=True, help="Never ask the Hub.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document of all records.")
def transfer(
    methods: tuple[str, ...],
    train_on: str,
    test_on: str,
    train_sources: tuple[str, ...],
    test_sources: tuple[str, ...],
    reference: Any,
    resize: bool,
    seeds: int,
    budget: Any,
    settings: tuple[str, ...],
    out: Path,
    device: str,
    time_limit: float | None,
    offline: bool,
    as_json: bool,
) -> None:
    """Train on one dataset, test on another; finished jobs are shown, not run again.

    Three questions, never mixed: which of the models that both datasets hold made an image, of
    which family its model is, and the same of models that were not in training.
    """
    from fpbench.cli.progress import progress_bars
    from fpbench.datasets.load import identify
    from fpbench.runs.plan import expand_methods, parse_setting
    from fpbench.runs.store import Store
    from fpbench.runs.transferjob import plan_transfer
    from fpbench.runs.transferrecord import find_transfer

    plan = plan_transfer(
        expand_methods(methods),
        (train_on, identify(train_on, offline=offline)),
        (test_on, identify(test_on, offline=offline)),
        train_sources=train_sources,
        test_sources=test_sources,
        reference=reference,
        resize=resize,
        budget=budget,
        seeds=range(seeds),
        params=dict(parse_setting(text) for text in settings),
    )
    store = Store(out)
    store.check_writable()
    records: list[TransferRecord] = []
    for position, spec in enumerate(plan, start=1):
        record = find_transfer(store, spec)
        place = f"[{position}/{len(plan)}] " if len(plan) > 1 else ""
        if record is not None:
            click.echo(f"{place}{spec.title}: done before", err=True)
        else:
            # Imported here, because it imports torch: showing a finished job must be quick.
            from fpbench.runs.transfer import execute_transfer

            click.echo(f"{place}{spec.title}: running", err=True)
            with progress_bars(spec.title) as progress:
                record = execute_transfer(
                    spec,
                    store,
                    device=device,
                    progress=progress,
                    offline=offline,
                    time_limit=time_limit,
                )
        records.append(record)
        if record.status != "done":
            click.echo(f"{place}{spec.title}: {record.status}: {record.reason}", err=True)
        elif not as_json:
            _show(spec, record, store.folder(spec))
    if as_json:
        click.echo(json.dumps([record.model_dump(mode="json") for record in records], indent=2))
    elif len(records) > 1:
        _compare(records)
    if any(record.status == "failed" for record in records):
        sys.exit(1)


def _compare(records: Sequence[TransferRecord]) -> None:
    """Print one row a method, the mean over its seeds, with chance above."""
    from rich import box
    from rich.table import Table

    from fpbench.metrics.runs import combine
    from fpbench.metrics.score import Score

    keys = ("shared_masked", "shared_unmasked", "family", "disjoint", "auc_real")
    table = Table(title="Means over seeds", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("method")
    for key in keys:
        table.add_column(key, justify="right")
    done = [record for record in records if record.status == "done"]
    if done:
        table.add_row("chance", *(number(done[0].scores[key].chance) for key in keys), style="dim")
    for name in dict.fromkeys(f"{r.method.name}:{r.method.variant}" for r in records):
        own = [r for r in done if f"{r.method.name}:{r.method.variant}" == name]
        cells = []
        for key in keys:
            entries = [record.scores[key] for record in own]
            if not entries or any(entry.value is None for entry in entries):
                cells.append("null" if entries else "-")
                continue
            scores = [Score(e.value, e.ci_low, e.ci_high, e.n, e.chance, e.reason) for e in entries]
            both = combine([scores], lower=0.0, upper=1.0)
            cells.append(f"{number(both.value)} ({number(both.ci_low)} - {number(both.ci_high)})")
        table.add_row(name, *cells)
    console().print(table)


def _show(spec: TransferSpec, record: TransferRecord, folder: Path) -> None:
    """Print one job's scores, what bounds them, and where its files lie."""
    from rich import box
    from rich.markup import escape
    from rich.table import Table

    from fpbench.runs.transferrecord import TRANSFER_FILE

    table = Table(title=escape(spec.title), box=box.SIMPLE_HEAD, title_justify="left")
    for heading in ("score", "value", "95 % interval", "chance", "n"):
        table.add_column(heading, justify="left" if heading == "score" else "right")
    for key, name in _NAMED_SCORES:
        score = record.scores[key]
        if score.value is None:
            table.add_row(name, "null", score.reason or "", "", str(score.n), style="dim")
        else:
            table.add_row(
                name, number(score.value), interval(score), number(score.chance), str(score.n)
            )
    console().print(table)
    labels = record.labels
    click.echo(
        f"shared models: {', '.join(labels.shared_architectures) or 'none'}; "
        f"unseen: {', '.join(labels.new_architectures) or 'none'}\n"
        f"naming the model cannot exceed {labels.cap:.3f} on all tested models "
        f"({labels.cap_with_real:.3f} with Real), whatever the method"
    )
    if labels.left_out:
        click.echo(f"{labels.left_out} test images left out: they are also in the training images")
    if record.protocol.size_rule != "same":
        h, w = record.train.image_size
        rule = "trained at {}x{}, tested at {}x{}".format(h, w, *record.test.image_size)
        if record.protocol.size_rule == "nearest":
            rule += ", the smaller enlarged by nearest neighbour: scores are confounded"
        click.echo(rule)
    click.echo(f"record   {folder / TRANSFER_FILE}\n")
