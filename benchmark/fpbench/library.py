"""fpbench from Python: what the command line does, as functions.

Names of methods, datasets, budgets and executors are those of the command line. Jobs are stored
as the command line stores them, and found by it: a finished job is not run again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fpbench.errors import BadInput

if TYPE_CHECKING:
    from fpbench.datasets.dataset import GMDataset
    from fpbench.method import Budget, Method, Progress
    from fpbench.runs.ablation import Ablation, Value, Varied
    from fpbench.runs.executors.base import Executor, Report
    from fpbench.runs.job import Control, Job
    from fpbench.runs.record import Record

    Names = str | Path | Sequence[str | Path]

RUNS = Path("runs")
"""Where records go unless said otherwise, as on the command line."""


def run(
    methods: Names,
    datasets: Names,
    *,
    protocol: str = "closed-set",
    settings: Mapping[str, Any] | None = None,
    seeds: int | Sequence[int] = 1,
    folds: int | None = None,
    budget: Budget = "small",
    params: Mapping[str, Any] | None = None,
    control: Control = "none",
    augment: bool = False,
    scores: Sequence[str] | None = None,
    build: bool = False,
    out: str | Path = RUNS,
    **running: Any,
) -> list[Record]:
    """Score methods on datasets, as ``fpbench run`` does.

    Args:
        methods: ``NAME`` or ``NAME:VARIANT``, one or several; ``all`` for every one.
        datasets: Names, folders or Hub ids, one or several.
        protocol: What is asked of the methods.
        settings: Of the protocol, e.g. ``{"unknown": ["dcgan-small"]}`` of ``open-set``.
        seeds: How many (0, 1, ...), or which.
        folds: K-fold cross-validation instead of the datasets' splits.
        budget: ``smoke``, ``small`` or ``full``.
        params: Constructor arguments for every method.
        control: ``shuffled-labels`` for the null control.
        augment: Of the protocol ``robustness``: whether to perturb half of the training images.
        scores: Names of scores or families of scores to compute; all where None.
        build: Whether a dataset that is not here may be downloaded and built.
        out: Folder for records, predictions and figures.
        **running: How and where jobs run, see `run_jobs`.

    Returns:
        One record a job, in the order of datasets, methods, folds and seeds; a job that failed
        has a record that says why.

    Raises:
        BadInput: If a name is unknown, a dataset is not available or a job cannot be run; other
            jobs have been run and stored by then.
    """
    from fpbench.runs.job import Limits
    from fpbench.runs.plan import expand_methods, make_plan

    with _may_build(build):
        sides = [_side(reference, running) for reference in _listed(datasets)]
    plan = make_plan(
        expand_methods([str(name) for name in _listed(methods)]),
        [(side, side) for side in sides],
        protocol=protocol,
        settings=settings,
        seeds=_seeds(seeds),
        folds=folds,
        budget=budget,
        params=params,
        control=control,
        limits=Limits(augment=True if augment else None),
        offline=bool(running.get("offline")),
    )
    return run_jobs(plan, out=out, scores=scores, **running)


def transfer(
    methods: Names,
    train_on: str | Path,
    test_on: str | Path,
    *,
    train_sources: Sequence[str] = (),
    test_sources: Sequence[str] = (),
    reference: str = "source",
    resize: bool = False,
    seeds: int | Sequence[int] = 1,
    budget: Budget = "small",
    params: Mapping[str, Any] | None = None,
    build: bool = False,
    out: str | Path = RUNS,
    **running: Any,
) -> list[Record]:
    """Train on the sources of one dataset, test on those of another, as ``fpbench transfer``.

    Args:
        methods: As for `run`.
        train_on: The dataset to train on.
        test_on: The dataset to test on.
        train_sources: Generators to train on; all where empty.
        test_sources: Generators to test on; all where empty.
        reference: Whose reference images a method is given: ``source`` or ``target``.
        resize: Whether to enlarge the smaller images by nearest neighbour.
        seeds: As for `run`.
        budget: As for `run`.
        params: As for `run`.
        build: As for `run`.
        out: As for `run`.
        **running: As for `run`.

    Returns:
        As `run`.

    Raises:
        BadInput: As `run`.
    """
    from fpbench.runs.job import TRANSFER
    from fpbench.runs.plan import expand_methods, make_plan

    with _may_build(build):
        sides = (_side(train_on, running, train_sources), _side(test_on, running, test_sources))
    plan = make_plan(
        expand_methods([str(name) for name in _listed(methods)]),
        [sides],
        protocol=TRANSFER,
        settings={"reference": reference, "resize": resize},
        seeds=_seeds(seeds),
        budget=budget,
        params=params,
    )
    return run_jobs(plan, out=out, **running)


def ablate(
    method: str,
    dataset: str | Path,
    vary: Varied,
    values: Sequence[Value] | None = None,
    *,
    scores: Sequence[str] = (),
    seeds: int | Sequence[int] = 3,
    budget: Budget = "small",
    params: Mapping[str, Any] | None = None,
    bag_size: int = 10,
    build: bool = False,
    out: str | Path = RUNS,
    **running: Any,
) -> Ablation:
    """Vary one thing, keep the rest, and follow the scores, as ``fpbench ablate`` does.

    Args:
        method: ``NAME`` or ``NAME:VARIANT``.
        dataset: Name, folder or Hub id.
        vary: ``bag-size``, ``bags-per-source``, ``train-images``, ``reference-size``, ``k`` or
            ``budget``.
        values: Its values; some that suit the dataset where None.
        scores: Keys of scores to follow; accuracy where empty.
        seeds: As for `run`.
        budget: As for `run`, unless that is varied.
        params: As for `run`.
        bag_size: Training images in a bag, where numbers of bags are varied.
        build: As for `run`.
        out: As for `run`; the table and its curve lie there, too.
        **running: As for `run`.

    Returns:
        The table: one row a value and score, over all seeds.

    Raises:
        BadInput: As `run`, or if a job failed, so that there is no curve.
    """
    from fpbench.runs.ablation import (
        ablation_of,
        check_scores,
        default_values,
        plan_ablation,
    )
    from fpbench.runs.store import Store

    check_scores(vary, scores)
    images = load_dataset(dataset, offline=bool(running.get("offline")), build=build)
    points = plan_ablation(
        method,
        str(dataset),
        images,
        vary,
        default_values(vary, images) if values is None else values,
        seeds=_seeds(seeds),
        budget=budget,
        params=params,
        bag_size=bag_size,
    )
    records = run_jobs([job for point in points for job in point.jobs], out=out, **running)
    for record in records:
        if record.status != "done":
            raise BadInput(
                f"{record.job.title}: {record.status}: {record.reason} So there is no curve."
            )
    return ablation_of(points, vary, Store(Path(out)), scores, bag_size)


def run_jobs(
    plan: Sequence[Job],
    *,
    out: str | Path = RUNS,
    executor: str | Executor = "local",
    workers: int | None = None,
    threads: int | None = None,
    engine: Mapping[str, str] | None = None,
    device: str = "auto",
    time_limit: float | None = None,
    figures: bool = False,
    offline: bool = False,
    scores: Sequence[str] | None = None,
    report: Report | None = None,
    again: bool = False,
) -> list[Record]:
    """Run a plan of jobs.

    Args:
        plan: The jobs, e.g. of `fpbench.runs.plan.make_plan`.
        out: Folder for records, predictions and figures.
        executor: Name of what runs the jobs, or an executor.
        workers: Jobs at the same time, for executors that run several.
        threads: Threads of each job.
        engine: Settings of the executor's engine, e.g. ``{"partition": "gpu"}`` for Slurm.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        time_limit: Minutes that a job's method may take.
        figures: Whether to draw figures.
        offline: Whether to keep from asking the Hub.
        scores: Names of scores or families of scores to compute; all where None.
        report: Told what happens, e.g. to show progress.
        again: Whether to run finished jobs anew.

    Returns:
        One record a job, in the order of the plan.

    Raises:
        BadInput: If the executor or a score is unknown, or a job cannot be run.
    """
    from fpbench.runs.executors.base import ExecutorOptions
    from fpbench.runs.options import JobOptions
    from fpbench.runs.run_plan import executor_named, run_plan
    from fpbench.runs.store import Store

    chosen = executor
    if isinstance(chosen, str):
        chosen = executor_named(chosen, ExecutorOptions(workers, threads, dict(engine or {})))
    options = JobOptions(
        device=device,
        figures=figures,
        offline=offline,
        time_limit=time_limit,
        scores=None if scores is None else tuple(scores),
        threads=threads,
    )
    ended = run_plan(
        plan, Store(Path(out)), executor=chosen, options=options, report=report, again=again
    )
    return [record for _, record in ended]


def fit(
    method: str,
    dataset: str | Path | GMDataset,
    *,
    seed: int = 0,
    budget: Budget = "small",
    params: Mapping[str, Any] | None = None,
    device: str = "auto",
    offline: bool = False,
    build: bool = False,
    progress: Progress | None = None,
) -> Method:
    """Fit a method on a dataset's training images and return it.

    Args:
        method: ``NAME`` or ``NAME:VARIANT``.
        dataset: Name, folder or Hub id, or a loaded dataset.
        seed: Seed of the method.
        budget: As for `run`.
        params: Constructor arguments.
        device: As for `run_jobs`.
        offline: As for `run_jobs`.
        build: As for `run`.
        progress: Called as ``progress(what, done, total)``.

    Returns:
        The fitted method: ``embed(images)``, and ``predict_proba(images)`` where it has one.

    Raises:
        BadInput: If a name or parameter is unknown, or the dataset is not available.
        MethodDeclined: If the method is not available here.
    """
    from fpbench import registry
    from fpbench.compute.device import pick_device, seed_everything
    from fpbench.method import FitContext
    from fpbench.runs.judge import build_method
    from fpbench.runs.judge import fit as fit_method
    from fpbench.runs.plan import check_asked, resolve
    from fpbench.runs.splits import splits_of

    check_asked((seed,), None, budget, "none")
    chosen = resolve(method, params or {})
    loaded = (
        load_dataset(dataset, offline=offline, build=build)
        if isinstance(dataset, str | Path)
        else dataset
    )
    context = FitContext(seed=seed, budget=budget, device=pick_device(device))
    if progress is not None:
        context = FitContext(seed, budget, context.device, progress)
    seed_everything(seed)
    cls = registry.method_class(chosen.name)
    unfitted = build_method(cls, chosen.variant, chosen.params)
    return fit_method(unfitted, splits_of(loaded, None, None), context).method


def load_dataset(
    dataset: str | Path,
    *,
    offline: bool = False,
    build: bool = False,
    progress: Progress | None = None,
) -> GMDataset:
    """Load a dataset by name, folder or Hub id, memory-mapped.

    Args:
        dataset: As ``--dataset`` takes it.
        offline: Whether to keep from asking the Hub.
        build: Whether a dataset that is not here may be downloaded and built.
        progress: Called as ``progress(what, done, total)`` while hashing and decoding.

    Raises:
        BadInput: If there is no such dataset, or its files are not what was built.
    """
    from fpbench.datasets.resolve import resolve

    with _may_build(build):
        found = resolve(str(dataset), offline=offline, progress=progress)
    return found.load(progress)


def read_record(path: str | Path) -> Record:
    """Read the record of a run, of any schema version.

    Args:
        path: A record's file, or a run's folder.

    Raises:
        BadInput: If there is none, or it is not a valid record.
    """
    from fpbench.runs.record import read_record as read

    return read(Path(path))


def _listed(names: Names) -> list[str | Path]:
    return [names] if isinstance(names, str | Path) else list(names)


def _seeds(seeds: int | Sequence[int]) -> Sequence[int]:
    return range(seeds) if isinstance(seeds, int) else seeds


def _may_build(agreed: bool) -> AbstractContextManager[None]:
    from fpbench.datasets.named import building

    # What is light needs no word of agreement, as on the command line.
    return building(lambda work: agreed or work.is_light)


def _side(reference: str | Path, running: Mapping[str, Any], sources: Sequence[str] = ()) -> Any:
    from fpbench.datasets.resolve import resolve
    from fpbench.runs.plan import one_side

    name = str(reference)
    found = resolve(name, offline=bool(running.get("offline")))
    return one_side(name, found.identity, sources)
