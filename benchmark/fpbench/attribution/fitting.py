"""Fits a method for attribution, and writes its model folder.

The promise of a verdict is that calibration images and a new image of one source are exchangeable:
nothing may tell them apart. Validation images that a method chose its epoch, penalty or temperature
by are not as new ones are, so each source's validation images are split: `selection` is given to
the fit, `calibration` is not, and p-values are ranks among the latter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpbench import registry
from fpbench.attribution import document as page
from fpbench.attribution.measured import measured_scores
from fpbench.attribution.model import FittedModel, answers, load_model
from fpbench.attribution.nearcopies import Sketches
from fpbench.attribution.spectra import source_spectra
from fpbench.datasets.resolve import resolve
from fpbench.datasets.traces import codec_trace, file_traits
from fpbench.distribution import NAME
from fpbench.errors import BadInput
from fpbench.files import file_sha256, told, writing_folder
from fpbench.images import ImageSet
from fpbench.method import Budget, FitContext, Method, MethodDeclined, Progress
from fpbench.runs.judge import build_method, check_size, fit, fit_probe, sentence_of
from fpbench.runs.plan import Configuration
from fpbench.runs.plan import resolve as configuration_of
from fpbench.runs.splits import Splits, splits_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.compute.probe import Probe
    from fpbench.datasets.dataset import GMDataset, ResolvedDataset

CALIBRATION_SHARE = 0.5
"""Share of a source's validation images that are kept for calibration."""

_SPLIT_SEED = 20
# 1 in 100 training images has a stronger trace of a codec than the one that is noted.
_USUAL_GRID = 0.99
_MOST_TABLES = 64


class FitFailed(Exception):
    """A method raised while it was fitted, or does not answer as its contract says."""


@dataclass(frozen=True)
class Parts:
    """The images of one fit: what the method is given, and what its verdicts are measured by.

    Attributes:
        splits: Reference, training and selection images; the test set is not used.
        calibration: Validation images that the method is not given.
    """

    splits: Splits
    calibration: ImageSet


def split_validation(dataset: GMDataset, share: float = CALIBRATION_SHARE) -> Parts:
    """Split each source's validation images into selection and calibration, at random.

    The same dataset and share always give the same images, whatever the method and its seed.

    Args:
        dataset: The dataset.
        share: Of a source's validation images that are kept for calibration, to the nearest one.

    Raises:
        BadInput: If a source has too few validation images for one of either.
    """
    splits = splits_of(dataset, None, None)
    labels = splits.validation.labels
    generator = np.random.default_rng(_SPLIT_SEED)
    chosen: list[NDArray[np.int64]] = []
    for k, source in enumerate(dataset.sources):
        own = generator.permutation(np.flatnonzero(labels == k))
        count = round(share * len(own))
        if not 0 < count < len(own):
            raise BadInput(
                f"{source.name!r} has {len(own)} validation images, of which {share:g} would be "
                f"{count} for calibration; at least one is needed there and one for selection."
            )
        chosen.append(own[:count])
    kept = np.zeros(len(labels), bool)
    kept[np.concatenate(chosen)] = True
    selection = replace(splits, validation=splits.validation.select(~kept))
    return Parts(selection, splits.validation.select(kept))


def fit_model(
    method: str,
    dataset: str | Path,
    out: str | Path,
    *,
    seed: int = 0,
    budget: Budget = "small",
    params: Mapping[str, Any] | None = None,
    device: str = "auto",
    offline: bool = False,
    calibration_share: float = CALIBRATION_SHARE,
    leaderboards: str | Path = "leaderboards",
    progress: Progress | None = None,
) -> FittedModel:
    """Fit a method on a dataset and write a model folder, as ``fpbench fit`` does.

    Args:
        method: ``NAME`` or ``NAME:VARIANT``.
        dataset: Name, folder or Hub id.
        out: The model folder; an earlier model there is replaced.
        seed: Seed of the method.
        budget: ``smoke``, ``small`` or ``full``.
        params: Constructor arguments.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``, for the fit; verdicts are made on the
            CPU.
        offline: Whether the Hub may not be asked.
        calibration_share: Share of the validation images that the fit is not given.
        leaderboards: A leaderboards' folder, whose scores of this configuration are noted.
        progress: Called as ``progress(what, done, total)``.

    Returns:
        The model, as read from its folder.

    Raises:
        BadInput: If a name or parameter is unknown, the dataset is not available or has too few
            validation images, the method declines or cannot be saved, or `out` is something else.
        FitFailed: If the method raises, or answers otherwise once it is saved and loaded.
    """
    from fpbench.compute.device import pick_device
    from fpbench.compute.isolation import isolated

    place = Path(out)
    refuse_other_folder(place)
    chosen = configuration_of(method, params or {})
    cls = registry.method_class(chosen.name).variant_class(chosen.variant)
    for member in ("save", "load"):
        if not cls.implements(member):
            raise BadInput(
                f"The method {chosen.name!r} has no {member}, so a fitted one cannot be kept; "
                "its author can add save and load (see CONTRIBUTING.md)."
            )
    found = resolve(str(dataset), offline=offline, progress=progress)
    loaded = found.load(progress)
    parts = split_validation(loaded, calibration_share)
    context = FitContext(seed=seed, budget=budget, device=pick_device(device))
    if progress is not None:
        context = replace(context, progress=progress)
    with isolated():
        fitted, probe = fit_and_probe(cls, chosen, parts.splits, context)
        made = _Made(chosen, cls, found, loaded, parts, context)
        content = loaded.identity.content_hash
        with writing_folder(place) as folder:
            _write(folder, fitted, probe, made)
            measured = measured_scores(Path(leaderboards), chosen, budget, content)
            _page(folder, made, probe, measured)
    return load_model(place)


