"""The cards of public datasets, each against a small replica of its schema on the local Hub."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fpbench.cli.main import entry
from fpbench.datasets.card import is_labelled, read_sources, summary
from fpbench.datasets.labelled.card import read_card
from fpbench.datasets.resolve import resolve
from fpbench.errors import BadInput
from fpbench.registry import card_folders


def _module(name: str) -> ModuleType:
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(name, module)
    spec.loader.exec_module(module)
    return module


local_hub, sets = _module("local_hub"), _module("labelled_sets")
CARDS = {name: folder for name, folder in card_folders().items() if is_labelled(folder)}
READ = [name for name, folder in CARDS.items() if not summary(folder).reason]


def page(configs: str, features: str = "") -> bytes:
    return f"---\n{features}configs:\n{configs}---\n# A replica\n".encode()


def tiny_genimage() -> dict[str, bytes]:
    names = ["Real", "ADM", "BigGAN", "GLIDE", "Midjourney", "SD14", "SD15", "VQDM", "Wukong"]
    features = {
        "label": {"_type": "ClassLabel", "names": ["real", "fake"]},
        "generator": {"_type": "ClassLabel", "names": names},
    }
    files = {}
    for number, (split, each) in enumerate((("train", 24), ("validation", 9))):
        generator = np.repeat(np.arange(9), each)
        np.random.default_rng(number).shuffle(generator)
        columns = {"label": (generator > 0).astype(int).tolist(), "generator": generator.tolist()}
        files[f"data/{split}-00000-of-00001.parquet"] = sets.parquet(
            columns, sets.encoded(len(generator), number), features=features
        )
    splits = "".join(f"  - {{split: {s}, path: data/{s}-*}}\n" for s in ("train", "validation"))
    return {"README.md": page(f"- config_name: default\n  data_files:\n{splits}"), **files}


def defactify() -> dict[str, bytes]:
    files = {}
    for number, (split, each) in enumerate((("train", 24), ("validation", 8), ("test", 16))):
        label = np.repeat(np.arange(6), each)
        columns = {
            "Caption": [f"{split} caption {i % each}" for i in range(len(label))],
            "Label_A": (label > 0).astype(np.int32).tolist(),
            "Label_B": label.astype(np.int32).tolist(),
        }
        files[f"data/{split}-00000-of-00001.parquet"] = sets.parquet(
            columns, sets.encoded(len(label), 10 + number), column="Image"
        )
    splits = "".join(f"  - {{split: {s}, path: data/{s}-*}}\n" for s in ("train", "test"))
    splits += "  - {split: validation, path: data/validation-*}\n"
    return {"README.md": page(f"- config_name: default\n  data_files:\n{splits}"), **files}


def tar(samples: list[tuple[str, bytes, str]]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for key, image, model in samples:
            members = (
                ("json", json.dumps({"model": model, "prompt": "a photo"}).encode()),
                ("model.txt", model.encode()),
                ("png", image),
                ("prompt.cls", b"17"),
            )
            for ending, data in members:
                entry = tarfile.TarInfo(f"{key}.{ending}")
                entry.size = len(data)
                archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def dragon() -> dict[str, bytes]:
    models = ["stabilityai/sdxl-turbo", "Kwai-Kolors/Kolors", "playground-v2.5"]
    files = {}
    for number, (path, each) in enumerate(
        (("train/xs/dragon_train_xs.tar", 20), ("test/dragon_test_00.tar", 10))
    ):
        images = sets.encoded(3 * each, 20 + number, (48, 48))
        files[path] = tar([(f"{i:06d}", data, models[i % 3]) for i, data in enumerate(images)])
    configs = (
        "- config_name: ExtraSmall\n  data_files:\n"
        "  - {split: train, path: train/xs/dragon_train_xs.tar}\n"
        "  - {split: test, path: test/dragon_test_00.tar}\n"
        "- config_name: Small\n  data_files:\n"
        "  - {split: train, path: train/dragon_train_000.tar}\n"
        "  - split: test\n    path: test/dragon_test_0?.tar\n"
    )
    return {"README.md": page(configs), **files}


def forensynths() -> dict[str, bytes]:
    stream = io.BytesIO()
    several = ("progan", "stylegan", "stylegan2", "cyclegan")
    others = ("biggan", "stargan", "gaugan", "crn", "imle", "seeingdark", "san", "deepfake")
    with zipfile.ZipFile(stream, "w") as archive:
        for number, name in enumerate((*several, *others, "whichfaceisreal")):
            images = sets.encoded(72, 40 + number)
            for index, data in enumerate(images):
                inner = f"class{index % 2}/" if name in several else ""
                kind = "0_real" if index < 36 else "1_fake"
                packing = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)[index % 2]
                place = f"CNN_synth_testset/{name}/{inner}{kind}/{index:05d}.png"
                archive.writestr(place, data, packing)
    readme = b"---\nlicense:\ncc-by-nc-sa-4.0\n---\n"
    return {"README.md": readme, "CNN_synth_testset.zip": stream.getvalue(), "other.zip": b"PK"}


REPLICAS = {
    "tiny-genimage": tiny_genimage,
    "defactify": defactify,
    "dragon": dragon,
    "forensynths": forensynths,
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    with local_hub.LocalHub() as server, sets.asked(server, tmp_path / "hf", monkeypatch):
        yield server


def test_every_card_that_is_read_has_a_replica_here() -> None:
    assert set(READ) == set(REPLICAS)
    assert set(CARDS) >= {*READ, "community-forensics-small", "ossia", "wild"}


@pytest.mark.parametrize("name", READ)
def test_a_card_reads_its_dataset(hub: Any, name: str) -> None:
    folder = CARDS[name]
    spec = read_card(folder).labelled
    assert spec is not None and spec.hub is not None
    files = REPLICAS[name]()
    sets.add(hub, local_hub, spec.hub, files)
    found = resolve(name)
    assert found.identity.name == name
    described = read_sources(folder)
    sources = found.description.sources
    if described:
        assert {s.name for s in sources} == set(described)
        assert all(s.architecture == described[s.name].architecture for s in sources)
    dataset = found.load()
    assert len(sources) >= 3 and min(np.bincount(dataset.test.labels)) >= 8
    # No file is fetched twice over, but for the 64 kB at the end of each where its index is.
    whole = sum(len(data) for data in files.values())
    assert hub.sent < 1.2 * whole + 100_000 * len(files)


@pytest.mark.parametrize("name", [name for name in CARDS if name not in READ])
def test_a_card_that_cannot_be_read_says_why_and_what_to_do(name: str) -> None:
    with pytest.raises(BadInput, match=r"cannot be read from where it lies: .*fpbench run"):
        resolve(name)
    assert summary(CARDS[name]).reason and summary(CARDS[name]).state == "not available"


def test_images_of_archives_are_the_right_ones(hub: Any, tmp_path: Path) -> None:
    images = sets.encoded(120, 7)
    samples = [(f"{i:06d}", data, "abc"[i % 3]) for i, data in enumerate(images)]
    (tmp_path / "x.tar").write_bytes(tar(samples))
    found = resolve(f"{tmp_path / 'x.tar'}?image=png&label=model.txt")
    dataset = found.load()
    for split in ("train", "validation", "test"):
        part = getattr(dataset, split)
        for name, data in zip(part.ids, found.encoded(dataset, split), strict=True):
            assert data == images[int(str(name).rpartition(":")[2].split(".")[0])]
        for name, label in zip(part.ids, part.labels, strict=True):
            index = int(str(name).rpartition(":")[2].split(".")[0])
            assert dataset.sources[label].name == "abc"[index % 3]
    with pytest.raises(BadInput, match=r"no member that ends in 'modle\.txt'\. Did you mean model"):
        resolve(f"{tmp_path / 'x.tar'}?image=png&label=modle.txt")
    (tmp_path / "cut.tar").write_bytes(tar(samples)[:20_000])
    with pytest.raises(BadInput, match=r"cut\.tar cannot be read as an archive"):
        resolve(f"{tmp_path / 'cut.tar'}?image=png&label=model.txt")


def test_community_forensics_files_run_from_a_folder(tmp_path: Path) -> None:
    """The columns of the page; images are plain bytes there."""
    kinds = ["real", "LatDiff", "GAN", "real"] * 36
    table = pa.table(
        {
            "image_name": [f"{i}.png" for i in range(144)],
            "format": ["PNG"] * 144,
            "resolution": [[24, 24]] * 144,
            "image_data": pa.array(sets.encoded(144, 0), pa.binary()),
            "model_name": [f"model {i % 7}" for i in range(144)],
            "label": [int(kind != "real") for kind in kinds],
            "architecture": kinds,
        }
    )
    pq.write_table(table, tmp_path / "part.parquet")
    place = f"{tmp_path}?image=image_data&label=architecture&real=real"
    assert [s.name for s in resolve(place).load().sources] == ["real", "GAN", "LatDiff"]


def test_cards_run_by_name(hub: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["run", "--method", "majority", "--budget", "smoke", "--scores", "accuracy"]
    names = ("dragon", "tiny-genimage")
    for name in names:
        spec = read_card(CARDS[name]).labelled
        assert spec is not None
        sets.add(hub, local_hub, str(spec.hub), REPLICAS[name]())
        words += ["--dataset", name]
    with pytest.raises(SystemExit) as end:
        entry([*words, "--no-figures", "--json", "--out", str(tmp_path / "runs")])
    out, err = capsys.readouterr()
    assert end.value.code == 0, err
    records = json.loads(out)
    assert [record["status"] for record in records] == ["done"] * 2
    assert {record["job"]["test"]["name"] for record in records} == set(names)


def test_the_list_tells_size_licence_and_state(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        entry(["data", "list", "--json"])
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["tiny-genimage"]["download"] == 8359198723
    assert rows["tiny-genimage"]["licence"] == "cc-by-nc-sa-4.0"
    assert rows["wild"]["state"] == "not available" and "Kaggle" in rows["wild"]["reason"]
