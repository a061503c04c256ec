"""What a job is: everything its result depends on, and a name made from that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from fpbench.method import Budget
from fpbench.runs.renamed import former_name

SCORING_VERSION = 3
"""Raised whenever a score or interval computed from the same predictions may change.

`fpbench rescore` brings finished runs to it.
"""

CLOSED_SET = "closed-set"
TRANSFER = "transfer"

FOLDING = "folding"
"""The setting of a job with folds that says what is assigned to them."""

BLOCKS = "blocks"
"""Its value since whole blocks are: all crops of one region of a photograph together.

Jobs of before have no such setting, and folds of single images: another assignment.
"""

EPOCHS = "epochs"
"""The setting of a null control that says which epoch's weights are kept."""

ALL_EPOCHS = "all"
"""Its value since nothing is chosen on shuffled labels: those of the last epoch.

Jobs of before have no such setting, and kept the best on validation images.
"""

Control = Literal["none", "shuffled-labels"]
"""A null control trains on shuffled labels, so every honest score must land at chance."""

_STRICT = {"extra": "forbid"}
"""A record, which nests the job, refuses unknown fields in it as anywhere else."""


@dataclass(frozen=True)
class Side:
    """A dataset that a job is trained on or tested on.

    Attributes:
        name: Name of the dataset, of its folder, or its Hub id.
        revision: Revision of its content.
        content_hash: SHA-256 over its decoded pixels and labels.
        sources: Names of the generators used, sorted; empty for all. Real is always used.
        location: What it is loaded by, where that is not its name.
        digest: SHA-256 of what results depend on beside the images: the sources as described, and
            n and d of FDR (see `fpbench.datasets.dataset.description_digest`). It is no part of
            the job's key; a finished job of another digest counts as not run. Empty in records
            of before it was noted whose dataset is not known here.
    """

    name: str
    revision: str
    content_hash: str
    sources: tuple[str, ...] = ()
    location: str = ""
    digest: str = ""

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    @property
    def reference(self) -> str:
        """What it is loaded by."""
        return self.location or self.name

    @property
    def title(self) -> str:
        """E.g. ``gm-mini[dcgan-small]``."""
        return f"{self.name}[{','.join(self.sources)}]" if self.sources else self.name

    @property
    def content(self) -> dict[str, Any]:
        """What a job's key holds of it: a dataset may be renamed or moved, its images may not."""
        return {
            "revision": self.revision,
            "content_hash": self.content_hash,
            "sources": list(self.sources),
        }


@dataclass(frozen=True)
class Limits:
    """What is taken away from a method's images or done to them, or varied by an ablation.

    Attributes:
        train_images: Training images of each source that the method is given, or None for all.
        reference_images: Reference images that it is given, or None for all.
        bag_sizes: Sizes of the bags that a set-level classifier judges, or None for the usual
            ones.
        fingerprint_bags: Numbers of bags of each source that fingerprints are made from beside
            the usual ones, which all training images make, or None.
        fingerprint_bag_size: Images in each of those bags, or None without them.
        augment: Whether half of the training and validation images are perturbed at random, or
            None where all are as they are.
    """

    train_images: int | None = None
    reference_images: int | None = None
    bag_sizes: tuple[int, ...] | None = None
    fingerprint_bags: tuple[int, ...] | None = None
    fingerprint_bag_size: int | None = None
    augment: Literal[True] | None = None

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    @property
    def stated(self) -> dict[str, Any]:
        """The limits that there are, by name."""
        return {
            f.name: list(value) if isinstance(value, tuple) else value
            for f in fields(self)
            if (value := getattr(self, f.name)) is not None
        }

    def __str__(self) -> str:
        shown = (
            f"{name.replace('_', ' ')}: "
            f"{', '.join(map(str, value)) if isinstance(value, list) else value}"
            for name, value in self.stated.items()
        )
        return "; ".join(shown)


