"""``fpbench ablate`` as a person meets it."""

import json
from pathlib import Path

import pytest

from fpbench.cli.main import entry
from fpbench.runs.ablation import Ablation

WORDS = (
    "ablate", "--method", "majority", "--dataset", "gm-mini", "--vary", "bag-size",
    "--values", "1,10", "--seeds", "1", "--budget", "smoke", "--device", "cpu",
)  # fmt: skip


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        entry(words)
    out, err = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, out, err


def test_a_table_a_curve_and_then_a_resume(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, err = call(capsys, *WORDS, "--out", str(tmp_path))
    assert code == 0, err
    assert "bag-size varied" in out
    for name in ("ablation.json", "ablation.csv", "curve.png"):
        (path,) = tmp_path.glob(f"ablations/gm-mini/majority-*/{name}")
        assert str(path) in out and path.stat().st_size > 0
    code, out, err = call(capsys, *WORDS, "--out", str(tmp_path), "--json")
    assert code == 0 and "done before" in err and "running" not in err
    ablation = Ablation.model_validate(json.loads(out))
    # The floor does not look at the images, so bags help it not at all.
    assert [row.value for row in ablation.rows] == [1, 10]
    assert [row.mean for row in ablation.rows] == [pytest.approx(1 / 12)] * 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--vary", "k"), "no parameter 'k' to vary"),
        (("--values", "ten"), "must be positive integers"),
        (("--vary", "train-images", "--values", "9999"), "there are 160"),
    ],
)
def test_nonsense_gets_a_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    code, _, err = call(capsys, *WORDS, *words, "--out", str(tmp_path))
    assert code == 2 and message in err and "Traceback" not in err
