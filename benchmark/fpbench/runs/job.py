"""What a job is: everything its result depends on, and a name made from that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from fpbench.method import Budget

SCORING_VERSION = 3
"""Raised whenever a score or interval computed from the same predictions may change.

`fpbench rescore` brings finished runs to it.
"""

Control = Literal["none", "shuffled-labels"]
"""A null control trains on shuffled labels, so every honest score must land at chance."""

LIMITS = (
    "train_images",
    "reference_images",
    "bag_sizes",
    "fingerprint_bags",
    "fingerprint_bag_size",
)
"""Fields of a job that an ablation sets; None in every job that a board may rank."""


@dataclass(frozen=True)
class JobSpec:
    """One job: a method's configuration on one dataset, seed and fold.

    Two jobs with the same spec give the same result; the device and the versions of libraries
    are recorded beside the result but are not part of the question.

    Attributes:
        method: Entry-point name.
        variant: Name of the variant.
        params: Constructor arguments set by the user on top of the variant's.
        method_version: Version on the method's card.
        dataset: Name of the dataset, of its folder, or its Hub id.
        revision: Revision of the dataset.
        content_hash: SHA-256 over the dataset's decoded pixels and labels.
        budget: Training length.
        seed: Seed of the method and of every random choice in scoring.
        fold: Which of `folds` is the test fold, or None for the dataset's own splits.
        folds: Number of folds, or None.
        control: Null control, if any.
        scoring: `SCORING_VERSION` at the time of planning.
        location: What the dataset is loaded by, where that is not its name.
        train_images: Training images of each source that the method is given, or None for all.
        reference_images: Reference images that it is given, or None for all.
        bag_sizes: Sizes of the bags that a method for sets judges, or None for the usual ones.
        fingerprint_bags: Numbers of bags of each source that fingerprints are made from beside
            the usual ones, which all training images make, or None.
        fingerprint_bag_size: Images in each of those bags, or None without them.
    """

    method: str
    variant: str
    dataset: str
    revision: str
    content_hash: str
    method_version: str
    params: Mapping[str, Any] = field(default_factory=dict)
    budget: Budget = "small"
    seed: int = 0
    fold: int | None = None
    folds: int | None = None
    control: Control = "none"
    scoring: int = SCORING_VERSION
    location: str = ""
    train_images: int | None = None
    reference_images: int | None = None
    bag_sizes: tuple[int, ...] | None = None
    fingerprint_bags: tuple[int, ...] | None = None
    fingerprint_bag_size: int | None = None

    @property
    def key(self) -> str:
        """The job's name: 16 hexadecimal digits of the SHA-256 of the spec.

        The dataset's name and location are left out: its content hash says which images were
        used, and a folder may be renamed or moved.
        """
        content = asdict(self)
        del content["dataset"], content["location"]
        # What is not limited is not part of the question, nor of the keys given before it could be.
        for limit in LIMITS:
            if content[limit] is None:
                del content[limit]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def title(self) -> str:
        """A line for people, e.g. ``manifpt:rgb on gm-mini, seed 0``."""
        parts = [f"{self.method}:{self.variant} on {self.dataset}, seed {self.seed}"]
        if self.folds is not None and self.fold is not None:
            parts.append(f"fold {self.fold + 1} of {self.folds}")
        if self.budget != "small":
            parts.append(f"budget {self.budget}")
        if self.params:
            parts.append(" ".join(f"{key}={value}" for key, value in sorted(self.params.items())))
        if self.control != "none":
            parts.append(self.control)
        if self.train_images is not None:
            parts.append(f"{self.train_images} training images a source")
        if self.reference_images is not None:
            parts.append(f"{self.reference_images} reference images")
        return ", ".join(parts)
