"""What a labelled set of 100,000 images on a server costs: bytes over the network, and memory."""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fpbench.datasets.png import encode_png

pytestmark = pytest.mark.benchmark

IMAGES, CLASSES, SHARDS, EACH = 100_000, 50, 10, 200
CLIENT = """
import json, re, sys, time
from pathlib import Path
from fpbench.datasets.resolve import resolve
began = time.process_time()
found = resolve(sys.argv[1])
identity = found.identity.content_hash
known = time.process_time() - began
print(json.dumps({"stage": "identity", "seconds": known, "fetched": found.fetched}), flush=True)
sys.stdin.readline()
dataset = found.load()
sizes = sum(len(data) for split in ("train", "validation", "test")
            for data in found.encoded(dataset, split))
print(json.dumps({"stage": "images", "seconds": time.process_time() - began, "needed": sizes,
                  "images": sum(len(getattr(dataset, s)) for s in ("train", "validation", "test")),
                  # getrusage would count the memory of the process that started this one.
                  "peak": 1024 * int(re.search(r"VmHWM:\\s+(\\d+)",
                                               Path("/proc/self/status").read_text())[1])}),
      flush=True)
"""


def _local_hub() -> ModuleType:
    path = Path(__file__).parents[1] / "datasets" / "local_hub.py"
    spec = importlib.util.spec_from_file_location("local_hub", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault("local_hub", module)
    spec.loader.exec_module(module)
    return module


def _files(order: str, group_rows: int) -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(CLASSES), IMAGES // CLASSES)
    if order == "shuffled":
        rng.shuffle(labels)
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    files = {}
    for shard, part in enumerate(np.split(labels, SHARDS)):
        pixels = rng.integers(0, 256, (len(part), 24, 24, 3), dtype=np.uint8)
        images = [{"bytes": encode_png(image), "path": None} for image in pixels]
        columns = {"image": pa.array(images, kind), "label": [f"model-{k}" for k in part]}
        stream = io.BytesIO()
        # Of images of a usual size no statistics are written, which end at 4 kB.
        pq.write_table(
            pa.table(columns),
            stream,
            row_group_size=group_rows,
            compression="none",
            write_statistics=["label"],
        )
        files[f"data/train-{shard:05d}-of-{SHARDS:05d}.parquet"] = stream.getvalue()
    return files


@pytest.mark.parametrize(
    ("order", "group_rows"), [("shuffled", 100), ("sorted", 100), ("shuffled", 1000)]
)
def test_few_bytes_and_little_memory(tmp_path: Path, order: str, group_rows: int) -> None:
    local_hub = _local_hub()
    with local_hub.LocalHub() as hub:
        hub.repositories["me/many"] = local_hub.Repository()
        files = _files(order, group_rows)
        hub.repositories["me/many"].commit(files)
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))},
            "HF_ENDPOINT": hub.url,
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HOME": str(tmp_path / "hf"),
            "FPBENCH_CACHE": str(tmp_path / "cache"),
        }
        client = subprocess.Popen(
            [sys.executable, "-c", CLIENT, f"hub:me/many?images={EACH}"],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert client.stdin is not None and client.stdout is not None
        first: dict[str, Any] = json.loads(client.stdout.readline())
        for_identity = hub.sent
        client.stdin.write("\n")
        client.stdin.flush()
        last: dict[str, Any] = json.loads(client.stdout.readline())
        assert client.wait(60) == 0
        sent = hub.sent
    total = sum(map(len, files.values()))
    sys.stdout.write(
        f"\n{order}, row groups of {group_rows}: {total / 1e6:.1f} MB in all; identity "
        f"{for_identity / 1e6:.2f} MB, {first['seconds']:.1f} s of processor; all "
        f"{sent / 1e6:.2f} MB, needed {last['needed'] / 1e6:.2f} MB, ratio "
        f"{sent / last['needed']:.3f}; {last['seconds']:.1f} s; "
        f"peak {last['peak'] / 2**20:.0f} MiB\n"
    )
    assert last["images"] == EACH * CLASSES
    assert last["peak"] < 2**30
    assert sent <= 1.2 * last["needed"]
