"""Whether a method finds what is planted, and nothing where labels mean nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from fpbench.conformance.result import Fault, NotRun
from fpbench.conformance.subject import Subject
from fpbench.images import ImageSet
from fpbench.method import Budget, Method
from fpbench.metrics.attribution import accuracy_with_real, confusion_matrix
from fpbench.metrics.null_control import chance_interval

_LEVEL = 0.99
_DEVIATIONS = 4.0


def _proba(
    subject: Subject, method: Method, train: ImageSet, validation: ImageSet
) -> NDArray[np.float32]:
    """The method's probabilities of the test images, else those of the common probe."""
    test = subject.sets.test.unlabelled()
    if subject.cls.implements("predict_proba"):
        return np.asarray(method.predict_proba(test))
    from fpbench.compute.probe import Probe

    probe = Probe().fit(
        method.embed(train.unlabelled()),
        train.labels,
        method.embed(validation.unlabelled()),
        validation.labels,
        classes=len(train.sources),
    )
    return probe.predict_proba(method.embed(test))


def check_null_control(subject: Subject) -> str:
    """Trained on shuffled labels, the method names sources no better than chance."""
    subject.fitted  # noqa: B018  (a method that declines is told apart first)
    sets, labels = subject.sets, subject.sets.test.labels
    # One shuffle in a hundred is outside by chance; two in a row are one in ten thousand.
    for attempt in range(2):
        generator = np.random.default_rng(100 + attempt)
        train, validation = (
            images.with_labels(generator.permutation(images.labels))
            for images in (sets.train, sets.validation)
        )
        method = subject.fit(train=train, validation=validation)
        proba = _proba(subject, method, train, validation)
        low, high = chance_interval(labels, proba, 0, level=_LEVEL)
        matrix = confusion_matrix(labels, proba, 0, with_real=False)
        score = float((np.diag(matrix) / matrix.sum(axis=1)).mean())
        if low <= score <= high:
            return f"accuracy {score:.2f} within [{low:.2f}, {high:.2f}]"
    raise Fault(
        f"fitted on shuffled labels it still names {score:.0%} of the generated images rightly, "
        f"outside what chance gives ({low:.0%} to {high:.0%}); something other than the labels it "
        "is given tells it the sources. Keep nothing between fits in class attributes, module "
        "globals or files, and do not go by ids or by the order of images."
    )


def check_planted(subject: Subject) -> str:
    """Strong planted fingerprints are told apart clearly better than by chance."""
    if subject.cls.card.blind:
        raise NotRun(subject.cls.card.blind)
    sets, classes = subject.sets, len(subject.sets.train.sources)
    chance = 1 / classes
    needed = chance + _DEVIATIONS * np.sqrt(chance * (1 - chance) / len(sets.test))
    budgets: tuple[Budget, ...] = ("smoke", "small")
    scores = []
    for budget in budgets:
        method = subject.fitted if budget == "smoke" else subject.fit(replace(sets), budget=budget)
        proba = _proba(subject, method, sets.train, sets.validation)
        score = accuracy_with_real(sets.test.labels, proba, 0)
        if score >= needed:
            return f"accuracy {score:.2f} at budget {budget}, chance {chance:.2f}"
        scores.append(f"{score:.0%} at budget {budget}")
    raise Fault(
        f"of {classes} sources that plant strong known fingerprints it names {', '.join(scores)} "
        f"rightly; {needed:.0%} would be clearly above chance ({chance:.0%}). Check that fit "
        "uses train.labels, that columns follow train.sources, and that embed keeps fine detail. "
        "If no image-level fingerprint can be found by design, say so in card.blind."
    )