def refuse_other_folder(place: Path) -> None:
    """Refuse to write a model over something else.

    Raises:
        BadInput: If `place` is a file, or a folder that holds anything but a model.
    """
    if place.is_dir() and (place / page.PAGE).is_file():
        return
    if place.exists() and not (place.is_dir() and not any(place.iterdir())):
        raise BadInput(f"{place} is there already and is no model; choose another folder.")


@dataclass(frozen=True)
class _Made:
    """What a model is made from."""

    chosen: Configuration
    cls: type[Method]
    found: ResolvedDataset
    dataset: GMDataset
    parts: Parts
    context: FitContext


def _guarded(what: str, call: Callable[[], Any]) -> Any:
    """What a plugin's member returns; whatever it raises becomes one sentence."""
    try:
        return call()
    except (BadInput, FitFailed):
        raise
    except MethodDeclined as declined:
        raise BadInput(str(declined)) from declined
    except (Exception, SystemExit) as error:
        raise FitFailed(f"{what}: {sentence_of(error)}") from error


def fit_and_probe(
    cls: type[Method], chosen: Configuration, splits: Splits, context: FitContext
) -> tuple[Method, Probe | None]:
    """A fitted method, and the common probe if it has no probabilities of its own.

    Raises:
        BadInput: If the method declines.
        FitFailed: If it raises.
    """
    from fpbench.compute.device import seed_everything

    seed_everything(context.seed)
    label = f"{chosen.name}:{chosen.variant} cannot be fitted"

    def make() -> tuple[Method, Probe | None]:
        check_size(cls, chosen.name, splits.train)
        unfitted = build_method(cls, chosen.variant, chosen.params)
        method = fit(unfitted, splits, context).method
        if method.implements("predict_proba"):
            return method, None
        embedded = [
            method.embed(images.unlabelled()) for images in (splits.train, splits.validation)
        ]
        return method, fit_probe(splits, embedded[0], embedded[1], context)

    made: tuple[Method, Probe | None] = _guarded(label, make)
    return made


def _write(folder: Path, fitted: Method, probe: Probe | None, made: _Made) -> None:
    """The method, and the arrays that verdicts and the report need."""
    from safetensors.numpy import save_file

    chosen, parts = made.chosen, made.parts
    label = f"{chosen.name}:{chosen.variant}"
    with told(folder):
        (folder / page.METHOD).mkdir()
        _guarded(f"{label} cannot be saved", lambda: fitted.save(folder / page.METHOD))
        if probe is not None:
            probe.save(folder / page.PROBE)
    # What will judge is what is calibrated: the method as it is loaded, on the CPU.
    kept = _guarded(f"{label} cannot be loaded", lambda: made.cls.load(folder / page.METHOD))
    kept_probe = probe
    if probe is not None:
        from fpbench.compute.probe import Probe as ProbeClass

        kept_probe = ProbeClass.load(folder / page.PROBE)
    classes = len(made.dataset.sources)
    shown = parts.calibration.unlabelled()
    made.context.progress("calibrate", 0, 3)
    proba = _guarded(f"{label} cannot judge", lambda: answers(kept, kept_probe, shown, classes))
    some = shown.select(np.arange(min(len(shown), 64)))
    before = _guarded(f"{label} cannot judge", lambda: answers(fitted, probe, some, classes))
    apart = float(np.abs(before - proba[: len(some)]).max(initial=0))
    if apart > 1e-3:
        raise FitFailed(
            f"{label} answers otherwise once it is saved and loaded: probabilities differ by up "
            f"to {apart:.2g}. `fpbench methods check {chosen.name}` says more."
        )
    made.context.progress("calibrate", 1, 3)
    spectra = _guarded(
        f"{label} gives no residuals", lambda: source_spectra(kept, parts.splits.train)
    )
    made.context.progress("calibrate", 2, 3)
    known, names = _known(made)
    labels = np.ascontiguousarray(parts.calibration.labels)
    with told(folder):
        save_file(
            {"proba": np.ascontiguousarray(proba), "labels": labels}, folder / page.CALIBRATION
        )
        save_file({"mean": spectra.mean, "spread": spectra.spread}, folder / page.SPECTRA)
        text = np.frombuffer("\n".join(names).encode(), np.uint8)
        save_file(
            {"bits": known.bits, "flat": known.flat.astype(np.uint8), "names": text},
            folder / page.KNOWN,
        )
    made.context.progress("calibrate", 3, 3)


