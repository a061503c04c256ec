"""``fpbench transfer``: train on the sources of one dataset, test on those of another."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fpbench.cli.options import (
    configuration_options,
    methods_option,
    names_in_list,
    running_options,
    seeds_option,
)
from fpbench.cli.tables import console, number

if TYPE_CHECKING:
    from fpbench.runs.job import Job
    from fpbench.runs.record import Record


@click.command()
@methods_option
@click.option("--train-on", required=True, metavar="NAME|FOLDER|HUB_ID",
              help="The dataset to train on.")  # fmt: skip
@click.option("--test-on", required=True, metavar="NAME|FOLDER|HUB_ID",
              help="The dataset to test on.")  # fmt: skip
@click.option("--train-sources", default=None, callback=names_in_list, metavar="NAME,NAME…",
              help="Train on these generators and Real only.")  # fmt: skip
@click.option("--test-sources", default=None, callback=names_in_list, metavar="NAME,NAME…",
              help="Test on these generators and Real only.")  # fmt: skip
@click.option("--reference", type=click.Choice(["source", "target"]), default="source",
              show_default=True,
              help="Whose reference images a method is given: of the dataset trained on (source) "
              "or tested on (target).")  # fmt: skip
@click.option("--resize", is_flag=True,
              help="Enlarge the smaller images by nearest neighbour where sizes differ; scores "
              "are then confounded.")  # fmt: skip
@seeds_option(1)
@configuration_options
@running_options
def transfer(
    methods: tuple[str, ...],
    train_on: str,
    test_on: str,
    train_sources: tuple[str, ...] | None,
    test_sources: tuple[str, ...] | None,
    reference: Any,
    resize: bool,
    seeds: int,
    budget: Any,
    settings: tuple[str, ...],
    **running: Any,
) -> None:
    """Train on one dataset, test on another; finished jobs are shown, not run again.

    Three questions, never mixed: which of the models that both datasets hold made an image, of
    which family its model is, and the same of models that were not in training.
    """
    from fpbench.cli.jobs import Problems, exit_code, plan_each, print_json, run_jobs
    from fpbench.cli.progress import progress_bars
    from fpbench.datasets.resolve import resolve
    from fpbench.runs.job import TRANSFER
    from fpbench.runs.plan import expand_methods, make_plan, one_side, parse_settings

    problems = Problems()
    params = parse_settings(settings)
    with progress_bars("finding the datasets") as progress:
        train, test = (
            one_side(
                name,
                resolve(name, offline=running["offline"], progress=progress).identity,
                sources or (),
            )
            for name, sources in ((train_on, train_sources), (test_on, test_sources))
        )
    plan = plan_each(
        expand_methods(methods),
        problems,
        lambda method: make_plan(
            [method],
            [(train, test)],
            protocol=TRANSFER,
            settings={"reference": reference, "resize": resize},
            seeds=range(seeds),
            budget=budget,
            params=params,
        ),
    )
    _, records = run_jobs(plan, problems, _show, **running)
    if running["as_json"]:
        print_json(records)
    elif len(records) > 1:
        _compare([record for _, record in records])
    problems.tell()
    sys.exit(exit_code(records, problems))


def _compare(records: Sequence[Record]) -> None:
    """Print one row a method, the mean over its seeds, with chance above."""
    from rich import box
    from rich.table import Table

    from fpbench.cli.jobs import between
    from fpbench.metrics.runs import combine
    from fpbench.scores.catalogue import bounds

    keys = ("shared_masked", "shared_unmasked", "family", "disjoint", "auc_real")
    table = Table(title="Means over seeds", box=box.SIMPLE_HEAD, title_justify="left")
    table.add_column("method")
    for key in keys:
        table.add_column(key, justify="right")
    done = [record for record in records if record.status == "done"]
    if done:
        table.add_row("chance", *(number(done[0].scores[key].chance) for key in keys), style="dim")
    for label in dict.fromkeys(record.job.label for record in records):
        own = [record.score_values for record in done if record.job.label == label]
        cells = []
        for key in keys:
            scores = [values[key] for values in own]
            if not scores or any(score.value is None for score in scores):
                cells.append("null" if scores else "-")
                continue
            lower, upper = bounds(key)
            both = combine([scores], lower=lower, upper=upper)
            cells.append(f"{number(both.value)} ({between(both)})")
        table.add_row(label, *cells)
    console().print(table)


def _show(job: Job, record: Record, folder: Path) -> None:
    """Print one job's scores, what bounds them, and where its files lie."""
    from fpbench.cli.jobs import print_training, score_table
    from fpbench.runs.protocols.transfer import TransferFacts

    console().print(score_table(job, record))
    print_training(record)
    facts = TransferFacts.model_validate(record.setup.facts)
    click.echo(
        f"shared models: {', '.join(facts.shared_architectures) or 'none'}; "
        f"unseen: {', '.join(facts.new_architectures) or 'none'}\n"
        f"naming the model cannot exceed {facts.cap:.3f} on all tested models "
        f"({facts.cap_with_real:.3f} with Real), whatever the method"
    )
    if facts.left_out:
        click.echo(f"{facts.left_out} test images left out: they are also in the training images")
    if facts.size_rule != "same":
        h, w = record.trained.image_size
        rule = "trained at {}x{}, tested at {}x{}".format(h, w, *record.test.image_size)
        if facts.size_rule == "nearest":
            rule += ", the smaller enlarged by nearest neighbour: scores are confounded"
        click.echo(rule)
    click.echo(f"record   {folder / 'record.json'}\n")
