"""What a GM dataset is: its identity, its four sets of images, and how it is had once found."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fpbench.datasets.layout import SPLITS
from fpbench.images import ImageSet, Source

if TYPE_CHECKING:
    from fpbench.datasets.cache import Decoded
    from fpbench.method import Progress


@dataclass(frozen=True)
class DatasetIdentity:
    """Which dataset exactly: all that a job's identity needs, had without decoding an image.

    Identity is content: the same images have the same `revision` and `content_hash` wherever they
    lie and whoever wrote the pages beside them.

    Attributes:
        name: Name of the card or of the folder; of a Hub dataset the id that the Hub gives it.
        revision: Recipe version and beginning of the content hash; of a folder of images the
            beginning of the content hash alone.
        content_hash: Hash of the ids and decoded pixels of all splits; of a folder of images,
            hash of its files; of a dataset made on the fly, hash of what it is made from.
        digest: What else results depend on; see `description_digest`.
        commit: Commit on the Hub that it came from, or None. It says where the files were had,
            not what they hold: a new page is a new commit of the same dataset.
    """

    name: str
    revision: str
    content_hash: str
    digest: str
    commit: str | None = None


@dataclass(frozen=True)
class GMDataset:
    """Real images and images of several sources, in four splits that share no image.

    Attributes:
        identity: Name, revision, content hash and digest.
        sources: Real first, named ``real``, if there are real images; labels of all splits index
            into them.
        reference: Real images only: those the generators were trained on; empty without Real.
        train: Labelled images of every source.
        validation: Labelled images of every source.
        test: Labelled images of every source.
        fdr_samples: Test images per source that FDR is measured with.
        fdr_dimensions: Dimension that embeddings are reduced to for FDR.
        shortcut: Accuracy of the audit's metadata-only baseline when the dataset was loaded, None
            where there was no audit. It is shown and nothing depends on it.
        groups: Names of the groups of a split's images (of one prompt, scene or person), in
            order, by split; no group is in two of train, validation and test. Empty without any.
    """

    identity: DatasetIdentity
    sources: tuple[Source, ...]
    reference: ImageSet
    train: ImageSet
    validation: ImageSet
    test: ImageSet
    fdr_samples: int
    fdr_dimensions: int
    shortcut: float | None = None
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def real(self) -> int | None:
        """Label of Real, or None in a dataset without real images."""
        return next((k for k, source in enumerate(self.sources) if source.is_real), None)


@dataclass(frozen=True)
class Description:
    """What results depend on beside the pixels.

    Attributes:
        sources: Real first; names, families, architectures and design choices.
        fdr_samples: Test images per source that FDR is measured with.
        fdr_dimensions: Dimension that embeddings are reduced to for FDR.
    """

    sources: tuple[Source, ...]
    fdr_samples: int
    fdr_dimensions: int


def description_digest(description: Description) -> str:
    """SHA-256 of a description, in hexadecimal digits.

    Labels index the sources, so their order counts; that of a source's design choices does not.
    """
    document = {
        "sources": [
            [source.name, source.family, source.architecture, dict(source.design)]
            for source in description.sources
        ],
        "fdr": [description.fdr_samples, description.fdr_dimensions],
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class ResolvedDataset(ABC):
    """A dataset that was found: what it is, and how its images are had.

    What was read and hashed to find it is not read and hashed again to load it.
    """

    identity: DatasetIdentity
    description: Description
    folder: Path | None = None
    """Where it lies, if in a folder of the user's."""
    brought: str = ""
    """Of a dataset that somebody brings as it is: how it was split, in words. Else empty."""

    @abstractmethod
    def load(self, progress: Progress | None = None) -> GMDataset:
        """The images: decoded and checked the first time, later memory-mapped.

        Args:
            progress: Called as ``progress(what, done, total)``.

        Raises:
            BadInput: If the files are not available, or are not what they were said to be.
        """

    def shortcut(self) -> float | None:
        """Accuracy of the audit's metadata-only baseline, read anew; None without an audit.

        Raises:
            BadInput: If an audit cannot be read.
        """
        return None

    def real_hash(self) -> str:
        """Hash of the real images alone where that is known, else of the whole dataset.

        A dataset made from the real images of another one depends on no more than these.
        """
        return self.identity.content_hash

    def encoded(self, dataset: GMDataset, split: str) -> Iterator[bytes]:
        """Bytes of the image files of a split, in the order of its images.

        Where there are no files, they are those that fpbench would have written.

        Args:
            dataset: This dataset, loaded.
            split: Name of the split.
        """
        from fpbench.datasets.png import encode_png

        for image in getattr(dataset, split).pixels:
            yield encode_png(image)

    def groups(self, split: str) -> Sequence[str]:
        """Names of the groups of a split's images, in order; empty where there are none."""
        return ()

    def remarks(self) -> list[str]:
        """What was done to the images and which were left out, in words; known once loaded."""
        return []

    def origin_files(self) -> dict[str, dict[str, int]]:
        """Kinds of files that the images were built from, counted, by source; empty if unknown."""
        return {}

    def equalised(self) -> dict[str, Any] | None:
        """The one pipeline that every image of every source went through, or None."""
        return None

    def licences(self) -> tuple[str, ...]:
        """Licences of the images, as the card names them; empty where nobody has stated any."""
        return ()

    def citations(self) -> tuple[str, ...]:
        """What the sources are, as papers; empty where nobody has stated any."""
        return ()

    def assemble(self, splits: Mapping[str, Decoded]) -> GMDataset:
        """The dataset from its decoded splits."""
        sources = self.description.sources
        sets = {split: splits[split].image_set(sources) for split in SPLITS}
        return GMDataset(
            identity=self.identity,
            sources=sources,
            fdr_samples=self.description.fdr_samples,
            fdr_dimensions=self.description.fdr_dimensions,
            shortcut=self.shortcut(),
            groups={split: own for split in SPLITS if len(own := self.groups(split))},
            **sets,
        )
