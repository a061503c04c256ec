"""The origin `files`: grids and single images by a list of URLs, and local copies of them."""

from __future__ import annotations

import hashlib
import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from fpbench.datasets import external
from fpbench.datasets.build import build
from fpbench.datasets.card import read_manifest, read_recipe
from fpbench.datasets.downloads.fetch import missing
from fpbench.datasets.jpeg import Jpeg, encode_jpeg, through_jpeg
from fpbench.datasets.origins.files import Tiles
from fpbench.datasets.origins.grouping import choose_by_group
from fpbench.datasets.resolve import resolve
from fpbench.datasets.traces import file_traits
from fpbench.errors import BadInput

Edit = Callable[[Path, Callable[[dict[str, Any]], None]], None]
Make = Callable[..., np.ndarray]

TILES = {"columns": 3, "rows": 2, "size": 16, "pad": 2}
FAR = "https://files.invalid/project@c0ffee/"


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def grid_of(images: np.ndarray, shade: int) -> np.ndarray:
    """Six images in two rows of three, two pixels of a shade between and around them."""
    grid = np.full((2 * 18 + 2, 3 * 18 + 2, 3), shade, np.uint8)
    for index, image in enumerate(images):
        top, left = 2 + index // 3 * 18, 2 + index % 3 * 18
        grid[top : top + 16, left : left + 16] = image
    return grid


class Public:
    """A card whose files others published, the server that has them, and local copies."""

    def __init__(self, card: Path, server: Any, make: Make, edit: Edit) -> None:
        self.card, self.server, self.edit = card, server, edit
        (card / "origins").mkdir()
        self.tiles = make(42, 50)
        grids = [grid_of(self.tiles[i : i + 6], 5 * i) for i in range(0, 42, 6)]
        self.list("grids", {f"g/{i}.png": png(grid) for i, grid in enumerate(grids)})
        self.single = make(40, 51, 32)
        self.list("single", {f"s/{i}.png": png(image) for i, image in enumerate(self.single)})
        self.real = make(70, 52)
        self.list("real", {f"r/{i}.png": png(image) for i, image in enumerate(self.real)})
        resize = {"resize": 16}

        def origins(document: dict[str, Any]) -> None:
            document["counts"] = {"reference": 24, "train": 10, "validation": 4, "test": 16}
            document["real"] = {"seen": self.origin("real"), "published": False}
            document["sources"] = {
                "gan-a": self.origin("grids", tiles=TILES),
                "vae-b": self.origin("single", preprocess=resize),
            }

        edit(card / "recipe.yaml", origins)

    @staticmethod
    def origin(name: str, **fields: Any) -> dict[str, Any]:
        return {"kind": "files", "manifest": f"origins/{name}.tsv", **fields}

    def list(self, name: str, files: dict[str, bytes]) -> None:
        lines = ["url\tsha256\tbytes"]
        for path, data in files.items():
            self.server.files[f"/{path}"] = data
            lines.append(f"{FAR}{path}\t{hashlib.sha256(data).hexdigest()}\t{len(data)}")
        (self.card / "origins" / f"{name}.tsv").write_text("\n".join(lines) + "\n", "utf-8")

    def change(self, source: str, **fields: Any) -> None:
        def apply(document: dict[str, Any]) -> None:
            seen = document["real"]["seen"]
            (seen if source == "real" else document["sources"][source]).update(fields)

        self.edit(self.card / "recipe.yaml", apply)

    def copies(self, folder: Path) -> None:
        """Parquet files that stand in: tiles cut, single images reduced, the real files' own."""
        small = [
            np.asarray(Image.fromarray(image).resize((16, 16), Image.Resampling.BICUBIC))
            for image in self.single
        ]
        parquet(folder / "grids.parquet", [png(tile) for tile in self.tiles])
        parquet(folder / "single.parquet", [png(image) for image in small])
        own = [data for path, data in self.server.files.items() if path.startswith("/r/")]
        parquet(folder / "real.parquet", own)
        self.change("gan-a", ready={"path": "grids.parquet"})
        self.change("vae-b", ready={"path": "single.parquet", "preprocess": {}})
        self.change("real", ready={"path": "real.parquet"})


def parquet(path: Path, images: list[bytes]) -> None:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    rows = [{"bytes": data, "path": "x.png"} for data in images]
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"image": pa.array(rows, kind)}), path)


@pytest.fixture
def public(
    tiny_card: Path,
    file_server: Any,
    different_images: Make,
    edit_yaml: Edit,
    monkeypatch: pytest.MonkeyPatch,
) -> Public:
    monkeypatch.setenv("FPBENCH_MIRROR", f"{FAR}={file_server.url}/")
    monkeypatch.delenv("FPBENCH_SHARED_DATA", raising=False)
    shutil.rmtree(tiny_card / "pictures")
    return Public(tiny_card, file_server, different_images, edit_yaml)


