"""``fpbench transfer`` as a person meets it."""

import json
from pathlib import Path

import pytest

from fpbench.cli.main import entry
from fpbench.runs.record import Record

WORDS = (
    "transfer", "--method", "pixels", "--train-on", "gm-mini", "--test-on", "gm-mini",
    "--train-sources", "beta-vae-small,dcgan-small,glow-small",
    "--test-sources", "dcgan-small, glow-small,ddpm-small",
    "--budget", "smoke", "--device", "cpu",
)  # fmt: skip


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as end:
        entry(words)
    out, err = capsys.readouterr()
    assert isinstance(end.value.code, int)
    return end.value.code, out, err


def test_a_table_with_chance_and_cap_and_then_a_resume(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, out, err = call(capsys, *WORDS, "--out", str(tmp_path))
    assert code == 0, err
    assert "gm-mini[beta-vae-small,dcgan-small,glow-small]" in out
    assert "shared models: DCGAN, Glow; unseen: DDPM" in out
    assert "cannot exceed 0.667 on all tested models (0.750 with Real)" in out
    code, out, err = call(capsys, *WORDS, "--out", str(tmp_path), "--json")
    assert code == 0 and "done before" in err
    (document,) = json.loads(out)
    record = Record.model_validate(document)
    shared = record.scores["shared_masked"]
    assert shared.chance == 0.5 and shared.value is not None and shared.n == 300
    assert record.scores["disjoint"].value is None  # no other model of DDPM's family was trained on


def test_several_seeds_are_summed_up_in_one_row(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = [*WORDS, "--out", str(tmp_path), "--seeds", "2"]
    words[words.index("pixels")] = "majority"
    code, out, err = call(capsys, *words)
    assert code == 0, err
    summary = out[out.index("Means over seeds") :].splitlines()
    chance, row = (
        next(line for line in summary if word in line) for word in ("chance", "majority")
    )
    assert chance.split() == ["chance", "0.500", "0.333", "0.333", "0.500"]
    # The floor names one source whatever it sees: at chance, with an interval of its own.
    assert row.split()[1] == "0.500" and "null" in row


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--train-sources", "dcgan"), "no generator 'dcgan'"),
        (("--set", "nonsense=1"), "no parameter 'nonsense'"),
        (("--time-limit", "inf"), "inf is no finite number"),
        (("--test-on", "gm-minni"), "no dataset 'gm-minni'"),
    ],
)
def test_nonsense_gets_a_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    code, _, err = call(capsys, *WORDS, *words, "--out", str(tmp_path))
    assert code == 2 and message in err and "Traceback" not in err
