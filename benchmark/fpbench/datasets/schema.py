"""What may stand in ``recipe.yaml`` and ``manifest.json``; for ``sources.yaml`` see `entries`.

Unknown keys are refused, so that a misspelt option never silently means its default.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from fpbench.datasets.layout import SPLITS
from fpbench.datasets.origins.kinds import KINDS, AnyOrigin
from fpbench.documents import Document
from fpbench.images import REAL

if TYPE_CHECKING:
    from fpbench.datasets.origins.origin import Origin

_NAME = re.compile(r"[a-z0-9][a-z0-9.+-]*")


def plain_name(name: str) -> str:
    """A name that a dataset or a generator may have.

    Raises:
        ValueError: If it is none.
    """
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name; use lower-case letters, digits, '-', '.', '+'")
    return name


class RealOrigins(Document):
    """Where the real images come from.

    Attributes:
        seen: Images the generators are trained on; they become ``reference``.
        unseen: Other images of the same kind, for ``train``, ``validation`` and ``test``; None
            takes them from `seen` after the reference images.
        published: Whether real images may be written into what is pushed to the Hub or committed.
    """

    seen: AnyOrigin
    unseen: AnyOrigin | None = None
    published: bool = True

    @model_validator(mode="after")
    def _real(self) -> RealOrigins:
        for field, origin in (("seen", self.seen), ("unseen", self.unseen)):
            if origin is not None and not origin.has_real:
                words = ", ".join(word for word, kind in KINDS.items() if kind.has_real)
                raise ValueError(
                    f"{field}.kind is {origin.kind!r}, which has no real images; use one of {words}"
                )
        if self.unseen is not None and (self.seen.chooses_real or self.unseen.chooses_real):
            raise ValueError(
                f"seen.kind {self.seen.kind!r} and unseen.kind {self.unseen.kind!r} do not go "
                "together: one of them has the real images of all splits; give it alone as seen"
            )
        return self


class Counts(Document):
    """Images per source: `reference` of Real only, the others of every source.

    Attributes:
        training: Real images the generators are trained on; `reference` is part of them. None
            means the reference images alone.
    """

    reference: int = Field(gt=0)
    train: int = Field(gt=0)
    validation: int = Field(gt=0)
    test: int = Field(gt=0)
    training: int | None = Field(None, gt=0)


class Fdr(Document):
    """What FDR is measured with, because it moves with both.

    Attributes:
        samples: Test images used per source, n.
        dimensions: Dimension d that embeddings are reduced to, at most n/8.
    """

    samples: int = Field(gt=0)
    dimensions: int = Field(gt=0)

    @model_validator(mode="after")
    def _enough(self) -> Fdr:
        if self.dimensions > self.samples / 8:
            raise ValueError(
                f"dimensions is {self.dimensions}, but at most samples/8 = {self.samples // 8} "
                "keeps FDR from measuring noise"
            )
        return self


class Equalise(Document):
    """One pipeline for every image of every source, to take away what no model made.

    Attributes:
        jpeg: JPEG quality (4:2:0) that every image passes through before it is written as PNG,
            or None. It hides a codec history that only some sources have.
        reduce: Whole-number reduction by area mean after that, or None.
        clip: Lowest and highest value kept, e.g. [2, 253], or None.
    """

    jpeg: int | None = Field(None, ge=1, le=100)
    reduce: int | None = Field(None, ge=2)
    clip: tuple[int, int] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> Equalise:
        if self.clip is not None and not 0 <= self.clip[0] < self.clip[1] <= 255:
            raise ValueError(f"clip is {list(self.clip)}; use [low, high] within 0..255")
        return self


class Synthetic(Document):
    """Settings of a dataset that is made on the fly.

    Attributes:
        base: Card whose real images are used.
        sources: Number of sources with a planted fingerprint.
        kind: Which fingerprints, where the name says none.
        snr_db: Their strength, where the name says none.
    """

    base: str
    sources: int = Field(ge=2)
    kind: Literal["pattern", "kernel", "colour", "mixed", "none"] = "pattern"
    snr_db: float = 0.0


class HubPlace(Document):
    """Where a built copy of a dataset is on the Hub.

    Attributes:
        id: ``OWNER/NAME``.
        revision: Commit, or None for the newest.
        content_hash: Of the images that are there; other images are refused.
    """

    id: str = Field(pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str | None = None
    content_hash: str | None = None


class Recipe(Document):
    """How to build a GM dataset; ``recipe.yaml``.

    Attributes:
        name: Name of the dataset and of its card's folder.
        title: One line for ``fpbench data list``.
        version: Raised whenever the images may change.
        purpose: ``board``, or ``development`` for a dataset on which settings of methods are
            chosen: no record on it stands on a board.
        size: Height and width in pixels of every image (they are square).
        seed: Of the assignment of real images to splits.
        counts: Images per source and split.
        fdr: Sample size and dimension for FDR.
        real: Where the real images come from; absent in a synthetic dataset.
        sources: Generators by name, with the origin of their images.
        equalise: One pipeline for every image, or None.
        hub: Where a built copy is on the Hub, or None.
        synthetic: Settings of a dataset made on the fly, or None.
    """

    name: str
    title: str
    version: int = Field(ge=1)
    purpose: Literal["board", "development"] = "board"
    size: int = Field(ge=8)
    seed: int = 0
    counts: Counts
    fdr: Fdr
    real: RealOrigins | None = None
    sources: dict[str, AnyOrigin] = Field(default_factory=dict)
    equalise: Equalise | None = None
    hub: HubPlace | None = None
    synthetic: Synthetic | None = None

    @property
    def raw_size(self) -> int:
        """Height and width in pixels before `equalise` reduces them."""
        return self.size * (self.equalise.reduce or 1 if self.equalise else 1)

    @property
    def real_origins(self) -> list[Origin]:
        """Where the real images come from; none of a synthetic dataset."""
        if self.real is None:
            return []
        return [self.real.seen, *([] if self.real.unseen is None else [self.real.unseen])]

    @property
    def card_files(self) -> list[str]:
        """Files beside the recipe that its origins read, each once."""
        origins = (*self.real_origins, *self.sources.values())
        return list(dict.fromkeys(name for origin in origins for name in origin.card_files()))

    @field_validator("name")
    @classmethod
    def _plain(cls, name: str) -> str:
        return plain_name(name)

    @model_validator(mode="after")
    def _whole(self) -> Recipe:
        for source in self.sources:
            if source == REAL or not _NAME.fullmatch(source):
                raise ValueError(
                    f"sources: {source!r} is no name of a generator; use lower-case letters, "
                    f"digits, '-', '.', '+', and not {REAL!r}"
                )
        if (self.real is None) == (self.synthetic is None):
            raise ValueError("give exactly one of `real` and `synthetic`")
        if self.fdr.samples > self.counts.test:
            raise ValueError(
                f"fdr.samples is {self.fdr.samples}, but there are {self.counts.test} test images "
                "per source"
            )
        return self


class FileEntry(Document):
    """One data file in ``manifest.json``: SHA-256, bytes and images."""

    sha256: str
    size: int = Field(ge=0)
    images: int = Field(ge=0)


class Manifest(Document):
    """What was built; ``manifest.json``, written last.

    Attributes:
        name: Name of the dataset.
        version: Version of the recipe.
        revision: Version and the beginning of the content hash.
        size: Height and width in pixels.
        sources: Names in the order of labels, Real first.
        counts: Images by split and source.
        files: Data files by path relative to the folder.
        content: Hash of ids and decoded pixels by split and source.
        content_hash: Hash of `content`.
        external: Sources whose images are not in this folder but had from their origin.
        facts: What is known of how each source was made, e.g. steps and minutes of training.
        quality: Figures by source, e.g. the Fréchet distance to real.
        built: Time of building, with time zone.
        fpbench: Version that built it.
    """

    name: str
    version: int
    revision: str
    size: tuple[int, int]
    sources: list[str]
    counts: dict[str, dict[str, int]]
    files: dict[str, FileEntry]
    content: dict[str, dict[str, str]]
    content_hash: str
    external: list[str] = Field(default_factory=list)
    facts: dict[str, dict[str, Any]] = Field(default_factory=dict)
    quality: dict[str, dict[str, float]] = Field(default_factory=dict)
    built: str = ""
    fpbench: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Manifest:
        if not self.sources or self.sources[0] != REAL:
            raise ValueError(f"sources must begin with {REAL!r}")
        for field in ("counts", "content"):
            table: dict[str, dict[str, Any]] = getattr(self, field)
            if set(table) != set(SPLITS):
                raise ValueError(f"{field} must have the splits {', '.join(SPLITS)}")
            for split, row in table.items():
                expected = {REAL} if split == "reference" else set(self.sources)
                if set(row) != expected:
                    raise ValueError(
                        f"{field}.{split} has the sources {', '.join(sorted(row))}, "
                        f"not {', '.join(sorted(expected))}"
                    )
        return self
