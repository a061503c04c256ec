"""An origin: where the images of a source come from, and how they are had."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fpbench.documents import Document
from fpbench.errors import BadInput

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.datasets.downloads.wanted import Wanted
    from fpbench.datasets.entries import SourceEntry
    from fpbench.datasets.origins.reading import ImageFiles
    from fpbench.datasets.schema import Counts
    from fpbench.method import Progress

Batches = Iterator["NDArray[np.uint8]"]
"""Images (N, S, S, 3), never all at once."""


@dataclass(frozen=True)
class Workplace:
    """What drawing images may use.

    Attributes:
        recipe: Folder of the recipe, which relative paths start from.
        scratch: Folder for checkpoints.
        checkpoint: Names the checkpoint of a training; another origin or other real images have
            another one.
        size: Height and width of every image.
        training: Returns real images (N, S, S, 3) to train on.
        device: A torch device.
        progress: Called as ``progress(what, done, total)``, or None.
        offline: Whether nothing may be asked for over the network.
        counts: Images wanted by split: train, validation, test.
    """

    recipe: Path
    scratch: Path
    checkpoint: str
    size: int
    training: Callable[[], NDArray[np.uint8]]
    device: str
    progress: Progress | None
    offline: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class RealImages:
    """Real images by split, and those to train on.

    Attributes:
        batches: Called with a split; yields ids and pixels, never all at once.
        training: Returns the images (N, S, S, 3) that generators are trained on.
        facts: What is known of them.
    """

    batches: Callable[[str], Iterator[tuple[list[str], NDArray[np.uint8]]]]
    training: Callable[[], NDArray[np.uint8]]
    facts: dict[str, Any]


class Origin(Document):
    """Where images come from, as a recipe writes it; a kind overrides what it can do.

    Attributes:
        kind: The word for it in a recipe.
    """

    kind: str

    has_real: ClassVar[bool] = False
    """Whether it can be the origin of real images: it has `image_files` or `real_images`."""

    chooses_real: ClassVar[bool] = False
    """Whether it chooses the real images of all splits by a rule of its own, `real_images`."""

    makes: ClassVar[bool] = False
    """Whether its images are trained or sampled here, which takes long."""

    limits: ClassVar[frozenset[str]] = frozenset()
    """Fields that say how far a training goes: a longer one goes on from a shorter one."""

    def draw(self, name: str, count: int, at: Workplace, facts: dict[str, Any]) -> Batches:
        """The images of a generator.

        Args:
            name: Name of the source.
            count: How many.
            at: What drawing may use.
            facts: Where what is known of how they were made is put.

        Raises:
            BadInput: If there are fewer, or they are not available.
        """
        raise BadInput(f"Source {name!r}: a generator cannot have the origin {self.kind}.")

    def check(self, name: str, count: int, at: Workplace) -> None:
        """Refuse, before anything is made, what `draw` could not do.

        Raises:
            BadInput: With the reason.
        """

    def image_files(
        self,
        recipe: Path,
        size: int,
        *,
        offline: bool = False,
        progress: Progress | None = None,
    ) -> ImageFiles | None:
        """The files that its images are read from, or None if they are made.

        Args:
            recipe: Folder of the recipe, which relative paths start from.
            size: Height and width of every image.
            offline: Whether nothing may be asked for over the network.
            progress: Called as ``progress(what, done, total)`` while files are downloaded.

        Raises:
            BadInput: If they are nowhere; the message says where they were looked for.
        """
        return None

    def real_images(self, counts: Counts, seed: int, size: int) -> RealImages | None:
        """The real images of all splits, by the rule of a kind that `chooses_real`, else None.

        Args:
            counts: Images by split.
            seed: Of the choice.
            size: Height and width of every image.

        Raises:
            BadInput: If they are not available.
        """
        return None

    def downloads(self, recipe: Path, counts: Mapping[str, int] | None, name: str) -> list[Wanted]:
        """The files that will be asked for by URL unless they are here.

        Args:
            recipe: Folder of the recipe.
            counts: Images of the source by split, or None for all that the origin has.
            name: Name of the source.

        Raises:
            BadInput: If the recipe names a list that cannot be read or has too few images.
        """
        return []

    def asks_hub(self, recipe: Path) -> str | None:
        """What will be asked of the Hub unless it is here, in words, or None.

        Args:
            recipe: Folder of the recipe.
        """
        return None

    def card_files(self) -> list[str]:
        """Files of the card, beside the recipe, that the origin reads; a build takes them along."""
        return []

    def depends_on(self, real: str) -> list[Any]:
        """What a generator's images depend on beside what the recipe says, as JSON values.

        Args:
            real: Hash of everything that the real images depend on.

        Raises:
            BadInput: If the recipe names something that is not there.
        """
        return []

    def described(self, entry: SourceEntry) -> SourceEntry:
        """What ``sources.yaml`` says of the source once it is built."""
        return entry

    def place(self) -> str:
        """Where the files are, for messages."""
        return self.kind

    def why_missing(self) -> str | None:
        """Why its images are not available to anybody yet, or None."""
        return None


def kind_of(origin: type[Origin]) -> str:
    """The word for a kind of origin."""
    (word,) = origin.model_fields["kind"].annotation.__args__  # type: ignore[union-attr]
    return str(word)
