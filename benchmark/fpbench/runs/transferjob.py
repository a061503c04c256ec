"""What a transfer job is: trained on the sources of one dataset, tested on those of another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from fpbench import registry
from fpbench.datasets.load import DatasetIdentity
from fpbench.method import Budget
from fpbench.runs.job import SCORING_VERSION
from fpbench.runs.plan import check_params

Reference = Literal["source", "target"]


@dataclass(frozen=True)
class Side:
    """The dataset that a transfer job is trained on, or tested on.

    Attributes:
        name: Name of the dataset, of its folder, or its Hub id.
        revision: Revision of the dataset.
        content_hash: Hash of its content.
        sources: Names of the generators used, sorted; empty for all. Real is always used.
        location: What the dataset is loaded by, where that is not its name.
    """

    name: str
    revision: str
    content_hash: str
    sources: tuple[str, ...] = ()
    location: str = ""

    @property
    def title(self) -> str:
        """E.g. ``gm-mini[dcgan-small]``."""
        return f"{self.name}[{','.join(self.sources)}]" if self.sources else self.name


@dataclass(frozen=True)
class TransferSpec:
    """One transfer job; two with the same spec give the same result.

    Attributes:
        method: Entry-point name.
        variant: Name of the variant.
        method_version: Version on the method's card.
        train: What it is trained on (train and validation split).
        test: What it is tested on (test split).
        params: Constructor arguments set by the user on top of the variant's.
        reference: Whose reference images the method is given: those of the dataset trained on
            (``source``) or those of the one tested on (``target``).
        resize: Whether the smaller images are enlarged to the larger by nearest neighbour.
        budget: Training length.
        seed: Seed of the method and of the bootstrap.
        scoring: `SCORING_VERSION` at the time of planning.
    """

    method: str
    variant: str
    method_version: str
    train: Side
    test: Side
    params: Mapping[str, Any] = field(default_factory=dict)
    reference: Reference = "source"
    resize: bool = False
    budget: Budget = "small"
    seed: int = 0
    scoring: int = SCORING_VERSION

    @property
    def dataset(self) -> str:
        """Names the folder of the store: ``A-to-B``."""
        return f"{Path(self.train.name).name}-to-{Path(self.test.name).name}"

    @property
    def key(self) -> str:
        """The job's name: 16 hexadecimal digits of the SHA-256 of the spec.

        Names and locations of datasets are left out, as in `fpbench.runs.job.JobSpec.key`.
        """
        content = asdict(self)
        for side in (content["train"], content["test"]):
            del side["name"], side["location"]
        text = json.dumps({"kind": "transfer", **content}, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def title(self) -> str:
        """A line for people, e.g. ``prnu:wavelet from gm-mini to gm-cifar10, seed 0``."""
        parts = [
            f"{self.method}:{self.variant} from {self.train.title} to {self.test.title}, "
            f"seed {self.seed}"
        ]
        if self.reference != "source":
            parts.append("reference of the target")
        if self.resize:
            parts.append("resized")
        if self.budget != "small":
            parts.append(f"budget {self.budget}")
        if self.params:
            parts.append(" ".join(f"{key}={value}" for key, value in sorted(self.params.items())))
        return ", ".join(parts)


def plan_transfer(
    methods: Sequence[str],
    train: tuple[str, DatasetIdentity],
    test: tuple[str, DatasetIdentity],
    *,
    train_sources: Sequence[str] = (),
    test_sources: Sequence[str] = (),
    reference: Reference = "source",
    resize: bool = False,
    budget: Budget = "small",
    seeds: Sequence[int] = (0,),
    params: dict[str, Any] | None = None,
) -> list[TransferSpec]:
    """All jobs of methods × seeds from one dataset to another.

    Args:
        methods: ``NAME`` or ``NAME:VARIANT`` each.
        train: What the dataset to train on is loaded by, and its identity.
        test: The same of the dataset to test on.
        train_sources: Generators to train on; empty for all.
        test_sources: Generators to test on; empty for all.
        reference: Whose reference images the method is given.
        resize: Whether images may be resized to one size.
        budget: Training length.
        seeds: Seeds.
        params: Constructor arguments for every method.

    Raises:
        BadInput: If a method, variant or parameter is unknown.
    """
    sides = [
        Side(
            identity.name,
            identity.revision,
            identity.content_hash,
            tuple(sorted(set(chosen))),
            location,
        )
        for (location, identity), chosen in ((train, train_sources), (test, test_sources))
    ]
    plan = []
    for name in methods:
        cls, variant = registry.resolve_method(name)
        base, _ = registry.split_variant(name)
        read = check_params(base, cls, params or {}, variant)
        plan += [
            TransferSpec(
                method=base,
                variant=variant,
                method_version=cls.card.version,
                train=sides[0],
                test=sides[1],
                params=read,
                reference=reference,
                resize=resize,
                budget=budget,
                seed=seed,
            )
            for seed in seeds
        ]
    return list({spec.key: spec for spec in plan}.values())
