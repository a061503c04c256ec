"""Local labelled datasets: columns, labels that become sources, splits, groups, cuts, nonsense."""

from __future__ import annotations

import importlib.util
import io
import json
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fpbench.cli.main import entry
from fpbench.datasets.build import build
from fpbench.datasets.decoding import decode
from fpbench.datasets.glance import glance
from fpbench.datasets.labelled.choice import choose_rows
from fpbench.datasets.labelled.spec import Labelled, spec_of
from fpbench.datasets.layout import SPLITS
from fpbench.datasets.resolve import resolve
from fpbench.errors import BadInput

Edit = Callable[[Path, Callable[[dict[str, Any]], None]], None]


def _module(name: str) -> ModuleType:
    path = Path(__file__).with_name(f"{name}.py")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(name, module)
    spec.loader.exec_module(module)
    return module


sets = _module("labelled_sets")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "mine.parquet"
    path.write_bytes(sets.labelled(["Real", "gan/a", "b"], 60))
    return path


def test_a_parquet_file_is_a_dataset(table: Path) -> None:
    found = resolve(f"{table}?real=Real")
    dataset = found.load()
    assert [s.name for s in dataset.sources] == ["real", "b", "gan-a"]
    assert [s.family for s in dataset.sources] == ["Real", "Unknown", "Unknown"]
    assert np.bincount(dataset.train.labels).tolist() == [18, 30, 30]
    assert np.bincount(dataset.test.labels).tolist() == [13, 21, 21]
    assert len(dataset.reference) == 24
    ids = [
        set(getattr(dataset, s).ids.tolist()) for s in ("reference", "train", "validation", "test")
    ]
    assert len(set.union(*ids)) == sum(map(len, ids)) == 180
    assert dataset.fdr_samples == 11


def test_pixels_are_those_of_the_files(tmp_path: Path) -> None:
    """Rows in known order: every image stands where its id says, with its label."""
    images = sets.encoded(120, 3)
    labels = [("a", "b")[i % 2] for i in range(120)]
    path = tmp_path / "known.parquet"
    path.write_bytes(sets.parquet({"label": labels}, images, rows=7))
    dataset = resolve(str(path)).load()
    for split in (dataset.train, dataset.validation, dataset.test):
        for name, pixels, label in zip(split.ids, split.pixels, split.labels, strict=True):
            _, block, inner = str(name).split(":")
            row = 7 * int(block) + int(inner)
            with Image.open(io.BytesIO(images[row])) as image:
                assert (np.asarray(image) == pixels).all()
            assert dataset.sources[label].name == labels[row]


def test_numbered_labels_take_the_names_that_the_file_states(tmp_path: Path) -> None:
    names = ["real", "sd", "dalle"]
    features = {"generator": {"_type": "ClassLabel", "names": names}}
    data = sets.parquet({"generator": [i % 3 for i in range(180)]}, sets.encoded(180, 0),
                        features=features)  # fmt: skip
    (tmp_path / "x.parquet").write_bytes(data)
    dataset = resolve(f"{tmp_path / 'x.parquet'}?label=generator").load()
    assert [s.name for s in dataset.sources] == ["real", "dalle", "sd"]
    plain = sets.parquet({"generator": [i % 3 for i in range(180)]}, sets.encoded(180, 0))
    (tmp_path / "y.parquet").write_bytes(plain)
    found = resolve(f"{tmp_path / 'y.parquet'}?label=generator&real=0")
    assert [s.name for s in found.description.sources] == ["real", "1", "2"]


def spec(table: Path, **fields: object) -> Labelled:
    return Labelled.model_validate({"path": str(table), **fields})


def load(table: Path, **fields: object) -> object:
    from fpbench.datasets.labelled.dataset import LabelledDataset

    return LabelledDataset(spec(table, **fields), base=table.parent)


def test_several_labels_may_be_one_source(table: Path) -> None:
    path = table.with_name("more.parquet")
    path.write_bytes(sets.labelled(["camera", "scan", "gan", "sd1", "sd2", "junk"], 40))
    sources = {"real": ["camera", "scan"], "sd": ["sd1", "sd2"], "gan": ["gan"]}
    found = load(path, sources=sources, skip=["junk"], images=0)
    dataset = found.load()  # type: ignore[attr-defined]
    assert [s.name for s in dataset.sources] == ["real", "gan", "sd"]
    labels = np.concatenate([getattr(dataset, split).labels for split in SPLITS])
    total = Counter(labels.tolist())
    assert total == {0: 80, 1: 40, 2: 80}


