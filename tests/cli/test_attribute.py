"""``fpbench fit`` and ``fpbench attribute`` as a person meets them."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fpbench.cli.main import entry


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        entry(words)
    out, err = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, out, err


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real images and those of two sources, which differ by their mean; a folder of each."""
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for level, (name, count) in enumerate({"real": 240, "dark": 150, "light": 150}.items()):
        (folder / name).mkdir()
        for index in range(count):
            pixels = rng.integers(0, 120, (8, 8, 3)) + 60 * level
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{index:03}.png")
    return folder


@pytest.fixture(scope="module")
def model(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "model"
    words = ["fit", "--method", "pixels", "--dataset", str(images), "--out", str(folder)]
    with pytest.raises(SystemExit) as end:
        entry([*words, "--leaderboards", "none"])
    assert end.value.code in (0, None)
    return folder


def test_fit_says_what_it_made_and_what_can_be_promised(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("fit", "--method", "majority", "--dataset", str(images), "--out", str(tmp_path / "m"))
    code, out, _ = call(capsys, *words)
    assert code == 0
    assert "majority" in out and "3: real, dark, light" in out and "at most 0.1" in out
    assert "nobody states any" in out
    code, out, _ = call(capsys, *words, "--json", "--calibration-share", "0.9")
    document = json.loads(out)
    assert code == 0 and document["sources"][1]["calibration"] == 20


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--method", "prnuu"], "Did you mean prnu?"),
        (["--dataset", "gm-minni"], "Did you mean gm-mini"),
        (["--set", "levels=0"], "levels"),
        (["--calibration-share", "1"], "calibration-share"),
    ],
)
def test_fit_refuses_what_cannot_be(
    words: list[str], sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = {"--method": "prnu", "--dataset": "gm-mini", "--out": str(tmp_path / "m")}
    asked = usual | dict(zip(words[::2], words[1::2], strict=True))
    code, _, err = call(capsys, "fit", *(word for pair in asked.items() for word in pair))
    assert code == 2 and sentence in err
    assert not (tmp_path / "m").exists()


def test_one_image_gets_its_p_values_and_the_promise(
    images: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = images / "light" / "000.png"
    code, out, err = call(capsys, "attribute", str(path), "--model", str(model))
    assert code == 0 and err == ""
    assert "p-value" in out and "ruled out" in out and "possible" in out
    assert "with probability at most 0.1" in out and "11 calibration images a source" in out


def test_a_folder_with_a_broken_file_is_judged_and_the_file_named(
    images: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for index, path in enumerate(sorted((images / "dark").iterdir())[:20]):
        (tmp_path / f"{index:02}.png").write_bytes(path.read_bytes())
    (tmp_path / "07.png").write_bytes(b"broken")
    code, out, err = call(capsys, "attribute", str(tmp_path), "--model", str(model))
    assert code == 1
    assert err.count("Error:") == 1 and "07.png" in err
    assert sum(line.startswith(str(tmp_path)) for line in out.splitlines()) == 19
    assert "1 not judged" in out
    code, out, _ = call(capsys, "attribute", str(tmp_path), "--model", str(model), "--json")
    document = json.loads(out)
    assert code == 1
    assert len(document["images"]) == 20 and document["counts"]["not judged"] == 1
    assert document["images"][7]["verdict"] == "not judged"
    assert document["model"]["method"] == "pixels:nearest"
    assert set(document["images"][0]["p_values"]) == {"real", "dark", "light"}


def test_a_bag_gets_one_verdict(
    images: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("attribute", str(images / "light"), "--model", str(model), "--bag")
    code, out, _ = call(capsys, *words)
    assert code == 0
    assert "150 images together" in out and "smallest possible" in out
    assert "a bag of 150 images" in out
    code, out, _ = call(capsys, *words, "--json")
    document = json.loads(out)
    assert document["bag"]["images"] == 150
    assert document["bag"]["warnings"][0]["kind"] == "near copy"


def test_nothing_that_can_be_judged_ends_with_two(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, "attribute", str(tmp_path), "--model", str(model))
    assert code == 2 and "holds no PNG, JPEG or WebP image" in err
    assert "promise" not in out and "probability" not in out
    code, out, _ = call(capsys, "attribute", str(tmp_path), "--model", str(model), "--json")
    assert code == 2 and json.loads(out)["counts"] == {"not judged": 1}
    code, _, err = call(capsys, "attribute", str(tmp_path), "--model", str(model), "--bag")
    assert code == 2 and "holds no PNG" in err


@pytest.mark.parametrize("alpha", ["0", "1", "nan", "-1", "x"])
def test_an_error_that_is_none_is_refused(
    alpha: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("attribute", "a.png", "--model", str(model), "--alpha", alpha)
    assert call(capsys, *words)[0] == 2


def test_a_folder_that_is_no_model_is_refused(
    images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = call(capsys, "attribute", str(images), "--model", str(images))
    assert code == 2 and "is no model folder" in err


def test_a_report_is_written_beside_the_verdicts(
    images: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new" / "report.html"
    words = ("attribute", str(images / "light" / "000.png"), "--model", str(model))
    code, out, _ = call(capsys, *words, "--report", str(path))
    assert code == 0 and f"report   {path}" in out
    assert path.read_text("utf-8").startswith("<!doctype html>")
    code, out, _ = call(capsys, *words, "--bag", "--json", "--report", str(path))
    assert code == 0 and json.loads(out)["bag"]["images"] == 1
    assert "1 images together" in path.read_text("utf-8")
    assert call(capsys, *words, "--report", str(tmp_path))[0] == 2


def test_a_run_keeps_a_model_beside_its_record(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("run", "--method", "majority", "--dataset", str(images), "--no-figures", "--device")
    words += ("cpu", "--out", str(tmp_path), "--scores", "accuracy", "--save-model")
    code, out, _ = call(capsys, *words)
    assert code == 0
    (page,) = tmp_path.rglob("model.json")
    assert (page.parents[1] / "record.json").is_file() and f"model    {page.parent}" in out
    record = (page.parents[1] / "record.json").read_text()
    # Half of the validation images of a source, which the record's own fit had all of.
    document = json.loads(page.read_text())
    assert [s["calibration"] for s in document["sources"]] == [11, 11, 11]
    # The job and its model are there already.
    before = page.stat().st_mtime_ns
    assert call(capsys, *words)[0] == 0
    assert page.stat().st_mtime_ns == before
    assert (page.parents[1] / "record.json").read_text() == record
    path = images / "dark" / "000.png"
    assert call(capsys, "attribute", str(path), "--model", str(page.parent))[0] == 0


@pytest.mark.parametrize(
    "option", ["--folds=3", "--control=shuffled-labels", "--protocol=open-set"]
)
def test_a_run_keeps_no_model_of_other_splits(
    option: str, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ("run", "--method", "majority", "--dataset", str(images), "--out", str(tmp_path / "o"))
    code, _, err = call(capsys, *words, "--save-model", option)
    assert code == 2 and "--save-model" in err and option.split("=")[0] in err
    assert not (tmp_path / "o").exists()
