"""A verdict, and what it promises, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from fpbench.attribution.facts import Warning
from fpbench.images import REAL
from fpbench.metrics.conformal import possible_sources, smallest_bag_p_value

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fpbench.attribution.model import FittedModel

Kind = Literal["attributed", "undecided", "none", "not judged"]


@dataclass(frozen=True)
class Verdict:
    """What is said of one image.

    Attributes:
        place: The image.
        kind: ``attributed`` to one source, ``undecided`` between several, ``none`` of the known
            ones, or ``not judged``.
        sources: The sources that are not ruled out, the likeliest first.
        p_values: Of every source, by name.
        probabilities: What the method gave every source, by name.
        warnings: Facts to be known beside it.
        reason: Why it was not judged, one sentence; empty for a verdict.
    """

    place: str
    kind: Kind
    sources: tuple[str, ...] = ()
    p_values: dict[str, float] = field(default_factory=dict)
    probabilities: dict[str, float] = field(default_factory=dict)
    warnings: tuple[Warning, ...] = ()
    reason: str = ""

    @property
    def covered(self) -> bool:
        """Whether nothing is known that takes the image out of the promise."""
        return self.kind != "not judged" and not any(w.voids for w in self.warnings)

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if self.kind == "not judged":
            return self.reason
        return verdict_sentence(self.sources)

    def to_dict(self) -> dict[str, Any]:
        """The verdict as a JSON document holds it."""
        return {
            "image": self.place,
            "verdict": self.kind,
            "sources": list(self.sources),
            "sentence": self.sentence,
            "p_values": self.p_values,
            "probabilities": self.probabilities,
            "covered_by_promise": self.covered,
            "warnings": [
                {"kind": w.kind, "text": w.text, "voids_promise": w.voids} for w in self.warnings
            ],
        }


@dataclass(frozen=True)
class BagVerdict:
    """What is said of images that are all of one source.

    Attributes:
        images: How many were judged together.
        kind: As of `Verdict`.
        sources: As of `Verdict`.
        p_values: Of every source, by name.
        smallest: The smallest p-value that each source could be given.
        alpha: The error.
        warnings: Facts, each with the number of images it is true of.
        refused: Images that were left out, with the reason.
    """

    images: int
    kind: Kind
    sources: tuple[str, ...]
    p_values: dict[str, float]
    smallest: dict[str, float]
    alpha: float
    warnings: tuple[tuple[Warning, int], ...] = ()
    refused: tuple[Verdict, ...] = ()

    @property
    def sentence(self) -> str:
        """The verdict in words."""
        if self.kind == "not judged":
            return "None of these images could be judged."
        text = verdict_sentence(self.sources)
        fixed = self.irrefutable
        if fixed:
            text += (
                f" ({', '.join(fixed)} cannot be ruled out at α = {self.alpha:g}: there are too "
                "few calibration images.)"
            )
        return text

    @property
    def irrefutable(self) -> list[str]:
        """Sources that no image could rule out at this α."""
        return [name for name, least in self.smallest.items() if least > self.alpha]

    def to_dict(self) -> dict[str, Any]:
        """The verdict as a JSON document holds it."""
        return {
            "images": self.images,
            "verdict": self.kind,
            "sources": list(self.sources),
            "sentence": self.sentence,
            "p_values": self.p_values,
            "smallest_p_values": self.smallest,
            "cannot_be_ruled_out": self.irrefutable,
            "warnings": [
                {"kind": w.kind, "text": w.text, "voids_promise": w.voids, "images": count}
                for w, count in self.warnings
            ],
            "not_judged": [{"image": v.place, "reason": v.reason} for v in self.refused],
        }


def verdict_sentence(sources: Sequence[str]) -> str:
    """What a set of possible sources means.

    >>> verdict_sentence(["dcgan"]), verdict_sentence([])
    ('Attributed to dcgan.', 'None of the known sources.')
    >>> verdict_sentence(["real", "dcgan", "glow"])
    'Undecided between real, dcgan and glow.'
    """
    if not sources:
        return "None of the known sources."
    if len(sources) == 1:
        return f"Attributed to {sources[0]}{': a photograph' if sources[0] == REAL else ''}."
    return f"Undecided between {', '.join(sources[:-1])} and {sources[-1]}."


def kind_of(sources: Sequence[str]) -> Kind:
    """What a set of possible sources is called."""
    return "none" if not sources else "attributed" if len(sources) == 1 else "undecided"


def ranked(names: Sequence[str], p_values: NDArray[np.float64], alpha: float) -> tuple[str, ...]:
    """The sources that are not ruled out, by p-value, the largest first."""
    possible = possible_sources(p_values, alpha)
    order = sorted(range(len(names)), key=lambda k: -p_values[k])
    return tuple(names[k] for k in order if possible[k])


def promise(model: FittedModel, alpha: float, *, images: int | None = None) -> str:
    """What a verdict promises, with α and the number of calibration images.

    Args:
        model: The model.
        alpha: The error.
        images: Images in the bag, where one is judged; None for single images.
    """
    counts = model.calibration.counts
    least, most = int(counts.min()), int(counts.max())
    told = f"{least}" if least == most else f"{least} to {most}"
    what = "an image" if images is None else f"a bag of {images} images"
    smallest = 1 / (least + 1) if images is None else smallest_bag_p_value(least, images)
    text = (
        f"For {what} of a source that the model knows, made and stored as its images of "
        f"{model.page.dataset.name} were, the true source is left out with probability at most "
        f"{alpha:g}, for each source apart (α = {alpha:g}; {told} calibration images a source, "
        "their draw being part of that probability). An image of an unknown source may be called "
        "none, undecided, or wrongly a known one: of that nothing is promised."
    )
    if smallest > alpha:
        text += (
            f" With {least} calibration images no p-value is below {smallest:.3g}, so at this α "
            "some sources cannot be ruled out at all."
        )
    return text
