"""Design choices of sources as classes, and how well they are predicted from images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

from fpbench.images import ImageSet, Source

if TYPE_CHECKING:
    from numpy.typing import NDArray

UNKNOWN = -1
_LOSS = "loss"


@dataclass(frozen=True)
class DesignTable:
    """Which values every design attribute has among the training sources.

    Attributes:
        values: Attribute to its values, both in alphabetical order.
        majority: Attribute to the value that most training images have; the first of equals.
    """

    values: Mapping[str, tuple[str, ...]]
    majority: Mapping[str, str]

    @classmethod
    def of(cls, images: ImageSet) -> Self:
        """The table of labelled images; sources without images or design choices add nothing."""
        counts: dict[str, dict[str, int]] = {}
        numbers = np.bincount(images.labels, minlength=len(images.sources))
        for source, number in zip(images.sources, numbers, strict=True):
            if number:
                for attribute, value in source.design.items():
                    of_value = counts.setdefault(attribute, {})
                    of_value[value] = of_value.get(value, 0) + int(number)
        values = {attribute: tuple(sorted(counts[attribute])) for attribute in sorted(counts)}
        majority = {
            attribute: max(known, key=lambda value: counts[attribute][value])
            for attribute, known in values.items()
        }
        return cls(values, majority)

    @property
    def classes(self) -> dict[str, int]:
        """Attribute to its number of values."""
        return {attribute: len(known) for attribute, known in self.values.items()}

    @property
    def groups(self) -> dict[str, list[str]]:
        """Attributes by the branch that predicts them: of the architecture, of the loss."""
        groups: dict[str, list[str]] = {}
        for attribute in self.values:
            group = "loss" if attribute.startswith(_LOSS) else "architecture"
            groups.setdefault(group, []).append(attribute)
        return groups

    def classes_of(self, sources: Sequence[Source], order: Sequence[str]) -> NDArray[np.int64]:
        """Class of each source (rows) in each attribute of `order` (columns).

        -1 where a source does not state the attribute, or a value that training had not.
        """
        index = {
            attribute: {value: number for number, value in enumerate(known)}
            for attribute, known in self.values.items()
        }
        return np.array(
            [
                [index[name].get(source.design.get(name, ""), UNKNOWN) for name in order]
                for source in sources
            ],
            np.int64,
        ).reshape(len(sources), len(order))


@dataclass(frozen=True)
class DesignScore:
    """How well one attribute is predicted.

    Attributes:
        accuracy: Share of images whose value was named.
        majority: What naming the majority value of training would have reached on them.
        balanced: Mean over the stated values of the share of their images whose value was named;
            training weighs values equally, so this is what it aims at.
        chance: What naming any one value would have reached there: one over the stated values.
        n: Images whose source states the attribute.
    """

    accuracy: float
    majority: float
    balanced: float
    chance: float
    n: int


def score_design(
    predicted: Mapping[str, NDArray[np.floating]], table: DesignTable, images: ImageSet
) -> dict[str, DesignScore]:
    """Accuracy of predicted design choices against the majority baseline, attribute by attribute.

    An image whose source states a value that training had not counts as wrong for both. An
    attribute that no source of these images states is left out.

    Args:
        predicted: Attribute to probabilities (N, C), as `AsnaniParsing.predict_design` returns.
        table: The fitted method's table.
        images: The N images, labelled.

    Raises:
        ValueError: If the probabilities are not of these images and this table.
    """
    scores: dict[str, DesignScore] = {}
    for attribute, proba in predicted.items():
        known = table.values.get(attribute, ())
        if np.shape(proba) != (len(images), len(known)):
            raise ValueError(
                f"probabilities of {attribute!r} have shape {np.shape(proba)}; "
                f"({len(images)}, {len(known)}) is needed"
            )
        stated = np.array([attribute in source.design for source in images.sources])
        chosen = stated[images.labels]
        if not chosen.any():
            continue
        truth = np.array([source.design.get(attribute, "") for source in images.sources])
        truth = truth[images.labels[chosen]]
        named = np.array(known)[np.argmax(proba[chosen], axis=1)]
        scores[attribute] = DesignScore(
            accuracy=float((named == truth).mean()),
            majority=float((truth == table.majority[attribute]).mean()),
            balanced=float(
                np.mean([(named == truth)[truth == v].mean() for v in np.unique(truth)])
            ),
            chance=1 / len(np.unique(truth)),
            n=int(chosen.sum()),
        )
    return scores
