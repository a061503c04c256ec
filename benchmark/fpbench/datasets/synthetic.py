"""``gm-synthetic``: real photographs and sources that each plant a known fingerprint.

It is made on the fly from a seed. Each crop of the base dataset's real images has eight forms
(four rotations, each mirrored or not); every source gets each crop exactly once, each in another
form, so that sources differ in nothing but what is planted, and no two images are equal. The
splits are those of the base dataset: no crop, in whatever form, is in two of them.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fpbench.datasets.cache import Decoded
from fpbench.datasets.card import read_recipe
from fpbench.datasets.dataset import (
    DatasetIdentity,
    Description,
    GMDataset,
    ResolvedDataset,
    description_digest,
)
from fpbench.datasets.decoding import Duplicates
from fpbench.datasets.layout import LABELLED_SPLITS, RECIPE
from fpbench.datasets.planting import KINDS, Fingerprint, fingerprints, plant, strength
from fpbench.errors import BadInput, suggest
from fpbench.files import read_limited
from fpbench.images import REAL, Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.method import Progress

FORMS = 8
"""Forms of a crop: rotations by multiples of 90 degrees, mirrored or not."""

# Photographs are squeezed into these levels first, so that adding a fingerprint clips nothing;
# Real and the reference images are squeezed too.
_LOW, _HIGH = 32, 223


@dataclass(frozen=True)
class Settings:
    """Everything that a synthetic dataset is made from.

    Attributes:
        name: Name of the card.
        version: Version of the recipe.
        base: Dataset whose real images are used.
        kind: One of `fpbench.datasets.planting.KINDS`.
        snr_db: Strength of what is planted.
        default: Whether kind and strength are those of the recipe.
        sources: Number of planted sources.
        seed: Of fingerprints and forms.
        counts: Images per source of train, validation and test; None is all there are.
        fdr: Sample size and dimension for FDR.
    """

    name: str
    version: int
    base: str
    kind: str
    snr_db: float
    default: bool
    sources: int
    seed: int
    counts: tuple[int, int, int]
    fdr: tuple[int, int]

    @property
    def reference(self) -> str:
        """The name to load it by."""
        if self.default:
            return self.name
        strength = "" if self.kind == "none" else f",{self.snr_db:g}"
        return f"{self.name}:{self.kind}{strength}"

    def content_hash(self, base_hash: str) -> str:
        """Hash of these settings and of the base dataset's content."""
        fields = [self.version, self.kind, self.snr_db, self.sources, self.seed, self.counts]
        text = json.dumps(["gm-synthetic", fields, _LOW, _HIGH, base_hash])
        return hashlib.sha256(text.encode()).hexdigest()


def is_synthetic(folder: Path) -> bool:
    """Whether the card in `folder` describes a dataset that is made on the fly."""
    # Validating the recipe would import pydantic, which a mere listing can do without.
    lines = read_limited(folder / RECIPE, "recipe").splitlines()
    return any(line.startswith("synthetic:") for line in lines)


def settings_of(folder: Path, text: str = "") -> Settings:
    """The settings of a card, changed by ``KIND[,SNR]``.

    Args:
        folder: The card's folder.
        text: What stands after the colon of ``gm-synthetic:KIND,SNR``; empty for the recipe's.

    Raises:
        BadInput: If the kind is unknown or the SNR is no number.
    """
    recipe = read_recipe(folder)
    made = recipe.synthetic
    if made is None:
        raise BadInput(f"{folder / RECIPE} has no field synthetic.")
    kind, comma, level = text.partition(",")
    kind = kind or made.kind
    if kind not in KINDS:
        raise BadInput(
            f"Dataset {recipe.name!r} has no kind {kind!r}. {suggest(kind, KINDS)} Write "
            f"{recipe.name}:KIND or {recipe.name}:KIND,SNR."
        )
    snr = made.snr_db
    if comma:
        try:
            snr = float(level.lower().removesuffix("db"))
        except ValueError:
            snr = float("nan")
        if not -60 <= snr <= 40:
            raise BadInput(
                f"{level!r} is no signal-to-noise ratio; write decibels between -60 and 40, e.g. "
                f"{recipe.name}:{kind},0."
            )
    if kind == "none":
        snr = made.snr_db
    if made.sources >= FORMS:
        raise BadInput(
            f"{folder / RECIPE}: field synthetic.sources is {made.sources}; at most {FORMS - 1} "
            "sources and Real can have each crop in a form of its own."
        )
    counts = recipe.counts
    return Settings(
        name=recipe.name,
        version=recipe.version,
        base=made.base,
        kind=kind,
        snr_db=snr,
        default=(kind, snr) == (made.kind, made.snr_db),
        sources=made.sources,
        seed=recipe.seed,
        counts=(counts.train, counts.validation, counts.test),
        fdr=(recipe.fdr.samples, recipe.fdr.dimensions),
    )


def form(images: NDArray[np.uint8], number: int) -> NDArray[np.uint8]:
    """Images (N, S, S, 3) rotated by ``number % 4`` quarter turns and mirrored if number >= 4."""
    turned = np.rot90(images, number % 4, axes=(1, 2))
    return turned[:, :, ::-1] if number >= 4 else turned


