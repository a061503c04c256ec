"""A look at all chosen images before any is decoded: how they are cut, and which cannot be used."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fpbench.datasets.decoding import threads
from fpbench.datasets.labelled.pixels import Header, header_of, square_side
from fpbench.errors import BadInput

if TYPE_CHECKING:
    from fpbench.method import Progress

MOST_LOST = 0.05
"""Share of a source's images that may be unusable: broken, too small, or there before."""

_TWICE = "there before"
_SMALL = "smaller than the square"
_STEP = 500


@dataclass(frozen=True)
class Image:
    """A chosen image.

    Attributes:
        label: Number of its source.
        source: Its source.
        split: Its split.
        row: Its row.
    """

    label: int
    source: str
    split: str
    row: int


@dataclass(frozen=True)
class Looked:
    """What a look found.

    Attributes:
        side: Side of the square that is cut from every image.
        lost: Images that cannot be used, with the reason.
        whole: Whether the square is all of every image.
        grey: Grey images by source; their values are repeated in three channels.
    """

    side: int
    lost: Mapping[Image, str]
    whole: bool
    grey: Mapping[str, int]

    def told(self, images: int, resize: int | None) -> list[str]:
        """Sentences on how images are cut and which are left out.

        Args:
            images: How many were looked at.
            resize: Side that squares are resized to, or None.
        """
        said = []
        if not self.whole:
            said.append(
                f"The square of {self.side} pixels in the middle is cut from every image, at a "
                "multiple of 8 pixels, and nothing is resampled."
                if resize is None
                else f"The square of {self.side} pixels in the middle of every image is resized "
                f"to {resize}, which takes traces away."
            )
        elif resize is not None:
            said.append(f"Every image is resized to {resize}, which takes traces away.")
        if self.grey:
            told = ", ".join(f"{source} {count}" for source, count in sorted(self.grey.items()))
            said.append(f"Grey images are repeated in three channels ({told}); they tell sources.")
        if self.lost:
            reasons = Counter((image.source, reason) for image, reason in self.lost.items())
            told = ", ".join(f"{s}: {n} {reason}" for (s, reason), n in reasons.most_common(12))
            said.append(f"{len(self.lost)} of {images} images are left out ({told}).")
        return said


def look_at(
    images: Sequence[Image],
    read: Callable[[Image], bytes],
    crop: int,
    progress: Progress | None,
) -> Looked:
    """Read the headers of images; find the square that is cut, and what cannot be used.

    Of equal files the first one stays: reference before train, train before validation, that
    before test.

    Args:
        images: The images, in the order of their splits.
        read: Returns the bytes of one.
        crop: Side of the square, or 0 for the largest that fits nearly all.
        progress: Called as ``progress(what, done, total)``.
    """

    def look(image: Image) -> tuple[Header, bytes]:
        data = read(image)
        return header_of(data), hashlib.blake2b(data, digest_size=16).digest()

    lost: dict[Image, str] = {}
    usable: dict[str, list[Header]] = {}
    headers: dict[Image, Header] = {}
    grey: Counter[str] = Counter()
    seen: set[bytes] = set()
    with ThreadPoolExecutor(threads()) as pool:
        for done, (image, (header, digest)) in enumerate(
            zip(images, pool.map(look, images), strict=True), start=1
        ):
            if header.fault:
                lost[image] = header.fault
            elif digest in seen:
                lost[image] = _TWICE
            else:
                usable.setdefault(image.source, []).append(header)
                headers[image] = header
                grey[image.source] += header.grey
            seen.add(digest)
            if progress is not None and (done % _STEP == 0 or done == len(images)):
                progress("look at images", done, len(images))
    side = crop or square_side(list(usable.values()))
    for image, header in headers.items():
        if header.side < side:
            lost[image] = _SMALL
    whole = all(h.height == h.width == side for i, h in headers.items() if i not in lost)
    return Looked(side, lost, whole, {source: n for source, n in grey.items() if n})


def refuse_losses(
    images: Sequence[Image], found: Looked, name: str, places: Mapping[int, str]
) -> None:
    """Refuse a dataset of which a source loses more than `MOST_LOST` of its images.

    Raises:
        BadInput: With the source, the numbers, the commonest reason and an example.
    """
    total = Counter(image.source for image in images)
    for source, count in total.items():
        own = {image: reason for image, reason in found.lost.items() if image.source == source}
        if len(own) > max(1, MOST_LOST * count):
            reason, _ = Counter(own.values()).most_common(1)[0]
            example = next(image for image, why in own.items() if why == reason)
            remedy = {
                _SMALL: f"cut a smaller square than {found.side} with --crop",
                _TWICE: "take them out, or choose others with where=",
            }.get(reason, "leave the source out with skip, or choose others with where=")
            raise BadInput(
                f"{len(own)} of {count} images of source {source!r} of {name} cannot be used, most "
                f"as {reason}, e.g. {places[example.row]}; {remedy}."
            )
