"""From a finished run to the leaderboards' folder, by the functions and by the command."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from fpbench.cli.main import cli
from fpbench.errors import BadInput
from fpbench.leaderboard.archive.methodcard import read_card
from fpbench.leaderboard.audit.check import check
from fpbench.leaderboard.audit.submit import find_records, prepare, write
from fpbench.leaderboard.audit.verify import verify
from fpbench.leaderboard.output.build import build


def test_submitted_run_stands_on_the_board_and_passes_the_check(root: Path, make_run: Any) -> None:
    run = make_run(method="prnu", variant="wavelet")
    submission = prepare(run, root)
    assert submission.state == "new"
    write(submission, root)
    build(root)
    assert check(root).problems == ()
    assert "prnu:wavelet" in (root / "someone-gm-tiny.md").read_text("utf-8")
    card = read_card(root / "results" / "someone-gm-tiny" / "prnu" / "card.yaml")
    assert card.name == "prnu"
    assert "marra2019" in card.citation
    assert prepare(run, root).state == "already there"


def test_no_embeddings_are_sent(root: Path, make_run: Any) -> None:
    run = make_run(method="prnu")
    (run.parent / "embeddings.safetensors").write_bytes(b"x" * 1000)
    names = [Path(name).name for name in prepare(run, root).files]
    assert sorted(names)[1:] == ["card.yaml", "evidence.safetensors", "predictions.parquet"]


def test_only_figures_that_are_pictures_are_sent(root: Path, make_run: Any) -> None:
    run = make_run(method="prnu")
    figures = run.parent / "figures"
    figures.mkdir()
    (figures / "tsne.png").write_bytes(b"\x89PNG\r\n\x1a\nrest")
    (figures / "residuals.png").write_bytes(b"<svg onload=alert(1)>")
    (figures / "confusion.png").write_bytes(b"\x89PNG\r\n\x1a\nrest")
    sent = [Path(name).name for name in prepare(run, root).files if name.endswith(".png")]
    assert sent == ["tsne.png"]


def test_scores_that_do_not_follow_are_refused(root: Path, make_run: Any) -> None:
    run = make_run(method="prnu")
    document = json.loads(run.read_text("utf-8"))
    document["scores"]["accuracy"]["value"] += 0.01
    run.write_text(json.dumps(document), "utf-8")
    with pytest.raises(BadInput, match="scores do not follow"):
        prepare(run, root)


def test_failed_runs_are_refused(root: Path, make_run: Any) -> None:
    with pytest.raises(BadInput, match="failed job"):
        prepare(make_run(method="prnu", status="failed", reason="it broke"), root)


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        ({"train_images": 20}, "train images: 20"),
        ({"reference_images": 30}, "reference images: 30"),
        ({"bag_sizes": (1, 5)}, "bag sizes: 1, 5"),
    ],
)
def test_ablations_are_never_ranked(
    root: Path, make_run: Any, limits: dict[str, Any], told: str
) -> None:
    run = make_run(method="prnu", limits=limits)
    with pytest.raises(BadInput, match="of an ablation") as refused:
        prepare(run, root)
    assert f"({told}), which is never ranked" in str(refused.value)
    # What it claims is true all the same, and can be followed.
    assert verify(run, rerun=False).outcome == "bitwise"


def test_runs_with_scores_left_out_are_refused(root: Path, make_run: Any) -> None:
    run = make_run(method="prnu", families=["attribution"])
    with pytest.raises(BadInput, match=r"the scores of attribution only; run the job again with"):
        prepare(run, root)
    assert verify(run, rerun=False).outcome == "bitwise"


def test_runs_of_version_1_of_the_schema_are_taken_as_they_are(
    root: Path, make_run: Any, as_version_1: Any
) -> None:
    run = make_run(method="prnu")
    as_version_1(run)
    write(prepare(run, root), root)
    build(root)
    assert check(root).problems == ()
    (sent,) = root.glob("results/*/*/*.json")
    assert sent.read_bytes() == run.read_bytes()
    assert prepare(run, root).state == "already there"


def test_declined_runs_are_taken(root: Path, make_run: Any) -> None:
    submission = prepare(make_run(method="prnu", status="declined", reason="no weights"), root)
    assert sorted(Path(name).suffix for name in submission.files) == [".json", ".yaml"]


def test_private_folders_are_refused(root: Path, make_run: Any) -> None:
    with pytest.raises(BadInput, match="nobody else could check it"):
        prepare(make_run(method="prnu", dataset="my-holiday"), root)


def test_another_result_of_the_same_job_is_refused(root: Path, make_run: Any) -> None:
    write(prepare(make_run(method="prnu", skill=0.8), root), root)
    with pytest.raises(BadInput, match="another result of the same job"):
        prepare(make_run(method="prnu", skill=0.9), root)


def test_methods_that_are_not_installed_need_a_card(root: Path, make_run: Any, add: Any) -> None:
    run = make_run(method="stranger", package="strange 1.0", seed=1)
    with pytest.raises(BadInput, match=r"install strange 1\.0"):
        prepare(run, root)
    add(method="stranger", package="strange 1.0", seed=0)
    assert prepare(run, root).state == "new"


def test_another_version_than_the_installed_one_is_refused(root: Path, make_run: Any) -> None:
    with pytest.raises(BadInput, match="run the job again"):
        prepare(make_run(method="prnu", version="0.0"), root)


def test_folders_of_runs_are_searched(root: Path, make_run: Any, tmp_path: Path) -> None:
    runs = [make_run(method="prnu", seed=seed) for seed in range(2)]
    (tmp_path / "runs" / ".partial-x").mkdir()
    shutil.copy(runs[0], tmp_path / "runs" / ".partial-x" / "record.json")
    assert find_records([tmp_path / "runs"]) == runs
    assert find_records([runs[0], runs[0].parent]) == [runs[0]]
    with pytest.raises(BadInput, match=r"holds no record\.json"):
        find_records([root])


def test_command_shows_then_writes(root: Path, make_run: Any) -> None:
    run = make_run(method="prnu")
    runner = CliRunner()
    shown = runner.invoke(cli, ["submit", str(run.parent), "--root", str(root), "--dry-run"])
    assert shown.exit_code == 0, shown.output
    assert "prnu:wavelet on someone/gm-tiny, seed 0: 0.819 (new)" in shown.output
    assert "predictions.parquet" in shown.output
    assert not (root / "results").exists()
    sent = runner.invoke(cli, ["submit", str(run.parent), "--root", str(root)])
    assert sent.exit_code == 0, sent.output
    for command in ("build", "check"):
        done = runner.invoke(cli, ["leaderboard", command, "--root", str(root)])
        assert done.exit_code == 0, done.output
    again = runner.invoke(cli, ["submit", str(run.parent), "--root", str(root)])
    assert "0 new results" in again.output


def test_a_folder_that_is_not_there_is_made_and_told(tmp_path: Path, make_run: Any) -> None:
    run, root = make_run(method="prnu"), tmp_path / "elsewhere"
    sent = CliRunner().invoke(cli, ["submit", str(run), "--root", str(root)])
    assert f"there was no folder {root}" in sent.stderr
    assert f"fpbench leaderboard build --root {root}" in sent.stdout
    (tmp_path / "file").write_text("x")
    refused = CliRunner().invoke(cli, ["submit", str(run), "--root", str(tmp_path / "file")])
    assert isinstance(refused.exception, BadInput)
    assert "is a file" in str(refused.exception)


def test_nothing_is_written_unless_all_are_valid(root: Path, make_run: Any) -> None:
    good, bad = make_run(method="prnu"), make_run(method="prnu", status="failed", reason="x")
    done = CliRunner().invoke(cli, ["submit", str(good), str(bad), "--root", str(root)])
    assert isinstance(done.exception, BadInput)
    assert not (root / "results").exists()


def test_check_command_ends_with_one_and_names_the_problem(root: Path, add: Any) -> None:
    add(method="prnu")
    done = CliRunner().invoke(cli, ["leaderboard", "check", "--root", str(root), "--json"])
    assert done.exit_code == 1
    document = json.loads(done.stdout)
    assert document["rescored"] == 1
    assert {p["where"] for p in document["problems"]} >= {"README.md", "someone-gm-tiny.md"}