def pixels_of(built: Path, split: str, source: str) -> np.ndarray:
    data = resolve(str(built), offline=True).load()
    images = getattr(data, split)
    label = next(i for i, known in enumerate(data.sources) if known.name == source)
    return np.asarray(images.pixels[images.labels == label])


def test_downloads_a_folder_and_shared_data_give_the_same_content(
    public: Public, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = {}
    hashes["http"] = read_manifest(build(public.card, tmp_path / "http")).content_hash
    for path, data in public.server.files.items():
        (tmp_path / "had" / path.replace("/", "-")).parent.mkdir(exist_ok=True)
        (tmp_path / "had" / path.replace("/", "-")).write_bytes(data)
    asked = len(public.server.requests)
    monkeypatch.setenv("FPBENCH_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("FPBENCH_FILES", str(tmp_path / "had"))
    built = build(public.card, tmp_path / "folder", offline=True)
    hashes["folder"] = read_manifest(built).content_hash
    monkeypatch.delenv("FPBENCH_FILES")
    public.copies(tmp_path / "shared")
    monkeypatch.setenv("FPBENCH_SHARED_DATA", str(tmp_path / "shared"))
    built = build(public.card, tmp_path / "shared-built", offline=True)
    hashes["shared"] = read_manifest(built).content_hash
    assert len(set(hashes.values())) == 1, hashes
    assert len(public.server.requests) == asked
    kinds = read_manifest(built).facts["gan-a"]["files"]
    assert kinds == {"PNG RGB 16x16, re-packed": 30}


def test_tiles_are_the_pixels_of_their_grid_and_no_grid_is_in_two_splits(
    public: Public, tmp_path: Path
) -> None:
    built = build(public.card, tmp_path / "built")
    grid_by_tile = {tile.tobytes(): index // 6 for index, tile in enumerate(public.tiles)}
    grids = {
        split: {grid_by_tile[image.tobytes()] for image in pixels_of(built, split, "gan-a")}
        for split in ("train", "validation", "test")
    }
    assert not grids["train"] & grids["test"] and not grids["train"] & grids["validation"]
    assert not grids["validation"] & grids["test"]
    # All seven grids give images, none to two splits.
    assert sum(map(len, grids.values())) == 7
    assert read_manifest(built).facts["gan-a"]["files"] == {"PNG RGB 38x56": 30}


def test_only_the_files_that_are_used_are_asked_for_and_all_at_once(
    public: Public, tmp_path: Path
) -> None:
    told: set[str] = set()
    build(public.card, tmp_path / "built", progress=lambda what, *_: told.add(what))
    asked = [path.split("/")[1] for path, _ in public.server.requests]
    # Thirty of forty single images; all grids, since each holds some; all real ones, of which the
    # seed chooses.
    assert (asked.count("s"), asked.count("g"), asked.count("r")) == (30, 7, 70)
    assert "download, kB" in told


def test_a_build_that_is_complete_asks_for_nothing(public: Public, tmp_path: Path) -> None:
    build(public.card, tmp_path / "built")
    asked = len(public.server.requests)
    shutil.rmtree(tmp_path / "cache")
    build(public.card, tmp_path / "built")
    assert len(public.server.requests) == asked
    # Another list is another source.
    public.list("single", {f"s/{i}.png": public.server.files[f"/s/{i}.png"] for i in range(1, 40)})
    before = read_manifest(tmp_path / "built").content["train"]
    after = read_manifest(build(public.card, tmp_path / "built")).content["train"]
    assert after["vae-b"] != before["vae-b"] and after["gan-a"] == before["gan-a"]


def test_real_images_that_stay_away_come_again_from_the_list(
    public: Public, tmp_path: Path
) -> None:
    built = build(public.card, tmp_path / "built")
    assert (built / "origins" / "real.tsv").is_file()
    expected = pixels_of(built, "reference", "real")
    for path in built.glob("data/*/real-*.parquet"):
        path.unlink()
    shutil.rmtree(tmp_path / "cache")
    asked = len(public.server.requests)
    folder = external.locate(built, read_manifest(built), read_recipe(built), None)
    assert len(list(folder.glob("data/*/real-*.parquet"))) == 4
    assert len(public.server.requests) == asked + 70
    assert np.array_equal(pixels_of(built, "reference", "real"), expected)


def test_an_image_goes_through_the_jpeg_of_the_other_sources(
    public: Public, tmp_path: Path
) -> None:
    tables = [[min(255, 3 + 2 * i) for i in range(64)], [min(255, 5 + 3 * i) for i in range(64)]]
    public.change("vae-b", preprocess={"resize": 16, "jpeg": {"tables": tables}})
    built = build(public.card, tmp_path / "built")
    small = [
        np.asarray(Image.fromarray(image).resize((16, 16), Image.Resampling.BICUBIC))
        for image in public.single
    ]
    steps = Jpeg(tables=(tables[0], tables[1]))
    expected = {through_jpeg(image, steps).tobytes() for image in small}
    assert {image.tobytes() for image in pixels_of(built, "train", "vae-b")} <= expected
    data = encode_jpeg(small[0], steps)
    with Image.open(io.BytesIO(data)) as image:
        assert [list(image.quantization[key]) for key in (0, 1)] == tables
    assert file_traits(data).subsampling == "4:2:0"


@pytest.mark.parametrize(
    "steps",
    [{}, {"quality": 0}, {"quality": 101}, {"quality": 75, "tables": [[1] * 64, [1] * 64]},
     {"tables": [[1] * 64, [1] * 63]}, {"tables": [[1] * 64, [0] * 64]}],
)  # fmt: skip
def test_a_jpeg_that_is_none_is_refused(public: Public, tmp_path: Path, steps: Any) -> None:
    public.change("vae-b", preprocess={"resize": 16, "jpeg": steps})
    with pytest.raises(BadInput, match="jpeg"):
        build(public.card, tmp_path / "built")


def test_a_grid_of_another_size_is_refused(public: Public, tmp_path: Path) -> None:
    for wrong in ({"pad": 1}, {"rows": 3}, {"size": 15}):
        public.change("gan-a", tiles=TILES | wrong)
        with pytest.raises(BadInput, match=r"g/\d\.png is 38x56 pixels, but 3 columns and") as told:
            build(public.card, tmp_path / "built")
        assert "tiles" in str(told.value)
        assert not (tmp_path / "built" / "manifest.json").exists()


@pytest.mark.slow  # imports torchvision
def test_the_geometry_of_a_grid_is_that_of_torchvision() -> None:
    torch = pytest.importorskip("torch")
    utils = pytest.importorskip("torchvision.utils")
    tiles = Tiles(columns=4, rows=2, size=5, pad=1)
    images = torch.arange(8 * 3 * 25, dtype=torch.float32).reshape(8, 3, 5, 5) / 600
    made = utils.make_grid(images, nrow=4, padding=1).permute(1, 2, 0)
    grid = (made * 255).to(torch.uint8).numpy()
    for index in range(8):
        own = (images[index].permute(1, 2, 0) * 255).to(torch.uint8).numpy()
        assert np.array_equal(tiles.cut(grid, index, "grid"), own)


def test_images_smaller_than_the_crop_are_refused(public: Public, tmp_path: Path) -> None:
    public.change("vae-b", preprocess={"crop": 64, "resize": 16})
    with pytest.raises(BadInput, match=r"s/\d+\.png is 32x32 pixels, smaller than .*crop of 64"):
        build(public.card, tmp_path / "built")


@pytest.mark.parametrize("status", [404, 403])
def test_a_file_that_is_gone_is_named_before_anything_is_written(
    public: Public, tmp_path: Path, fault: Any, status: int
) -> None:
    public.server.faults["/g/3.png"] = [fault(status=status)]
    with pytest.raises(BadInput, match=rf"/g/3\.png.*{status}|{status}.*/g/3\.png"):
        build(public.card, tmp_path / "built")
    assert not (tmp_path / "built").exists()


def test_a_copy_that_is_none_is_refused(
    public: Public, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    public.copies(tmp_path / "shared")
    monkeypatch.setenv("FPBENCH_SHARED_DATA", str(tmp_path / "shared"))
    own = [data for path, data in public.server.files.items() if path.startswith("/r/")]
    parquet(tmp_path / "shared" / "real.parquet", [own[1], own[0], *own[2:]])
    with pytest.raises(BadInput, match=r"ow 0 of .*real\.parquet is not the file .*r/0\.png"):
        build(public.card, tmp_path / "built", offline=True)
    parquet(tmp_path / "shared" / "grids.parquet", [png(tile) for tile in public.tiles[:-1]])
    with pytest.raises(BadInput, match=r"has 41 images, but origins/grids\.tsv stands for 42"):
        build(public.card, tmp_path / "other", offline=True)


def test_offline_says_what_is_missing(public: Public, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"107 files .* would have to be downloaded"):
        build(public.card, tmp_path / "built", offline=True)
    assert not public.server.requests


@pytest.mark.parametrize(
    "name", ["../outside.tsv", "/etc/outside.tsv", "origins/../../outside.tsv"]
)
def test_a_list_outside_the_card_is_refused(public: Public, tmp_path: Path, name: str) -> None:
    shutil.copy(public.card / "origins" / "grids.tsv", public.card.parent / "outside.tsv")
    public.change("gan-a", manifest=name)
    with pytest.raises(BadInput, match="leads out of"):
        build(public.card, tmp_path / "built")


def test_a_link_that_leads_out_of_the_card_is_refused(public: Public, tmp_path: Path) -> None:
    shutil.copy(public.card / "origins" / "grids.tsv", tmp_path / "outside.tsv")
    (public.card / "origins" / "link.tsv").symlink_to(tmp_path / "outside.tsv")
    public.change("gan-a", manifest="origins/link.tsv")
    with pytest.raises(BadInput, match="leads out of"):
        build(public.card, tmp_path / "built")
    public.change("gan-a", manifest="origins/none.tsv")
    with pytest.raises(BadInput, match=r"'origins/none\.tsv' is not in"):
        build(public.card, tmp_path / "built")


SHA = "0" * 64


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "first line"),
        ("sha256\turl\tbytes\n", "first line"),
        ("url\tsha256\tbytes\n", "names no files"),
        (f"url\tsha256\tbytes\nhttps://h/a\t{SHA}\n", "line 2: 2 columns"),
        (f"url\tsha256\tbytes\nhttps://h/a\t{SHA}\tmany\n", "no number"),
        (f"url\tsha256\tbytes\nhttps://h/a\t{SHA}\t0\n", "line 2"),
        ("url\tsha256\tbytes\nhttps://h/a\tabc\t5\n", "line 2: 'abc' is no SHA-256"),
        (f"url\tsha256\tbytes\nhttps://h/a/../b\t{SHA}\t5\n", "line 2: .* leads out"),
        (f"url\tsha256\tbytes\nfile:///etc/passwd\t{SHA}\t5\n", "line 2: .*no address"),
        (
            f"url\tsha256\tbytes\nhttps://h/a\t{SHA}\t5\nhttps://h/b\t{SHA}\t5\n",
            "line 3: .* line 2",
        ),
    ],
)
def test_a_list_that_is_none_is_refused(
    public: Public, tmp_path: Path, text: str, words: str
) -> None:
    (public.card / "origins" / "grids.tsv").write_text(text, "utf-8")
    with pytest.raises(BadInput, match=words):
        build(public.card, tmp_path / "built")


def test_images_that_are_left_out_are_not_taken(public: Public, tmp_path: Path) -> None:
    without = [0, 7, 13, 20, 41]
    public.change("gan-a", tiles=TILES, without=without)
    built = build(public.card, tmp_path / "built")
    left_out = {public.tiles[position].tobytes() for position in without}
    for split in ("train", "validation", "test"):
        assert not left_out & {image.tobytes() for image in pixels_of(built, split, "gan-a")}
    public.change("gan-a", without=[42])
    with pytest.raises(BadInput, match="names the image 42, but there are 42"):
        build(public.card, tmp_path / "other")


def test_groups_that_do_not_suffice_are_told(public: Public, tmp_path: Path) -> None:
    public.list("grids", {f"g/{i}.png": public.server.files[f"/g/{i}.png"] for i in range(5)})
    with pytest.raises(BadInput, match=r"'gan-a': its 30 images are in 5 groups"):
        build(public.card, tmp_path / "built")


def test_groups_are_dealt_whole_evenly_and_by_seed() -> None:
    rng = np.random.default_rng(0)
    counts = {"train": 120, "validation": 30, "test": 60}
    for seed in range(20):
        groups = [f"g{n}" for n, size in enumerate(rng.integers(5, 30, 30)) for _ in range(size)]
        chosen = choose_by_group(groups, counts, seed, "x")
        assert {split: len(own) for split, own in chosen.items()} == counts
        owners = [{groups[position] for position in own} for own in chosen.values()]
        assert not owners[0] & owners[1] and not owners[1] & owners[2] and not owners[0] & owners[2]
        assert all(len(set(own)) == len(own) for own in chosen.values())
        assert chosen == choose_by_group(groups, counts, seed, "x")
        assert chosen != choose_by_group(groups, counts, seed + 1, "x")
    # Of equal groups each gives the same, give or take one.
    equal = choose_by_group([n // 10 for n in range(200)], {"train": 53, "test": 31}, 0, "x")
    for own in equal.values():
        taken = np.bincount([position // 10 for position in own])
        assert np.ptp(taken[taken > 0]) <= 1


def test_nothing_is_missing_once_built(public: Public, tmp_path: Path) -> None:
    recipe = read_recipe(public.card)
    counts = {"train": 10, "validation": 4, "test": 16}
    wanted = recipe.sources["vae-b"].downloads(public.card, counts, "vae-b")
    assert len(wanted) == len(missing(wanted).files) == 30
    build(public.card, tmp_path / "built")
    assert not missing(wanted).files