def squeeze(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Map levels 0..255 to 32..223, to leave room for what is planted."""
    scaled = np.rint(images * np.float32((_HIGH - _LOW) / 255))
    squeezed: NDArray[np.uint8] = (_LOW + scaled).astype(np.uint8)
    return squeezed


@dataclass(frozen=True)
class _Clean:
    """Clean images by split, in the order of labels, and of every source's training images."""

    pixels: dict[str, NDArray[np.uint8]]
    ids: dict[str, list[str]]
    reference: NDArray[np.uint8]

    def train_of(self, label: int, count: int) -> NDArray[np.float32]:
        return self.pixels["train"][label * count : (label + 1) * count].astype(np.float32)


def _clean(settings: Settings, base: GMDataset) -> _Clean:
    pixels, ids = {}, {}
    generator = np.random.default_rng([settings.seed, 4])
    for split, count in zip(LABELLED_SPLITS, settings.counts, strict=True):
        real = getattr(base, split).of_source(REAL)
        if len(real) < count:
            raise BadInput(
                f"{settings.name}: field counts.{split} says {count} images for each source, but "
                f"{settings.base} has {len(real)} real images in that split."
            )
        crops = squeeze(real.pixels[:count])
        # Row i: the form in which each source gets crop i.
        dealt = np.stack([generator.permutation(FORMS) for _ in range(count)])
        forms = np.stack([form(crops, number) for number in range(FORMS)])
        every = [forms[dealt[:, label], np.arange(count)] for label in range(settings.sources + 1)]
        pixels[split] = np.concatenate(every)
        ids[split] = [
            f"{name}-{dealt[index, label]}"
            for label in range(settings.sources + 1)
            for index, name in enumerate(real.ids[:count])
        ]
    reference = squeeze(base.reference.pixels)
    turns = generator.integers(FORMS, size=len(reference))
    for number in range(FORMS):
        reference[turns == number] = form(reference[turns == number], number)
    return _Clean(pixels, ids, reference)


def _planted(settings: Settings) -> dict[str, Fingerprint]:
    return fingerprints(settings.kind, settings.sources, settings.seed)


class SyntheticDataset(ResolvedDataset):
    """Real images of another dataset, and sources that each plant a known fingerprint.

    Args:
        settings: What to make.
        base: Where the real images come from; square ones.
    """

    def __init__(self, settings: Settings, base: ResolvedDataset) -> None:
        self._settings = settings
        self._base = base
        self.description = Description(_sources(settings), *settings.fdr)
        content = settings.content_hash(base.real_hash())
        self.identity = DatasetIdentity(
            name=settings.reference,
            revision=f"{settings.version}-{content[:12]}",
            content_hash=content,
            digest=description_digest(self.description),
        )

    def load(self, progress: Progress | None = None) -> GMDataset:
        """Make the images, from a seed.

        Raises:
            BadInput: If the base dataset cannot be loaded, has too few real images, or images
                that cannot be turned.
        """
        settings, base = self._settings, self._base.load(progress)
        height, width = base.reference.size
        if height != width or height % 2:
            raise BadInput(
                f"{settings.name} needs square images of even size, but those of {settings.base} "
                f"are {height}x{width}."
            )
        clean = _clean(settings, base)
        planted = _planted(settings)
        for label, fingerprint in enumerate(planted.values(), start=1):
            if progress is not None:
                progress("plant fingerprints", label, len(planted))
            images = clean.train_of(label, settings.counts[0])
            alpha = strength(fingerprint, images, settings.snr_db)
            for split, count in zip(LABELLED_SPLITS, settings.counts, strict=True):
                part = clean.pixels[split][label * count : (label + 1) * count]
                part[:] = plant(part, fingerprint, alpha)
        duplicates = Duplicates()
        labels = np.zeros(len(clean.reference), np.int64)
        splits = {"reference": Decoded(clean.reference, labels, base.reference.ids)}
        for split, count in zip(LABELLED_SPLITS, settings.counts, strict=True):
            labels = np.repeat(np.arange(len(self.description.sources)), count)
            duplicates.check(clean.pixels[split], clean.ids[split])
            splits[split] = Decoded(clean.pixels[split], labels, np.asarray(clean.ids[split], str))
        return self.assemble(splits)

    def licences(self) -> tuple[str, ...]:
        """Those of the real images."""
        return self._base.licences()

    def true_fingerprints(self) -> dict[str, NDArray[np.float32]]:
        """What was planted: the expected residual (H, W, 3) of every source but Real.

        Raises:
            BadInput: If the base dataset cannot be loaded.
            ValueError: If the fingerprints are not locked to positions (colour matrices).
        """
        settings, base = self._settings, self._base.load()
        clean = _clean(settings, base)
        templates = {}
        for label, (source, fingerprint) in enumerate(_planted(settings).items(), start=1):
            images = clean.train_of(label, settings.counts[0])
            mean = images.mean(axis=(0, 1, 2))
            alpha = strength(fingerprint, images, settings.snr_db)
            templates[source] = np.float32(alpha) * fingerprint.template(mean, base.reference.size)
        return templates


def _sources(settings: Settings) -> tuple[Source, ...]:
    """Real, and one source for each planted fingerprint."""
    sources = [Source(REAL, "Real", "photographs")]
    for name, fingerprint in _planted(settings).items():
        kind = type(fingerprint).__name__.lower()
        design = {"planted": kind, "snr_db": f"{settings.snr_db:g}"}
        sources.append(Source(name, "Synthetic", kind, {} if kind == "nothing" else design))
    return tuple(sources)
