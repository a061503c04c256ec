"""Labelled datasets that tests make: random squares in Parquet, CSV and folders."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image


def encoded(
    count: int, seed: int, size: tuple[int, int] = (24, 24), kind: str = "PNG"
) -> list[bytes]:
    """Different images, each in a file of its own."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        # Coarse blocks, so that no two look alike, with a little noise.
        coarse = rng.integers(0, 256, (-(-size[0] // 8), -(-size[1] // 8), 3))
        pixels = coarse.repeat(8, axis=0).repeat(8, axis=1)[: size[0], : size[1]]
        pixels = np.clip(pixels + rng.integers(-4, 5, pixels.shape), 0, 255)
        stream = io.BytesIO()
        Image.fromarray(pixels.astype(np.uint8)).save(stream, kind)
        found.append(stream.getvalue())
    return found


def parquet(
    columns: Mapping[str, Sequence[Any]],
    images: Sequence[bytes],
    *,
    column: str = "image",
    features: Mapping[str, Any] | None = None,
    rows: int = 20,
) -> bytes:
    """A Parquet file of the Hugging Face layout."""
    data = [{"bytes": image, "path": None} for image in images]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({column: pa.array(data, kind), **{k: list(v) for k, v in columns.items()}})
    if features is not None:
        stated = {column: {"_type": "Image"}, **features}
        text = json.dumps({"info": {"features": stated}})
        table = table.replace_schema_metadata({"huggingface": text})
    stream = io.BytesIO()
    pq.write_table(table, stream, row_group_size=rows, compression="none")
    return stream.getvalue()


def labelled(
    labels: Sequence[str],
    each: int,
    seed: int = 0,
    *,
    size: tuple[int, int] = (24, 24),
    **more: Any,
) -> bytes:
    """A Parquet file with `each` images of every label, in random order."""
    names = np.repeat(list(labels), each)
    np.random.default_rng(seed).shuffle(names)
    return parquet({"label": names.tolist()}, encoded(len(names), seed + 1, size), **more)


@contextmanager
def asked(hub: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have the Hub's client of this process ask the local Hub."""
    import huggingface_hub.constants as constants
    from huggingface_hub import file_download, hf_api

    template = f"{hub.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    with monkeypatch.context() as patch:
        patch.setattr(constants, "ENDPOINT", hub.url)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
        patch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        patch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
        patch.setattr(constants, "HF_TOKEN_PATH", str(folder / "token"))
        patch.setattr(hf_api.api, "endpoint", hub.url)
        for module in (file_download,):
            if hasattr(module, "HUGGINGFACE_CO_URL_TEMPLATE"):
                patch.setattr(module, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HUGGING_FACE_HUB_TOKEN"):
            patch.delenv(name, raising=False)
        yield


def add(hub: Any, local_hub: ModuleType, name: str, files: Mapping[str, bytes]) -> Any:
    """Put a dataset onto the local Hub."""
    hub.repositories[name] = local_hub.Repository()
    hub.repositories[name].commit(dict(files))
    return hub.repositories[name]
