"""``open-set``: some generators are unknown when a method is trained, and test images hold all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from pydantic import Field

from fpbench.documents import Document
from fpbench.errors import BadInput, suggest
from fpbench.images import Source
from fpbench.method import FitContext
from fpbench.runs.job import Job
from fpbench.runs.judge import Fitted, NullControl, check_unknown_scores, judge, show
from fpbench.runs.protocols.base import Describe, Load, Prepared, Protocol, describe_side
from fpbench.runs.record import Record
from fpbench.runs.splits import Splits, limit_splits, restrict_sources, splits_of_job
from fpbench.scores.catalogue import FAMILIES
from fpbench.scores.evidence import Outcome, ScoringSettings
from fpbench.scores.open_set import OWN

ROTATE = "rotate"
ROTATIONS = 4
"""Groups that the generators are dealt into, each being unknown once; fewer of fewer generators."""

_FAMILY = "family:"


class OpenSetFacts(Document):
    """Which part of a dataset's rotations a job is."""

    rotation: int | None = Field(
        description="Which of this seed's rotations it is, from 1; null where its unknown "
        "generators are no group that was dealt."
    )
    rotations: int = Field(description="Rotations of the dataset.")


class OpenSet(Protocol):
    """Is an image of a generator that was not trained on, and is a known one still named?

    Setting of its jobs: ``unknown``, names of the generators that are left out of training and
    validation. It is asked for by names, by ``family:NAME``, or as ``rotate``, which makes a job
    of each rotation: the generators are dealt into groups, stratified by family, by the job's
    seed, so that each is unknown exactly once.
    """

    name = "open-set"
    families = (FAMILIES["open-set"],)
    defaults: ClassVar[Mapping[str, Any]] = {"unknown": ROTATE}
    limits = frozenset({"train_images", "reference_images"})

    def complete(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings, ``unknown`` being ``rotate`` or a list of names and families.

        Raises:
            BadInput: If there is no such setting, or it names nothing.
        """
        complete = super().complete(settings)
        asked = complete["unknown"]
        words = asked.split(",") if isinstance(asked, str) else asked
        if not isinstance(words, Sequence) or not all(isinstance(word, str) for word in words):
            raise BadInput(f"--unknown takes names of generators, not {asked!r}.")
        names = [word.strip() for word in words if word.strip()]
        if not names:
            raise BadInput("--unknown names nothing; give names, family:NAME, or rotate.")
        if ROTATE in names and len(names) > 1:
            raise BadInput(
                f"--unknown {ROTATE} makes every generator unknown once; name none beside it."
            )
        return complete | {"unknown": ROTATE if names == [ROTATE] else names}

    def expand(self, job: Job, describe: Describe) -> list[Job]:
        """One job a rotation, or the one whose unknown generators were named.

        Raises:
            BadInput: If a generator or family is unknown, Real is named, or no generator would
                be left to train on.
        """
        asked, sources = job.settings["unknown"], describe(job.test)
        if asked == ROTATE:
            groups = deal(sources, job.seed)
            if not groups:
                raise BadInput(
                    f"{job.test.title} has fewer than two generators: with one of them unknown, "
                    "none is left to train on."
                )
        else:
            groups = [named(asked, sources, job.test.title)]
        return [replace(job, settings={**job.settings, "unknown": group}) for group in groups]

    def prepare(self, job: Job, load: Load) -> Prepared:
        """Training and validation images of the known sources, test images of all.

        Raises:
            BadInput: If the job does not name the unknown generators, or `expand` would refuse
                them.
        """
        dataset = load(job.test)
        if job.settings["unknown"] == ROTATE:
            raise BadInput(
                "A job of open-set names its unknown generators; fpbench.runs.plan.make_plan "
                "makes a job of each rotation."
            )
        unknown = named(job.settings["unknown"], dataset.sources, job.test.title)
        known = [s.name for s in dataset.sources if not s.is_real and s.name not in unknown]
        whole = limit_splits(
            splits_of_job(dataset, job),
            job.limits.train_images,
            job.limits.reference_images,
            job.seed,
        )
        train, validation = (
            restrict_sources(part, known, job.test.name) for part in (whole.train, whole.validation)
        )
        dealt = deal(dataset.sources, job.seed)
        facts = OpenSetFacts(
            rotation=1 + dealt.index(unknown) if unknown in dealt else None, rotations=len(dealt)
        )
        return Prepared(
            Splits(whole.reference, train, validation, whole.test),
            ScoringSettings(job.seed),
            describe_side(
                dataset,
                train.size,
                train.sources,
                train=train,
                validation=validation,
                reference=whole.reference,
            ),
            describe_side(dataset, whole.test.size, whole.test.sources, test=whole.test),
            facts.model_dump(mode="json"),
        )

    def judge(self, fitted: Fitted, prepared: Prepared, context: FitContext, job: Job) -> Outcome:
        """Ask for probabilities, embeddings, and how unknown the method itself finds an image."""
        splits, method = prepared.splits, fitted.method
        outcome = judge(
            fitted,
            splits,
            context,
            null=NullControl.of(job),
            bag_sizes=(),
            need_probe=False,
        )
        if not method.implements("unknown_score"):
            return outcome
        shown = show(splits.test, context.seed)
        own = check_unknown_scores(method.unknown_score(shown.images), len(splits.test))
        return replace(outcome, arrays={OWN: own[shown.back]})

    def remarks(self, record: Record) -> list[str]:
        """Which generators were unknown, and which rotation that is."""
        facts = OpenSetFacts.model_validate(record.setup.facts)
        line = f"unknown  {', '.join(record.job.settings['unknown'])}"
        if facts.rotation is not None:
            line += f" (rotation {facts.rotation} of {facts.rotations}"
            few = facts.rotations < ROTATIONS
            line += f"; {ROTATIONS} take more generators)" if few else ")"
        return [line]


def deal(sources: Sequence[Source], seed: int) -> list[list[str]]:
    """Generators dealt into `ROTATIONS` groups, or as many as there are generators.

    Groups differ in size by one generator at most, and hold about equally many of each family.

    Args:
        sources: All sources; Real is in no group.
        seed: Seed of the deal.

    Returns:
        Sorted names of each group; no group where there are fewer than two generators.

    >>> sources = [Source(f"{f}{k}".lower(), f, "a") for f in ("GAN", "VAE") for k in range(4)]
    >>> groups = deal(sources, 0)
    >>> [sorted(name[:3] for name in group) for group in groups] == [["gan", "vae"]] * 4
    True
    """
    generators = [source for source in sources if not source.is_real]
    if len(generators) < 2:
        return []
    rng = np.random.default_rng(seed)
    families = list(dict.fromkeys(source.family for source in generators))
    order: list[str] = []
    for family in rng.permutation(families):
        own = [source.name for source in generators if source.family == family]
        order += rng.permutation(own).tolist()
    count = min(ROTATIONS, len(order))
    return [sorted(order[start::count]) for start in range(count)]


def named(asked: Sequence[str], sources: Sequence[Source], dataset: str) -> list[str]:
    """Sorted names of the generators that names and families stand for.

    Args:
        asked: Names, and families as ``family:GAN``.
        sources: All sources of the dataset.
        dataset: Its name, for messages.

    Raises:
        BadInput: If a name or family is not there, is Real, or no generator would be left.
    """
    generators = {source.name: source for source in sources if not source.is_real}
    families = {source.family for source in generators.values()}
    real = next((source for source in sources if source.is_real), None)
    found: set[str] = set()
    for word in asked:
        family = word.removeprefix(_FAMILY) if word.startswith(_FAMILY) else None
        if real is not None and (word == real.name or family == real.family):
            raise BadInput(
                f"{word!r} cannot be unknown: Real is what every method is trained to tell "
                "generators from, and no generator. Name generators."
            )
        if family is not None:
            if family not in families:
                raise BadInput(
                    f"{dataset} has no generator of the family {family!r}. "
                    f"{suggest(family, families)}"
                )
            found |= {name for name, source in generators.items() if source.family == family}
        elif word in generators:
            found.add(word)
        else:
            raise BadInput(f"{dataset} has no generator {word!r}. {suggest(word, generators)}")
    if len(found) == len(generators):
        raise BadInput(
            f"With {', '.join(sorted(found))} unknown, no generator of {dataset} is left to train "
            "on; name fewer."
        )
    return sorted(found)