@dataclass(frozen=True)
class Job:
    """One job: a method's configuration under a protocol, on one pair of sides, seed and fold.

    Two equal jobs give the same result; the device, the number of threads and the versions of
    libraries are recorded beside the result but are not part of the question.

    Attributes:
        method: Entry-point name.
        variant: Name of the variant.
        method_version: Version on the method's card.
        train: What it is trained on.
        test: What it is tested on; the same side again where nothing is transferred.
        protocol: Name of the protocol (see `fpbench.runs.protocols`).
        settings: Of the protocol, e.g. whose reference images a transfer gives.
        params: Constructor arguments set by the user on top of the variant's.
        files: SHA-256 of the files that parameters name, by parameter: another file under the
            same name is another job, the same file elsewhere is not.
        budget: Training length.
        seed: Seed of the method and of every random choice in scoring.
        fold: Which of `folds` is the test fold, or None for the dataset's own splits.
        folds: Number of folds, or None.
        control: Null control, if any.
        limits: What is taken away or varied.
        scoring: `SCORING_VERSION` at the time of planning.
    """

    method: str
    variant: str
    method_version: str
    train: Side
    test: Side
    protocol: str = CLOSED_SET
    settings: Mapping[str, Any] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    budget: Budget = "small"
    seed: int = 0
    fold: int | None = None
    folds: int | None = None
    control: Control = "none"
    limits: Limits = field(default_factory=Limits)
    scoring: int = SCORING_VERSION

    __pydantic_config__: ClassVar[dict[str, str]] = _STRICT

    @property
    def key(self) -> str:
        """The job's name: 16 hexadecimal digits of the SHA-256 of its content.

        Names and locations of datasets are left out: the content hash says which images were
        used, and a folder may be renamed or moved.
        """
        text = json.dumps(self._content(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _content(self) -> dict[str, Any]:
        """What the key is made from; of the first two protocols it is written as ever.

        Their jobs were published before there were others, and a published job keeps its name,
        also where its method has another one now.
        """
        method, variant = former_name(self.method, self.variant)
        run: dict[str, Any] = {
            "method": method,
            "variant": variant,
            "method_version": self.method_version,
            "params": {k: value for k, value in self.params.items() if k not in self.files},
            "budget": self.budget,
            "seed": self.seed,
            "scoring": self.scoring,
        }
        if self.files:
            # What they hold counts, not where they lie on somebody's machine.
            run["files"] = dict(self.files)
        closed = {"fold": self.fold, "folds": self.folds, "control": self.control}
        closed |= self.limits.stated
        if self.protocol == CLOSED_SET and not self.settings and self._one_whole_dataset:
            side = self.test.content
            del side["sources"]
            return run | side | closed
        if self.protocol == TRANSFER and closed == _UNDIVIDED:
            sides = {"train": self.train.content, "test": self.test.content}
            return {"kind": TRANSFER, **run, **sides, **self.settings}
        return {
            "protocol": self.protocol,
            "settings": dict(self.settings),
            **run,
            **closed,
            "train": self.train.content,
            "test": self.test.content,
        }

    @property
    def _one_whole_dataset(self) -> bool:
        return self.train.content == self.test.content and not self.test.sources

    @property
    def label(self) -> str:
        """The configuration as it is asked for: ``manifpt:freq k=5``."""
        settings = "".join(f" {key}={value}" for key, value in sorted(self.params.items()))
        return f"{self.method}:{self.variant}{settings}"

    @property
    def place(self) -> str:
        """Name of the dataset, or ``A-to-B``: where it lies among other jobs."""
        if self.train == self.test:
            return self.test.name
        return f"{Path(self.train.name).name}-to-{Path(self.test.name).name}"

    @property
    def title(self) -> str:
        """A line for people, e.g. ``manifpt:rgb on gm-mini, seed 0``."""
        where = (
            f"on {self.test.title}"
            if self.train == self.test
            else f"from {self.train.title} to {self.test.title}"
        )
        parts = [f"{self.method}:{self.variant} {where}, seed {self.seed}"]
        if self.protocol not in (CLOSED_SET, TRANSFER):
            parts.append(self.protocol)
        if self.folds is not None and self.fold is not None:
            parts.append(f"fold {self.fold + 1} of {self.folds}")
        if self.budget != "small":
            parts.append(f"budget {self.budget}")
        if self.params:
            parts.append(" ".join(f"{key}={value}" for key, value in sorted(self.params.items())))
        if self.control != "none":
            parts.append(self.control)
        parts += [
            f"{name} {' '.join(value) if isinstance(value, list) else value}"
            for name, value in sorted(self.settings.items())
            if value not in (False, "source")
        ]
        if self.limits.augment:
            parts.append("augmented")
        if self.limits.train_images is not None:
            parts.append(f"{self.limits.train_images} training images a source")
        if self.limits.reference_images is not None:
            parts.append(f"{self.limits.reference_images} reference images")
        return ", ".join(parts)

    def at(self, location: str) -> Self:
        """The same job on a dataset that is loaded by another name."""
        return replace(
            self,
            train=replace(self.train, location=location),
            test=replace(self.test, location=location),
        )

    def to_dict(self) -> dict[str, Any]:
        """The job as a JSON document holds it."""
        content: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The job of `to_dict`.

        Raises:
            ValueError: If the document does not describe a job, with what is wrong.
        """
        from pydantic import TypeAdapter

        job: Self = TypeAdapter(cls).validate_python(dict(content))
        return job


_UNDIVIDED = {"fold": None, "folds": None, "control": "none"}