def _known(made: _Made) -> tuple[Sketches, list[str]]:
    """Sketches of all images that the fit and the calibration saw, and what to call each."""
    splits = made.parts.splits
    sketches, names = [], []
    for what, images in (
        ("training", splits.train),
        ("selection", splits.validation),
        ("calibration", made.parts.calibration),
        ("reference", splits.reference),
    ):
        sketches.append(Sketches.of(images.pixels))
        owners = [made.dataset.sources[k].name for k in images.labels]
        names += [
            f"{what} image {name} of {owner}".replace("\n", " ")
            for name, owner in zip(images.ids.tolist(), owners, strict=True)
        ]
    bits = np.concatenate([part.bits for part in sketches])
    return Sketches(bits, np.concatenate([part.flat for part in sketches])), names


def _page(
    folder: Path, made: _Made, probe: Probe | None, measured: list[page.MeasuredScore]
) -> None:
    card, chosen, parts = made.cls.card, made.chosen, made.parts
    identity, train = made.dataset.identity, parts.splits.train
    formats, tables = _codecs(made.found.encoded(made.dataset, "train"))
    counted = [
        np.bincount(images.labels, minlength=len(made.dataset.sources)).tolist()
        for images in (train, parts.splits.validation, parts.calibration)
    ]
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    page.ModelPage.signed(
        schema_version=page.SCHEMA_VERSION,
        created=datetime.now(UTC),
        fpbench=version(NAME),
        method=page.MethodPart(
            name=chosen.name,
            variant=chosen.variant,
            version=chosen.version,
            params=dict(chosen.params),
            files=chosen.files,
            package=registry.method_package(chosen.name),
            code=registry.code_hash(made.cls),
            title=card.title,
            citation=card.citation,
            licence=card.licence,
            classifier="own" if probe is None else "probe",
            budget=made.context.budget,
            seed=made.context.seed,
        ),
        dataset=page.DatasetPart(
            name=identity.name,
            revision=identity.revision,
            content_hash=identity.content_hash,
            licences=list(made.found.licences()),
            citations=list(made.found.citations()),
        ),
        sources=[
            page.SourcePart(
                name=source.name,
                family=source.family,
                architecture=source.architecture,
                design=dict(source.design),
                train=counts[0],
                selection=counts[1],
                calibration=counts[2],
            )
            for source, counts in zip(made.dataset.sources, zip(*counted, strict=True), strict=True)
        ],
        image_size=train.size,
        reference=len(parts.splits.reference),
        formats=formats,
        tables=tables,
        grid=_usual_grid(train),
        images_kept=_images_kept(folder / page.METHOD, train.size),
        measured=measured,
        files={
            path.relative_to(folder).as_posix(): page.FilePart(
                size=path.stat().st_size, sha256=file_sha256(path)
            )
            for path in files
        },
    ).write(folder)


def _images_kept(folder: Path, size: tuple[int, int]) -> int:
    """Images in a method's state: grey levels of the size of the dataset's images."""
    from safetensors import safe_open

    count = 0
    for path in sorted(folder.rglob("*.safetensors")):
        with safe_open(path, "np") as file:
            for name in file.keys():
                about = file.get_slice(name)
                shape = about.get_shape()
                rows = shape[0] if shape else 0
                pixels = int(np.prod(shape[1:]))
                if about.get_dtype() == "U8" and pixels == 3 * size[0] * size[1]:
                    count += rows
    return count


def _codecs(files: Iterable[bytes]) -> tuple[dict[str, int], list[str]]:
    formats: Counter[str] = Counter()
    tables: Counter[str] = Counter()
    for data in files:
        traits = file_traits(data)
        formats[traits.format] += 1
        if traits.tables:
            tables[f"{traits.tables} {traits.subsampling}"] += 1
    return dict(formats.most_common()), sorted(name for name, _ in tables.most_common(_MOST_TABLES))


def _usual_grid(train: ImageSet) -> float | None:
    traces = np.concatenate([codec_trace(np.ascontiguousarray(b)) for b in train.batches(256)])
    known = traces[np.isfinite(traces)]
    return float(np.quantile(known, _USUAL_GRID)) if len(known) else None
