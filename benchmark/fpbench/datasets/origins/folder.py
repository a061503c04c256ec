"""``folder``: image files in one folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from fpbench.datasets.imagefiles import ImageFile, list_images
from fpbench.datasets.origins.preprocess import Preprocess
from fpbench.datasets.origins.reading import SHARED_VARIABLE, FilesOrigin, ImageFiles, Span, find
from fpbench.errors import BadInput

if TYPE_CHECKING:
    from fpbench.method import Progress


class FolderOrigin(FilesOrigin):
    """Image files in one folder, in the order of their names; other files are passed over.

    Attributes:
        path: The folder, absolute, beginning with ``~``, relative to the recipe, or relative to
            the folder that FPBENCH_SHARED_DATA names.
    """

    kind: Literal["folder"]
    path: str

    def image_files(
        self,
        recipe: Path,
        size: int,
        *,
        offline: bool = False,
        progress: Progress | None = None,
    ) -> ImageFiles:
        """The image files of the folder."""
        folder = find(self.path, recipe)
        if folder is None or not folder.is_dir():
            raise BadInput(
                f"The recipe's folder {self.path!r} is not there; give its path relative to "
                f"{recipe} or to the folder that {SHARED_VARIABLE} names."
            )
        return _FolderFiles(folder, list_images(folder, strict=False), self.preprocess, size)

    def place(self) -> str:
        """The folder."""
        return self.path


class _FolderFiles(ImageFiles):
    def __init__(
        self, folder: Path, images: Sequence[ImageFile], steps: Preprocess, size: int
    ) -> None:
        super().__init__([image.path for image in images], len(images), folder.name, steps, size)
        self._images = images

    def encoded(self, chosen: Sequence[int]) -> Iterator[tuple[int, str, bytes]]:
        for position in chosen:
            image = self._images[position]
            yield position, str(image.path), image.read()

    def spans(self, count: int) -> list[Span]:
        return [Span(path) for path in self.paths[:count]]
