"""Real images that may not be published: had from their origin, checked against what was built.

A dataset whose real images are not in its folder lists the hash of each of them in
``real-images.json``. Whoever has the same originals, from the Hub or a local path, gets exactly
the same dataset, in whatever order the originals come.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fpbench.datasets.cache import cache_root
from fpbench.datasets.decoding import decode
from fpbench.datasets.equalise import equalised
from fpbench.datasets.layout import RECIPE, SPLITS, shard_path, write_json, write_shard
from fpbench.datasets.shards import read_shard
from fpbench.errors import BadInput
from fpbench.files import CannotWrite, parse_json, read_limited, writing_folder
from fpbench.images import REAL

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.datasets.schema import Manifest, Recipe
    from fpbench.method import Progress

REAL_IMAGES = "real-images.json"
_BATCH = 256
# A line of some sixty bytes for each real image: the list of a million of them.
_LARGEST_LIST = 64 << 20


def digest(image: NDArray[np.uint8]) -> str:
    """A short hash of an image's pixels (H, W, 3)."""
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8).hexdigest()


def write_list(folder: Path) -> None:
    """Write the ids and hashes of the real images in `folder` by split, in order."""
    document = {
        split: {
            image.id: digest(decode(image.read(), image.place))
            for image in read_shard(folder / shard_path(split, REAL))
        }
        for split in SPLITS
    }
    write_json(folder / REAL_IMAGES, document)


def locate(
    folder: Path,
    manifest: Manifest,
    recipe: Recipe,
    progress: Progress | None,
    *,
    offline: bool = False,
) -> Path:
    """The folder that holds the files of the external sources, made where need be.

    Args:
        folder: The dataset's folder.
        manifest: Its manifest.
        recipe: Its recipe, which says where the originals are.
        progress: Called as ``progress(what, done, total)``.
        offline: Whether the Hub may not be asked for them.

    Raises:
        BadInput: If the originals are not available, or are not those that were used.
    """
    paths = [shard_path(split, source) for split in SPLITS for source in manifest.external]
    wanted = [path for path in paths if path in manifest.files]
    if all((folder / path).is_file() for path in wanted):
        return folder
    target = cache_root() / "external" / manifest.content_hash[:32]
    if all((target / path).is_file() for path in wanted):
        return target
    expected = _read_list(folder, manifest)
    found = _gather(recipe, folder, expected, progress, offline)
    try:
        with writing_folder(target) as scratch:
            for split, row in expected.items():
                write_shard(scratch / shard_path(split, REAL), REAL, _ordered(row, found))
    except CannotWrite as error:
        raise BadInput(
            f"The real images of {recipe.name} must be written to the cache, which cannot be; set "
            f"FPBENCH_CACHE to another folder. {error}"
        ) from error
    return target


def _read_list(folder: Path, manifest: Manifest) -> dict[str, dict[str, str]]:
    path = folder / REAL_IMAGES
    try:
        text = read_limited(path, "list of real images", _LARGEST_LIST)
        listed: dict[str, dict[str, str]] = parse_json(text, path, "list of real images")
        counts = {split: len(listed[split]) for split in SPLITS}
    except (BadInput, KeyError, TypeError) as error:
        raise BadInput(f"{path} cannot be read; build or pull the dataset again.") from error
    for split, count in counts.items():
        if count != manifest.counts[split][REAL]:
            raise BadInput(
                f"{path}: the split {split} lists {count} images, but the manifest's field "
                f"counts.{split}.{REAL} says {manifest.counts[split][REAL]}."
            )
    return listed


def _gather(
    recipe: Recipe,
    folder: Path,
    expected: dict[str, dict[str, str]],
    progress: Progress | None,
    offline: bool,
) -> dict[str, NDArray[np.uint8]]:
    """The listed images by hash, looked for in all of the recipe's origins."""
    wanted = {value for row in expected.values() for value in row.values()}
    found: dict[str, NDArray[np.uint8]] = {}
    origins = recipe.real_origins
    for origin in origins:
        files = origin.image_files(folder, recipe.raw_size, offline=offline, progress=progress)
        if files is None:
            raise BadInput(
                f"{folder / RECIPE}: real images of kind {origin.kind} cannot be external; set "
                "real.published to true."
            )
        for position, image in files.read(range(files.total)):
            ready = equalised(image[None], recipe.equalise)[0]
            name = digest(ready)
            if name in wanted:
                found[name] = ready
            if progress is not None and position % 500 == 0:
                progress(f"look for real images in {files.name}", position, files.total)
    missing = len(wanted) - len(found)
    if missing:
        raise BadInput(
            f"{missing} of the {len(wanted)} real images of {recipe.name} are not among the "
            f"originals ({' and '.join(origin.place() for origin in origins)}): these are others, "
            f"or were decoded in another way. Build the dataset anew: `fpbench data build "
            f"{recipe.name}`."
        )
    return found


def _ordered(
    row: dict[str, str], found: dict[str, NDArray[np.uint8]]
) -> Iterator[tuple[list[str], NDArray[np.uint8]]]:
    names = list(row)
    for start in range(0, len(names), _BATCH):
        part = names[start : start + _BATCH]
        yield part, np.stack([found[row[name]] for name in part])
