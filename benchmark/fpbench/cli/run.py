"""``fpbench run``: score methods on datasets."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fpbench.cli.options import (
    configuration_options,
    dataset_options,
    dataset_settings,
    methods_option,
    names_in_list,
    running_options,
    seeds_option,
)
from fpbench.cli.tables import console, number
from fpbench.errors import BadInput, visible

if TYPE_CHECKING:
    from fpbench.runs.job import Job
    from fpbench.runs.record import Record

MODEL = "model"
"""The model folder beside a record."""


@click.command()
@methods_option
@click.option("--dataset", "datasets", multiple=True, required=True,
              metavar="NAME|FOLDER|FILE|HUB_ID",
              help="A dataset, or 'all'; may be repeated. hub:HUB_ID is any Hub dataset with a "
              "column of labels.")  # fmt: skip
@dataset_options
@click.option("--protocol", default="closed-set", show_default=True, metavar="NAME",
              help="What is asked of the method.")  # fmt: skip
@click.option("--unknown", default=None, metavar="rotate|NAME,NAME…|family:NAME",
              callback=names_in_list,
              help="Of the protocol open-set: the generators that are left out of training; by "
              "default each is once, in rotations.")  # fmt: skip
@click.option(
    "--augment",
    is_flag=True,
    help="Of the protocol robustness: perturb half of the training images at random.",
)
@seeds_option(1)
@click.option("--folds", type=click.IntRange(3, 1000), default=None, metavar="K",
              help="K-fold cross-validation instead of the dataset's splits.")  # fmt: skip
@configuration_options
@click.option("--control", type=click.Choice(["none", "shuffled-labels"]), default="none",
              help="Null control: train on shuffled labels.")  # fmt: skip
@click.option("--scores", default=None, metavar="NAME,NAME…", callback=names_in_list,
              help="Compute these scores or families of scores only.")  # fmt: skip
@click.option("--figures/--no-figures", default=True, help="Draw figures.")
@click.option("--save-model", is_flag=True,
              help="Beside each record, write a model folder for `fpbench attribute`. It is fitted "
              "anew here, without the validation images that it is calibrated on.")  # fmt: skip
@running_options
def run(
    methods: tuple[str, ...],
    datasets: tuple[str, ...],
    protocol: str,
    unknown: tuple[str, ...] | None,
    augment: bool,
    seeds: int,
    folds: int | None,
    budget: Any,
    settings: tuple[str, ...],
    control: Any,
    save_model: bool,
    **running: Any,
) -> None:
    """Score methods on datasets; finished jobs are shown, not run again."""
    from fpbench.cli.jobs import (
        Problems,
        exit_code,
        find_sides,
        plan_each,
        print_json,
        run_jobs,
    )
    from fpbench.datasets.card import every_card
    from fpbench.datasets.reference import with_settings
    from fpbench.runs.job import Limits
    from fpbench.runs.plan import EVERYTHING, expand_methods, make_plan, parse_settings

    if save_model:
        _check_save_model(protocol, folds, control, augment)
    problems = Problems()
    params = parse_settings(settings)
    chosen = dataset_settings(running)
    names = [
        name
        for asked in datasets
        for name in (every_card() if asked == EVERYTHING else [with_settings(asked, chosen)])
    ]
    sides = find_sides(names, problems, offline=running["offline"])
    plan = plan_each(
        itertools.product(sides, expand_methods(methods)),
        problems,
        lambda asked: make_plan(
            [asked[1]],
            [(asked[0], asked[0])],
            protocol=protocol,
            settings={} if unknown is None else {"unknown": list(unknown)},
            seeds=range(seeds),
            folds=folds,
            budget=budget,
            params=params,
            control=control,
            limits=Limits(augment=True if augment else None),
            offline=running["offline"],
        ),
    )
    store, records = run_jobs(plan, problems, _show, **running)
    if save_model:
        for job, record in records:
            if record.status == "done":
                problems.gather([job], lambda job: _save_model(job, store.folder(job), **running))
    if running["as_json"]:
        print_json(records)
    elif len(records) > 1:
        _compare(records)
    problems.tell()
    sys.exit(exit_code(records, problems))


def _power(record: Record, folder: Path) -> str:
    """What a null control says, in a line."""
    from fpbench.metrics.null_control import POWERLESS, chance_interval, commonest_answer
    from fpbench.runs.rescoring import predictions_of

    evidence, labels = predictions_of(record, folder)
    found = labels.labels, evidence.proba, labels.real
    share = commonest_answer(*found)
    if share >= POWERLESS:
        return f"without power: {100 * share:.0f} % of images get one answer, so nothing is tested"
    low, high = chance_interval(*found)
    return f"95 % of controls of this kind lie between {number(low)} and {number(high)}"


def _check_save_model(protocol: str, folds: int | None, control: str, augment: bool) -> None:
    """Refuse to keep models of jobs that are not fitted on a dataset's own training images.

    Raises:
        BadInput: Naming the option.
    """
    from fpbench.runs.job import CLOSED_SET

    asked = {
        f"--protocol {protocol}": protocol != CLOSED_SET,
        "--folds": folds is not None,
        f"--control {control}": control != "none",
        "--augment": augment,
    }
    for option, given in asked.items():
        if given:
            raise BadInput(
                f"--save-model keeps methods that are fitted on a dataset's own splits, so it does "
                f"not go with {option}; leave one of them out."
            )


def _save_model(job: Job, folder: Path, **running: Any) -> None:
    """Fit a finished job's method for attribution, unless that is done already.

    Raises:
        BadInput: If it cannot be fitted or kept.
    """
    from fpbench.attribution.fitting import FitFailed, fit_model
    from fpbench.attribution.model import load_model
    from fpbench.cli.progress import progress_bars

    place = folder / MODEL
    try:
        load_model(place)
    except BadInput:
        try:
            with progress_bars(f"{job.title}: fitting a model to keep") as progress:
                fit_model(
                    f"{job.method}:{job.variant}",
                    job.train.reference,
                    place,
                    seed=job.seed,
                    budget=job.budget,
                    params=job.params,
                    device=running["device"],
                    offline=running["offline"],
                    progress=progress,
                )
        except FitFailed as failed:
            raise BadInput(f"{job.title}: {failed}") from failed
    if not running["as_json"]:
        click.echo(f"model    {place}")


def _show(job: Job, record: Record, folder: Path) -> None:
    """Print one job's scores, and where its files lie."""
    from fpbench.cli.jobs import print_cost, print_remarks, print_training, score_table

    table = score_table(job, record)
    if record.test.shortcut is not None:
        table.add_row("metadata-only baseline", number(record.test.shortcut), "", "", "")
    console().print(table)
    print_training(record)
    print_remarks(job, record)
    if job.control != "none" and record.status == "done":
        click.echo(f"control  {_power(record, folder)}")
    print_cost(record)
    drawn = sorted((folder / "figures").glob("*.png")) if folder.is_dir() else []
    click.echo(f"record   {folder / 'record.json'}")
    if drawn:
        click.echo(f"figures  {folder / 'figures'} ({', '.join(path.stem for path in drawn)})")
    click.echo("")


def _compare(records: list[tuple[Job, Record]]) -> None:
    """Print one row a job, so that several can be read together."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from fpbench.cli.jobs import between

    table = Table(title="All jobs", box=box.SIMPLE_HEAD, title_justify="left")
    for heading in ("job", "score", "value", "95 % interval", "chance", "seconds"):
        table.add_column(heading, justify="left" if heading in ("job", "score") else "right")
    for job, record in records:
        head = record.headline
        if record.status != "done" or head is None:
            table.add_row(
                Text(visible(job.title)),
                record.status,
                Text(visible(record.reason or "")),
                style="dim",
            )
            continue
        seconds = "" if record.cost is None else f"{record.cost.total_seconds:.0f}"
        key = next(iter(record.scores))
        value = "null" if head.value is None else number(head.value)
        if record.did_not_train:
            key += " (did not train)"
        table.add_row(
            Text(visible(job.title)), key, value, between(head), number(head.chance), seconds
        )
    console().print(table)
