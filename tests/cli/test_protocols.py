"""``fpbench run --protocol open-set|robustness``: what is printed, and what nonsense gets."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fpbench.cli.main import entry
from fpbench.runs.record import Record


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        entry(words)
    out, err = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, out, err


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Noise of another strength in each source."""
    folder = tmp_path_factory.mktemp("data") / "noise"
    rng = np.random.default_rng(0)
    for number, source in enumerate(("real", "fine", "middle", "coarse")):
        (folder / source).mkdir(parents=True)
        for index in range(60):
            pixels = rng.normal(128, 8 + 8 * number, (32, 32, 3))
            image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            image.save(folder / source / f"{index:02}.png")
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FPBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def words(images: Path, out: Path, *more: str) -> tuple[str, ...]:
    return (
        "run", "--method", "logdct", "--dataset", str(images), "--device", "cpu",
        "--no-figures", "--out", str(out), *more,
    )  # fmt: skip


def test_rotations_are_jobs_and_fewer_of_few_generators_which_is_said(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, shown, _ = call(capsys, *words(images, tmp_path, "--protocol", "open-set"))
    assert code == 0
    for number, name in enumerate(("coarse", "fine", "middle")):
        assert f"unknown  {name} (rotation " in shown, number
    assert shown.count("of 3; 4 take more generators)") == 3
    assert "AUC, unknown v. known, msp" in shown and "OSCR" in shown
    assert "whose architecture is known" not in shown  # in the record alone
    code, shown, _ = call(capsys, *words(images, tmp_path, "--protocol", "open-set", "--json"))
    records = [Record.model_validate(record) for record in json.loads(shown)]
    assert code == 0 and len(records) == 3
    assert {record.job.settings["unknown"][0] for record in records} == {"coarse", "fine", "middle"}


def test_robustness_prints_every_strength(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, shown, _ = call(capsys, *words(images, tmp_path, "--protocol", "robustness"))
    assert code == 0
    assert "accuracy under the worst perturbation" in shown
    lines = [line.split() for line in shown.splitlines()]
    (jpeg,) = [line for line in lines if line and line[0] == "jpeg"]
    assert jpeg[1:12:2] == ["95", "85", "75", "60", "40", "mean"]
    for name in ("webp", "resize", "crop", "blur", "noise", "gamma", "shift", "repost"):
        assert sum(line[:1] == [name] for line in lines) == 1, name
    augmented = words(images, tmp_path, "--protocol", "robustness", "--augment", "--json")
    code, shown, _ = call(capsys, *augmented)
    (record,) = [Record.model_validate(record) for record in json.loads(shown)]
    assert code == 0 and record.job.limits.augment is True


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--protocol", "open-set", "--unknown", "fein"), "Did you mean fine?"),
        (("--protocol", "open-set", "--unknown", "real"), "cannot be unknown: Real is what"),
        (("--protocol", "open-set", "--unknown", "fine,middle,coarse"), "is left to train on"),
        (("--protocol", "open-set", "--unknown", "family:GAN"), "no generator of the family"),
        (("--protocol", "open-set", "--unknown", " , "), "names nothing"),
        (("--unknown", "fine"), "'closed-set' has no setting 'unknown'"),
        (("--augment",), "'closed-set' knows no limit 'augment'"),
        (("--protocol", "open-set", "--augment"), "'open-set' knows no limit 'augment'"),
        (("--protocol", "opn-set"), "Did you mean open-set"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    more: tuple[str, ...],
    message: str,
) -> None:
    code, shown, told = call(capsys, *words(images, tmp_path, *more))
    assert code == 2 and shown == ""
    assert message in told and "Traceback" not in told


def test_what_one_dataset_does_not_allow_leaves_the_others(
    images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    alone = tmp_path / "alone"
    for source in ("real", "fine"):
        (alone / source).mkdir(parents=True)
        for path in (images / source).iterdir():
            (alone / source / path.name).write_bytes(path.read_bytes())
    asked = words(images, tmp_path / "runs", "--protocol", "open-set", "--dataset", str(alone))
    code, shown, told = call(capsys, *asked, "--json")
    assert code == 1 and len(json.loads(shown)) == 3
    assert "alone has fewer than two generators" in told
