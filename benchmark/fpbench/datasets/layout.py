"""The layout of a built GM dataset on disk: names, Parquet shards, PNG bytes, content hashes.

A built dataset is a folder with ``README.md``, ``recipe.yaml``, ``sources.yaml``,
``manifest.json`` and ``data/<split>/<source>-00000-of-00001.parquet``. Plain
``datasets.load_dataset(folder)`` reads it.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpbench.datasets.png import encode_png
from fpbench.files import write_text, writing_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPLITS = ("reference", "train", "validation", "test")
LABELLED_SPLITS = SPLITS[1:]
README, RECIPE, SOURCES, MANIFEST, AUDIT = (
    "README.md",
    "recipe.yaml",
    "sources.yaml",
    "manifest.json",
    "audit.json",
)

# Few images to a row group keep the memory of reading and writing 256x256 images bounded.
_ROWS = 256

_FEATURES = {
    "info": {
        "features": {
            "image": {"_type": "Image"},
            "source": {"dtype": "string", "_type": "Value"},
            "id": {"dtype": "string", "_type": "Value"},
        }
    }
}


def shard_path(split: str, source: str) -> str:
    """Path of a data file relative to the dataset's folder."""
    return f"data/{split}/{source}-00000-of-00001.parquet"


def write_json(target: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON document so that no half of it is ever seen.

    Raises:
        CannotWrite: If the disk is full or the folder cannot be written to.
    """
    write_text(target, json.dumps(document, indent=2, ensure_ascii=False) + "\n")


class ContentHash:
    """Hash of the ids and decoded pixels of one source in one split, fed in order."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self.images = 0

    def update(self, ids: Sequence[str], pixels: NDArray[np.uint8]) -> None:
        """Add images (N, H, W, 3) with their ids."""
        for name, image in zip(ids, pixels, strict=True):
            header = f"{name}\n{image.shape[0]}x{image.shape[1]}\n"
            self._hash.update(header.encode())
            self._hash.update(np.ascontiguousarray(image).data)
            self.images += 1

    def hexdigest(self) -> str:
        """The hash so far, hexadecimal."""
        return self._hash.hexdigest()


def overall_hash(sources: Sequence[str], content: Mapping[str, Mapping[str, str]]) -> str:
    """Hash of a whole dataset: of its sources in order and the `content` of every split."""
    lines = [f"sources {' '.join(sources)}"]
    for split in SPLITS:
        row = content.get(split, {})
        lines += [f"{split} {source} {row[source]}" for source in sources if source in row]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def write_shard(
    target: Path, source: str, batches: Iterable[tuple[Sequence[str], NDArray[np.uint8]]]
) -> tuple[int, str]:
    """Write one Parquet file of one source in one split.

    Args:
        target: The file, written under a temporary name first.
        source: Name of the source.
        batches: Pairs of ids and pixels (N, H, W, 3); never all in memory at once.

    Returns:
        The number of images and the content hash.

    Raises:
        CannotWrite: If the disk is full or the folder cannot be written to.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("source", pa.string()),
            ("id", pa.string()),
        ],
        metadata={"huggingface": json.dumps(_FEATURES)},
    )
    content = ContentHash()
    # PNG bytes do not compress further, and uncompressed pages can be read without a copy.
    with (
        writing_file(target) as temporary,
        pq.ParquetWriter(temporary, schema, compression="none", use_dictionary=["source"]) as out,
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
    ):
        for ids, pixels in batches:
            content.update(ids, pixels)
            for start in range(0, len(ids), _ROWS):
                names = list(ids[start : start + _ROWS])
                encoded = pool.map(encode_png, pixels[start : start + _ROWS])
                images = [
                    {"bytes": data, "path": f"{name}.png"}
                    for name, data in zip(names, encoded, strict=True)
                ]
                table = pa.table(
                    {"image": images, "source": [source] * len(names), "id": names}, schema=schema
                )
                out.write_table(table)
    return content.images, content.hexdigest()