def test_labels_and_sources_must_fit(table: Path) -> None:
    with pytest.raises(BadInput, match=r"labels without a source: 'Real' \(60 images\)"):
        load(table, sources={"a": ["gan/a"], "b": ["b"]})
    with pytest.raises(BadInput, match=r"source 'c' has no images: .* no label 'C'"):
        load(table, sources={"c": ["C"], "rest": ["*"]}, real=["Real"])
    with pytest.raises(BadInput, match=r"no label 'real'\. Did you mean Real"):
        resolve(f"{table}?real=real")
    with pytest.raises(BadInput, match=r"'Real', which differs .* say so with --real Real"):
        resolve(str(table))
    with pytest.raises(ValueError, match="'b' is given to two sources, 'x' and 'y'"):
        spec(table, sources={"x": ["b"], "y": ["b"]})
    with pytest.raises(BadInput, match="labels without a source: '' "):
        empty = table.with_name("empty.parquet")
        empty.write_bytes(sets.parquet({"label": ["a", "b", None] * 40}, sets.encoded(120, 0)))
        resolve(str(empty))
    with pytest.raises(BadInput, match="the source b alone"):
        resolve(f"{table}?where=label:b")


def test_two_labels_that_differ_by_case_are_told(tmp_path: Path) -> None:
    path = tmp_path / "case.parquet"
    path.write_bytes(sets.labelled(["SD", "sd", "x"], 40))
    with pytest.raises(BadInput, match="the labels 'SD' and 'sd', which differ by upper and lower"):
        resolve(str(path))


def test_rows_are_filtered(tmp_path: Path) -> None:
    columns = {
        "label": ["a", "b"] * 100,
        "clean": ["yes" if i % 4 < 2 else "no" for i in range(200)],
    }
    path = tmp_path / "filtered.parquet"
    path.write_bytes(sets.parquet(columns, sets.encoded(200, 0)))
    found = resolve(f"{path}?where=clean:yes")
    assert "100 of 100 rows" in found.brought
    for name in found.load().train.ids:
        _, block, inner = str(name).split(":")
        assert (20 * int(block) + int(inner)) % 4 < 2


