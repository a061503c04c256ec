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
        (("--values", ""), "--values '' must be positive integers"),
        (("--values", "0"), "0 must be a positive integer"),
        (("--values", "-1"), "must be positive integers"),
        (("--values", "1.5"), "must be positive integers"),
        (("--values", "99999999999"), "must be positive integers"),
        (("--values", "\u0663"), "must be positive integers"),
        (("--values", ",".join(map(str, range(1, 200)))), "199 values are given; from 1 to 100"),
        (("--vary", "budget", "--values", ""), "'' is no budget; use smoke, small, full"),
        (("--vary", "budget", "--values", "small,huge"), "'huge' is no budget"),
        (("--vary", "bags-per-source", "--values", "9999999"), "at most 10000 bags"),
        (("--vary", "bags-per-source", "--bag-size", "9999"), "there are 160 of a source"),
        (("--vary", "reference-size", "--values", "9999999"), "cannot reach 9999999"),
        (("--vary", "train-images", "--score", "nope"), "has no score 'nope'"),
        (("--score", "auc"), "--vary bag-size has no score 'auc'"),
        (("--executor", "nope"), "no executor 'nope'"),
        (("--executor", "processes", "--engine", "x=1"), "has no setting 'x'"),
        (("--engine", "x"), "not of the form key=value"),
        (("--method", "nope"), "no method 'nope'"),
        (("--dataset", "gm-mimi"), "no dataset 'gm-mimi'"),
        (("--set", "x=1"), "has no parameter 'x'"),
        (("--seeds", "0"), "not in the range"),
        (("--seeds", "99999999"), "not in the range"),
        (("--threads", "99999999"), "not in the range"),
        (("--time-limit", "nan"), "no finite number"),
        (("--vary", "train-images", "--values", "9999"), "there are 160"),
    ],
)
def test_nonsense_gets_a_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    code, _, err = call(capsys, *WORDS, *words, "--out", str(tmp_path))
    assert code == 2 and message in err and "Traceback" not in err
