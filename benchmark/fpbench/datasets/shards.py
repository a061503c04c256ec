"""Reads the data files of a built dataset."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from fpbench.datasets.decoding import Encoded
from fpbench.errors import BadInput

NO_IMAGE = "holds no bytes of an image; remove the row, or write its image into the file"
"""What is said of a row of a Parquet file that only names an image, or holds nothing."""


def read_shard(path: Path) -> Iterator[Encoded]:
    """Encoded images of a data file, in order, never all in memory at once.

    Raises:
        BadInput: If it is no Parquet file of the expected columns, or a row holds no image.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    row = 0
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=256, columns=["image", "id"]):
                data = batch.column("image").field("bytes")
                for name, item in zip(batch.column("id").to_pylist(), data, strict=True):
                    if name is None or not item.is_valid:
                        raise BadInput(f"Row {row} of {path} {NO_IMAGE}.")
                    yield Encoded(name, f"image {name!r} of {path}", item.as_py)
                    row += 1
    except (OSError, pa.ArrowException, KeyError) as error:
        raise BadInput(f"{path} cannot be read as Parquet: {error}.") from error