def test_a_group_column_keeps_groups_on_one_side(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    groups = [f"prompt {g}" for g in rng.integers(0, 30, 240)]
    columns = {"label": ["Real", "a", "b"] * 80, "prompt": groups}
    path = tmp_path / "grouped.parquet"
    path.write_bytes(sets.parquet(columns, sets.encoded(240, 0)))
    found = resolve(f"{path}?real=Real&group=prompt&images=0")
    dataset = found.load()
    sides = {split: set(dataset.groups[split]) for split in dataset.groups}
    assert not (sides["train"] | sides["reference"]) & sides["test"]
    assert not sides["validation"] & (sides["train"] | sides["test"])
    assert "images of one prompt on one side" in found.brought
    with pytest.raises(BadInput, match=r"no column 'promt'\. Did you mean prompt"):
        resolve(f"{path}?real=Real&group=promt")


def test_images_are_cut_and_not_resampled(tmp_path: Path) -> None:
    images = [*sets.encoded(60, 0, (40, 56)), *sets.encoded(60, 1, (48, 41))]
    path = tmp_path / "sizes.parquet"
    path.write_bytes(sets.parquet({"label": ["a"] * 60 + ["b"] * 60}, images))
    found = resolve(str(path))
    dataset = found.load()
    assert dataset.train.size == (40, 40)
    assert "square of 40 pixels" in found.remarks()[0]
    for name, pixels, label in zip(
        dataset.test.ids, dataset.test.pixels, dataset.test.labels, strict=True
    ):
        _, block, inner = str(name).split(":")
        with Image.open(io.BytesIO(images[20 * int(block) + int(inner)])) as image:
            whole = np.asarray(image)
        # Cut at a multiple of 8 pixels: the middle of 56 less 40 is 8.
        left = 8 if label == 0 else 0
        assert (pixels == whole[:40, left : left + 40]).all()
    assert resolve(f"{path}?crop=24").load().test.size == (24, 24)
    small = resolve(f"{path}?crop=24&resize=16")
    assert small.load().test.size == (16, 16) and "takes traces away" in small.remarks()[0]
    with pytest.raises(BadInput, match=r"of source 'a' .* smaller than the square, .*--crop"):
        resolve(f"{path}?crop=48").load()


def test_what_cannot_be_used_is_left_out_and_told(tmp_path: Path) -> None:
    images = sets.encoded(200, 0)
    images[10] = sets.encoded(1, 9, (12, 12))[0]
    images[20] = b"no image"
    images[30] = images[31 + 1]
    stream = io.BytesIO()
    Image.new("L", (24, 24), 7).save(stream, "PNG")
    images[50] = stream.getvalue()
    path = tmp_path / "some.parquet"
    path.write_bytes(sets.parquet({"label": ["a", "b"] * 100}, images))
    found = resolve(f"{path}?images=0")
    dataset = found.load()
    assert sum(len(getattr(dataset, s)) for s in ("train", "validation", "test")) == 197
    said = " ".join(found.remarks())
    assert "3 of 200 images are left out" in said and "there before" in said
    assert "Grey images are repeated" in said
    assert any("Grey images" in text for text in glance(found))
    images[:20] = [b"x"] * 20
    path.write_bytes(sets.parquet({"label": ["a", "b"] * 100}, images))
    with pytest.raises(BadInput, match=r"1\d of 100 images of source 'a' .* no PNG, JPEG or WebP"):
        resolve(f"{path}?images=0").load()


def write_csv(folder: Path, each: int = 40) -> list[str]:
    lines = ["path,model,scene"]
    for number, label in enumerate(("photo", "a", "b")):
        for index, data in enumerate(sets.encoded(each + 20 * (label == "photo"), number)):
            name = f"images/{label}-{index}.png"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
            lines.append(f"{name},{label},{index % 15}")
    return lines


def test_a_csv_of_paths_is_a_dataset(tmp_path: Path) -> None:
    lines = write_csv(tmp_path)
    path = tmp_path / "list.csv"
    path.write_text("\n".join(lines) + "\n", "utf-8")
    found = resolve(f"{path}?image=path&label=model&real=photo&group=scene")
    dataset = found.load()
    assert [s.name for s in dataset.sources] == ["real", "a", "b"]
    assert all(name.startswith("images/") for name in dataset.test.ids)
    path.write_text("\n".join([lines[0], *reversed(lines[1:])]) + "\n", "utf-8")
    assert resolve(f"{path}?image=path&label=model&real=photo").load().identity.name == "list.csv"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("../secret.png,a,1", r"'../secret\.png' in line 2 .* leads out"),
        ("/etc/passwd,a,1", "'/etc/passwd' in line 2 .* leads out"),
        (r"..\secret.png,a,1", "leads out of the file's own folder"),
        ("images/none.png,a,1", "which line 2 .* names, is not there"),
        ("link.png,a,1", "leads out of the file's own folder by a link"),
        (",a,1", r"Line 2 of .* names no image in the column 'path'"),
        ("images/a-1.png,a", "Line 2 .* has 2 values, but there are 3 columns"),
    ],
)
def test_csv_lines_that_lead_astray_are_refused(tmp_path: Path, line: str, told: str) -> None:
    outside = tmp_path / "secret.png"
    outside.write_bytes(sets.encoded(1, 0)[0])
    folder = tmp_path / "set"
    lines = write_csv(folder, 34)
    (folder / "link.png").symlink_to(outside)
    (folder / "list.csv").write_text("\n".join([lines[0], line, *lines[1:]]), "utf-8")
    with pytest.raises(BadInput, match=told):
        resolve(f"{folder / 'list.csv'}?image=path&label=model&real=photo")


