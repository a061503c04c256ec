"""Small sets of made-up images whose sources are known, for checking methods."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fpbench.datasets.planting import Fingerprint, fingerprints, plant, strength
from fpbench.images import REAL, ImageSet, Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

SNR_DB = 6.0
"""Strength of what is planted; twice the amplitude of gm-synthetic's 0 dB."""

_SEED = 20260
# Generators seldom reach full black and white (McCloskey and Albright 2018); so here, by kind.
_MARGINS = {"kernel": 8, "colour": 16}


@dataclass(frozen=True)
class PlantedSets:
    """What a method is fitted on and asked about.

    Attributes:
        train: Labelled images of all sources.
        reference: Real images, none of them in another set.
        validation: As `train`.
        test: As `train`; shown to methods without labels.
    """

    train: ImageSet
    reference: ImageSet
    validation: ImageSet
    test: ImageSet


def photographs(count: int, size: tuple[int, int], seed: int) -> NDArray[np.uint8]:
    """Random images whose spectra fall as those of photographs do.

    Args:
        count: N.
        size: Height and width.
        seed: Of everything random.

    Returns:
        uint8 of shape (N, H, W, 3).
    """
    generator = np.random.default_rng([_SEED, seed])
    h, w = size
    frequency = np.hypot(np.fft.fftfreq(h)[:, None], np.fft.rfftfreq(w)[None])
    falloff = 1 / np.maximum(frequency, 1 / max(h, w, 2)) ** 1.2
    noise = np.fft.rfft2(generator.normal(size=(count, 4, h, w))) * falloff
    waves = np.fft.irfft2(noise, s=(h, w))
    waves /= np.maximum(waves.std(axis=(2, 3), keepdims=True), 1e-9)
    # Channels share most of what they show, as those of photographs do.
    shown = waves[:, :1] + 0.4 * waves[:, 1:]
    level = generator.uniform(100, 156, (count, 3, 1, 1))
    # Some pixels reach full black and white, as in photographs.
    contrast = generator.uniform(15, 55, (count, 1, 1, 1))
    grey = level + contrast * shown + generator.normal(size=shown.shape)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8).transpose(0, 2, 3, 1).copy()


def read_only(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The same pixels over memory that cannot be made writable again."""
    return np.frombuffer(pixels.tobytes(), np.uint8).reshape(pixels.shape)


def planted_sets(
    size: tuple[int, int] = (32, 32),
    *,
    kind: str = "mixed",
    planted: int = 6,
    counts: tuple[int, int, int] = (24, 12, 16),
    reference: int = 64,
    seed: int = 0,
) -> PlantedSets:
    """Real images and sources that each add one known fingerprint to other real images.

    Args:
        size: Height and width; even, if kernels are planted.
        kind: What is planted, as in ``fpbench.datasets.planting``; ``mixed`` has patterns,
            upsampling kernels and colour matrices in equal parts, and the last two keep away
            from full black and white.
        planted: Number of sources besides Real.
        counts: Images of each source for training, validation and test.
        reference: Number of reference images.
        seed: Of everything random.
    """
    made: dict[str, Fingerprint] = fingerprints(kind, planted, _SEED)
    sources = (
        Source(REAL, "Real", "Real"),
        *(Source(name, "Synthetic", type(what).__name__.lower()) for name, what in made.items()),
    )
    total = sum(counts) * len(sources)
    clean = photographs(total + reference, size, seed)
    known = ImageSet(
        read_only(clean[total:]), sources, np.zeros(reference, np.int64),
        [f"reference-{index}" for index in range(reference)],
    )  # fmt: skip
    sets, start = [], 0
    for name, count in zip(("train", "validation", "test"), counts, strict=True):
        part = clean[start : start + count * len(sources)]
        start += len(part)
        for label, what in enumerate(made.values(), start=1):
            mine = part[label * count : (label + 1) * count]
            # One strength for all sets: that on the reference images.
            alpha = strength(what, clean[total:].astype(np.float32), SNR_DB)
            margin = _MARGINS.get(sources[label].architecture, 0) if kind == "mixed" else 0
            mine[:] = np.clip(plant(mine, what, alpha), margin, 255 - margin)
        labels = np.repeat(np.arange(len(sources)), count)
        ids = [f"{sources[label].name}-{name}-{index}" for index, label in enumerate(labels)]
        sets.append(ImageSet(read_only(part), sources, labels, ids))
    return PlantedSets(sets[0], known, sets[1], sets[2])
