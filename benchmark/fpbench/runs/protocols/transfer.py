"""``transfer``: trained on the sources of one dataset, tested on those of another."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from fpbench.documents import Document
from fpbench.errors import BadInput
from fpbench.images import ImageSet
from fpbench.method import FitContext, MethodDeclined
from fpbench.metrics.transfer import closed_set_cap
from fpbench.runs.job import TRANSFER, Job
from fpbench.runs.judge import Fitted, judge, sentence_of
from fpbench.runs.protocols.base import Load, Prepared, Protocol, describe_side
from fpbench.runs.splits import Splits, restrict_sources
from fpbench.scores.catalogue import FAMILIES
from fpbench.scores.evidence import Outcome, ScoringSettings

Reference = Literal["source", "target"]
SizeRule = Literal["same", "native", "nearest"]


class TransferFacts(Document):
    """How the two datasets of a transfer fit together; Real is left out of architectures."""

    size_rule: SizeRule = Field(
        description="`same`: both datasets have one size; `native`: each was taken as it is; "
        "`nearest`: the smaller was enlarged by nearest neighbour, which is a trace of its own, so "
        "that the scores are confounded."
    )
    judged_size: tuple[int, int] = Field(description="Size at which test images were judged.")
    shared_architectures: list[str] = Field(description="In both datasets.")
    new_architectures: list[str] = Field(description="Tested, not trained on.")
    shared_families: list[str] = Field(description="In both datasets, Real included.")
    cap: float = Field(
        description="Highest accuracy that naming the model can reach on all tested models: the "
        "share of them that was trained on."
    )
    cap_with_real: float = Field(description="The same, Real counting as one more model.")
    left_out: int = Field(
        description="Test images left out, because the same pixels are in the training, "
        "validation or reference images."
    )


class Transfer(Protocol):
    """Which of the models that both datasets hold made an image, and of which family it is.

    Settings of its jobs: ``reference``, whose reference images the method is given, those of the
    dataset trained on (``source``) or tested on (``target``); ``resize``, whether the smaller
    images are enlarged to the larger by nearest neighbour.
    """

    name = TRANSFER
    families = (FAMILIES["transfer"],)
    defaults: ClassVar[Mapping[str, Any]] = {"reference": "source", "resize": False}

    def complete(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings, each of which must be one of two values.

        Raises:
            BadInput: If there is no such setting or value.
        """
        complete = super().complete(settings)
        for name, known in (("reference", ("source", "target")), ("resize", (False, True))):
            value = complete[name]
            if type(value) is not type(known[0]) or value not in known:
                raise BadInput(
                    f"{name}={value!r} is not possible; the protocol {self.name!r} takes "
                    f"{known[0]!r} or {known[1]!r}."
                )
        return complete

    def prepare(self, job: Job, load: Load) -> Prepared:
        """Chosen sources, no image on both sides, sizes by a stated rule.

        Raises:
            BadInput: If a named generator does not exist, the reference images do not have the
                size of the training images, or no test image is left.
        """
        source, target = load(job.train), load(job.test)
        train = restrict_sources(source.train, job.train.sources, job.train.name)
        validation = restrict_sources(source.validation, job.train.sources, job.train.name)
        test = restrict_sources(target.test, job.test.sources, job.test.name)
        of_target = job.settings.get("reference") == "target"
        reference = target.reference if of_target else source.reference
        sizes = train.size, test.size
        seen = set().union(*(_digests(part) for part in (train, validation, reference)))
        fresh = np.array([digest not in seen for digest in _digests(test)], dtype=bool)
        if not fresh.any():
            raise BadInput(
                f"Every test image of {job.test.title} is also in the training or reference "
                f"images of {job.train.title}; nothing is left to test."
            )
        test = test.select(fresh)
        rule: SizeRule = "same"
        if sizes[0] != sizes[1]:
            rule = "nearest" if job.settings.get("resize") else "native"
        if rule == "nearest":
            size = max(sizes, key=lambda pair: pair[0] * pair[1])
            reference, train, validation, test = (
                enlarge(part, size) for part in (reference, train, validation, test)
            )
        elif reference.size != train.size:
            raise BadInput(
                f"--reference target is not possible here: the reference images of "
                f"{job.test.name} are {by(reference.size)}, the training images of "
                f"{job.train.name} {by(train.size)}. Use --reference source, or --resize, which "
                "confounds."
            )
        return Prepared(
            Splits(reference, train, validation, test),
            ScoringSettings(job.seed),
            describe_side(
                source,
                sizes[0],
                train.sources,
                train=train,
                validation=validation,
                reference=None if of_target else reference,
            ),
            describe_side(
                target,
                sizes[1],
                test.sources,
                test=test,
                reference=reference if of_target else None,
            ),
            _facts(train, test, rule, int((~fresh).sum())).model_dump(mode="json"),
        )

    def judge(self, fitted: Fitted, prepared: Prepared, context: FitContext, job: Job) -> Outcome:
        """Ask about each test image; a method that cannot take their size declines."""
        try:
            return judge(fitted, prepared.splits, context, bag_sizes=(), need_probe=False)
        except MethodDeclined:
            raise
        except Exception as error:
            trained, tested = prepared.splits.train.size, prepared.splits.test.size
            if trained == tested:
                raise
            raise MethodDeclined(
                f"{job.method} was trained on {by(trained)} and cannot judge {by(tested)} "
                f"({sentence_of(error)}). Pass --resize to enlarge the smaller images by nearest "
                "neighbour; that leaves a trace of its own, so scores are confounded."
            ) from error


def _facts(train: ImageSet, test: ImageSet, rule: SizeRule, left_out: int) -> TransferFacts:
    trained, tested = (
        {s.architecture for s in part.sources if not s.is_real} for part in (train, test)
    )
    architectures = [s.architecture for s in test.sources if not s.is_real]
    families = {s.family for s in train.sources} & {s.family for s in test.sources}
    return TransferFacts(
        size_rule=rule,
        judged_size=test.size,
        shared_architectures=sorted(trained & tested),
        new_architectures=sorted(tested - trained),
        shared_families=sorted(families),
        cap=closed_set_cap(sorted(trained), architectures, False),
        cap_with_real=closed_set_cap(sorted(trained), architectures, True),
        left_out=left_out,
    )


def enlarge(images: ImageSet, size: tuple[int, int]) -> ImageSet:
    """The same images at another size, each pixel being its nearest neighbour's."""
    if images.size == size:
        return images
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int64)
        for new, old in zip(size, images.size, strict=True)
    )
    pixels = np.ascontiguousarray(images.pixels[:, rows][:, :, columns])
    labels = images.labels if images.labelled else None
    return ImageSet(pixels, images.sources, labels, images.ids.tolist())


def by(size: tuple[int, int]) -> str:
    """``32x64``: height by width."""
    return f"{size[0]}x{size[1]}"


def _digests(images: ImageSet) -> list[bytes]:
    """One digest an image, of its pixels."""
    return [
        hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=16).digest()
        for batch in images.batches(1024)
        for image in batch
    ]