def test_files_that_are_no_tables_are_refused(tmp_path: Path, table: Path) -> None:
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(table.read_bytes()[:-900])
    with pytest.raises(BadInput, match=r"broken\.parquet cannot be read as Parquet"):
        resolve(str(broken))
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(BadInput, match="is empty; its first line must name"):
        resolve(str(tmp_path / "empty.csv"))
    (tmp_path / "twice.csv").write_text("a,a\n1,2\n")
    with pytest.raises(BadInput, match="two columns 'a'"):
        resolve(str(tmp_path / "twice.csv"))
    with pytest.raises(BadInput, match=r"no column 'labl'\. Did you mean label\? .* --label"):
        resolve(f"{table}?label=labl")
    with pytest.raises(BadInput, match=r"no column 'pic' of images; .* are: image"):
        resolve(f"{table}?image=pic")
    with pytest.raises(BadInput, match="images: Input should be a valid integer"):
        resolve(f"{table}?images=many")
    with pytest.raises(BadInput, match="write hub:OWNER/NAME"):
        spec_of("hub:nobody", {})


@pytest.mark.parametrize("order", ["shuffled", "sorted"])
def test_rows_come_from_few_blocks_and_without_favour(order: str) -> None:
    """Of 20,000 rows of 50 kinds in blocks of 40, 40 of each: hardly more blocks than needed."""
    rng = np.random.default_rng(0)
    kinds = np.repeat(np.arange(50), 400)
    if order == "shuffled":
        rng.shuffle(kinds)
    blocks = np.arange(20_000) // 40
    chosen = choose_rows(kinds, blocks, dict.fromkeys(range(50), 40), seed=0)
    assert np.bincount(kinds[chosen.rows]).tolist() == [40] * 50
    assert len(chosen.blocks) * 40 <= 1.2 * len(chosen.rows)
    other = choose_rows(kinds, blocks, dict.fromkeys(range(50), 40), seed=1)
    assert len(np.intersect1d(chosen.rows, other.rows)) < 0.4 * len(chosen.rows)
    # Where in the dataset rows lie does not matter: both halves are drawn from alike.
    halves = [
        np.mean(choose_rows(kinds, blocks, dict.fromkeys(range(50), 40), seed=s).rows < 10_000)
        for s in range(20)
    ]
    assert abs(np.mean(halves) - 0.5) < 0.05


def test_a_run_on_a_csv(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "list.csv"
    path.write_text("\n".join(write_csv(tmp_path)), "utf-8")
    with pytest.raises(SystemExit) as end:
        entry(
            ["run", "--method", "logdct", "--dataset", str(path), "--image", "path", "--label",
             "model", "--real", "photo", "--group", "scene", "--budget", "smoke", "--json",
             "--no-figures", "--out", str(tmp_path / "runs")]
        )  # fmt: skip
    out, err = capsys.readouterr()
    assert end.value.code == 0, err
    (record,) = json.loads(out)
    assert record["status"] == "done" and record["job"]["test"]["name"] == "list.csv"
    assert "Note: list.csv: split by shares" in err and "images of one scene on one side" in err


def test_a_recipe_takes_sources_from_labels(
    tiny_card: Path, tmp_path: Path, edit_yaml: Edit
) -> None:
    data = sets.parquet(
        {"model": ["x", "y", "z"] * 40, "extra": list(range(120))},
        sets.encoded(120, 5, (16, 16)),
        rows=9,
    )
    (tiny_card / "models.parquet").write_bytes(data)
    origin = {"kind": "labelled", "of": {"path": "models.parquet", "label": "model"}}

    def change(recipe: dict[str, Any]) -> None:
        recipe["sources"]["gan-a"] = {**origin, "labels": ["x"]}
        recipe["sources"]["vae-b"] = {**origin, "labels": ["y", "z"]}

    edit_yaml(tiny_card / "recipe.yaml", change)
    dataset = resolve(str(build(tiny_card, tmp_path / "built"))).load()
    images = {hash(decode(image, "x").tobytes()): i for i, image in enumerate(
        sets.encoded(120, 5, (16, 16)))}  # fmt: skip
    for pixels, label in zip(dataset.test.pixels, dataset.test.labels, strict=True):
        if label:
            row = images[hash(np.ascontiguousarray(pixels).tobytes())]
            assert (row % 3 == 0) == (label == 1)
    edit_yaml(
        tiny_card / "recipe.yaml",
        lambda recipe: recipe["sources"]["gan-a"].update(labels=["xx"]),
    )
    with pytest.raises(BadInput, match=r"models\.parquet has no label 'xx'"):
        build(tiny_card, tmp_path / "other")
