"""What a method must not touch: sources of test images, and its inputs' memory."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fpbench.conformance.clarity import is_clear
from fpbench.conformance.result import Fault, NotRun
from fpbench.conformance.subject import Subject, require_equal
from fpbench.images import ImageSet, Source

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray


class TellTale(ImageSet):
    """Test images under false labels and telling names, which note who reads them."""

    def __init__(self, images: ImageSet, seen: set[str]) -> None:
        wrong = (images.labels + 1) % len(images.sources)
        ids = [f"{images.sources[label].name}-{i}" for i, label in enumerate(wrong)]
        super().__init__(images.pixels, images.sources, wrong, ids)
        self._seen = seen

    @property
    def labels(self) -> NDArray[np.int64]:
        """The false labels."""
        self._seen.add("labels")
        return super().labels

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources."""
        self._seen.add("sources")
        return super().sources

    @property
    def ids(self) -> NDArray[np.str_]:
        """The telling names."""
        self._seen.add("ids")
        return super().ids

    def select(self, indices: ArrayLike) -> ImageSet:
        """A selection that notes, too."""
        chosen = ImageSet.select(self, indices)
        # The labels are false already; a second shift would change nothing that matters.
        return TellTale(chosen, self._seen)


_CURE = (
    "Test images come without labels, sources or telling ids; keep train.sources in fit and use "
    "nothing but images.pixels in embed, predict_proba and unknown_score."
)


def check_test_labels(subject: Subject) -> str:
    """Nothing that judges images reads their sources."""
    fitted = subject.fitted
    hidden = subject.sets.test.unlabelled()
    for member in subject.judging:
        try:
            getattr(fitted, member)(hidden)
        except ValueError as error:
            if "unlabelled" in str(error):
                raise Fault(f"{member} reads the labels of test images. {_CURE}") from error
            raise
    seen: set[str] = set()
    shown = subject.answers(fitted, TellTale(subject.sets.test, seen))
    if "labels" in seen:
        raise Fault(f"the labels of test images are read where they are given. {_CURE}")
    return require_equal(
        subject.known_answers(),
        shown,
        f"when test images carry other {' and '.join(sorted(seen)) or 'names'}",
        _CURE,
    )


def check_inputs_untouched(subject: Subject) -> str:
    """No image and no label of any set changes; all pixels are read-only memory."""
    sets = subject.sets
    every = {"train": sets.train, "reference": sets.reference, "validation": sets.validation}
    every |= {"test": sets.test}
    before = {name: (s.pixels.tobytes(), s.labels.tobytes()) for name, s in every.items()}
    try:
        method = subject.first_fit()
        subject.answers(method, sets.test.unlabelled())
    except NotRun:
        raise
    except ValueError as error:
        if "read-only" in str(error):
            raise Fault(
                f"the method writes to the pixels it is given ({error}); work on a copy, e.g. "
                "images.pixels.astype(np.float32)."
            ) from error
        raise NotRun("the method cannot be fitted; see the check fit") from error
    except Exception as error:
        raise NotRun("the method cannot be fitted; see the check fit") from error
    for name, s in every.items():
        if (s.pixels.tobytes(), s.labels.tobytes()) != before[name]:
            raise Fault(f"the {name} set is changed; work on copies of pixels and labels.")
    return "pixels and labels as before"


def check_reference(subject: Subject) -> str:
    """`fit` takes any reference of real images: few, unlabelled, none of them in train."""
    subject.fitted  # noqa: B018  (a method that declines is told apart first)
    few = subject.sets.reference.unlabelled().select(np.arange(17))
    try:
        subject.fit(replace(subject.sets, reference=few))
    except Exception as error:
        if is_clear(error):
            return f"refused clearly: {error}"
        raise Fault(
            f"fit raises {type(error).__name__}: {error} for a reference of {len(few)} images "
            "without labels. The reference is real images only, of any number, and shares none "
            "with train: look for neighbours in it, not for the same image, and ask no label of it."
        ) from error
    return f"{len(few)} images without labels"
