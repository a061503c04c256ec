"""The check fails for stale boards, tampered scores, drift and outdated datasets."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fpbench.distribution import NAME
from fpbench.errors import BadInput
from fpbench.leaderboard.archive.collect import collect
from fpbench.leaderboard.audit.check import changed_entries, check, methods_of, packages_of
from fpbench.leaderboard.output.build import build


def problems(root: Path, **settings: Any) -> str:
    return "\n".join(str(problem) for problem in check(root, **settings).problems)


def tamper(path: Path, key: str = "accuracy", field: str = "value", by: float = 0.001) -> None:
    document = json.loads(path.read_text("utf-8"))
    document["scores"][key][field] += by
    path.write_text(json.dumps(document), "utf-8")


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=T", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True,
                   capture_output=True)  # fmt: skip


@pytest.fixture
def repository(root: Path, add: Any) -> Path:
    """A committed leaderboards' folder with two records, boards built."""
    add(method="prnu")
    add(method="yu", skill=0.6)
    build(root)
    git(root.parent, "init", "-q", "-b", "main")
    git(root.parent, "add", root.name)
    git(root.parent, "commit", "-qm", "Add results")
    return root


def test_sound_and_current(repository: Path) -> None:
    report = check(repository)
    assert report.problems == ()
    assert (report.records, report.rescored) == (2, 2)


def test_stale_board(repository: Path) -> None:
    board = repository / "someone-gm-tiny.md"
    board.write_text(board.read_text("utf-8").replace("prnu", "mine"), "utf-8")
    assert "someone-gm-tiny.md: is not what the records give" in problems(repository)
    board.unlink()
    assert "someone-gm-tiny.md: is missing" in problems(repository)


def test_board_of_a_record_that_is_new(repository: Path, add: Any) -> None:
    add(method="asnani")
    assert "is not what the records give" in problems(repository)


def test_board_whose_records_are_gone(repository: Path) -> None:
    shutil.rmtree(repository / "results")
    assert "someone-gm-tiny.md: has no records any more" in problems(repository)


@pytest.mark.parametrize(
    ("key", "field"),
    [("accuracy", "value"), ("accuracy", "ci_low"), ("auc", "value"), ("fdr", "value"),
     ("decorrelation_margin", "ci_high"), ("accuracy_bag10", "chance"), ("auc", "n")],
)  # fmt: skip
def test_score_that_does_not_follow(repository: Path, key: str, field: str) -> None:
    path = next(repository.glob("results/*/prnu/*.json"))
    tamper(path, key, field, by=1 if field == "n" else 0.001)
    found = problems(repository)
    assert f"scores do not follow from predictions: {key}.{field}" in found
    assert "scores do not follow" not in problems(repository, rescore=False)


def test_last_digits_are_rounding(repository: Path) -> None:
    path = next(repository.glob("results/*/prnu/*.json"))
    tamper(path, by=1e-15)
    assert "scores do not follow" not in problems(repository)


def test_two_processes_find_what_one_finds(root: Path, add: Any) -> None:
    paths = [add(method="prnu", seed=seed) for seed in range(16)]
    build(root)
    tamper(paths[3], by=0.01)
    one, two = check(root), check(root, jobs=2)
    assert one == two
    assert one.rescored == 16
    told = [str(problem) for problem in one.problems if "do not follow" in problem.message]
    assert len(told) == 1
    assert paths[3].name in told[0]


def test_swapped_predictions(repository: Path) -> None:
    first, second = (next(repository.glob(f"results/*/{name}/*/")) for name in ("prnu", "yu"))
    for name in ("predictions.parquet", "evidence.safetensors"):
        (first / name).rename(first / "held")
        (second / name).rename(first / name)
        (first / "held").rename(second / name)
    assert problems(repository).count("its checksum differs") == 2


def test_only_changes_are_scored_again(repository: Path, add: Any) -> None:
    assert check(repository, since="HEAD").rescored == 0
    add(method="asnani")
    build(repository)
    report = check(repository, since="HEAD")
    assert report.problems == ()
    assert (report.records, report.rescored) == (3, 1)
    assert report.changed is not None
    assert [entry.record.job.method for entry in report.changed] == ["asnani"]


def test_result_that_drifts_without_a_new_version(
    repository: Path, add: Any, make_run: Any
) -> None:
    path = next(repository.glob("results/*/prnu/*.json"))
    run = make_run(method="prnu", skill=0.99)
    shutil.copy(run, path)
    for name in ("predictions.parquet", "evidence.safetensors"):
        shutil.copy(run.parent / name, path.with_suffix("") / name)
    build(repository)
    assert problems(repository) == ""
    assert "drifted from the result that was there (accuracy" in problems(repository, since="HEAD")
    git(repository.parent, "commit", "-qam", "Drift")
    assert "drifted" in problems(repository, since="HEAD~1")


def test_another_schema_is_no_drift_and_hides_none(root: Path, add: Any, as_version_1: Any) -> None:
    """Records committed in version 1 and rewritten in the present one say the same, or drift."""
    paths = [add(method="prnu"), add(method="yu", skill=0.6)]
    now = [path.read_text("utf-8") for path in paths]
    for path in paths:
        as_version_1(path)
    build(root)
    git(root.parent, "init", "-q", "-b", "main")
    git(root.parent, "add", root.name)
    git(root.parent, "commit", "-qm", "Add results")
    for path, text in zip(paths, now, strict=True):
        path.write_text(text, "utf-8")
    report = check(root, since="HEAD")
    assert report.problems == () and report.rescored == 2
    assert report.changed is not None and len(report.changed) == 2
    tamper(paths[0], by=0.2)
    found = problems(root, since="HEAD", rescore=False)
    assert "prnu" in found and "drifted from the result that was there (accuracy.value" in found
    assert found.count("drifted") == 1


def test_new_version_is_no_drift(repository: Path, add: Any) -> None:
    add(method="prnu", version="2", skill=0.99, created=1)
    build(repository)
    assert problems(repository, since="HEAD") == ""


def test_removed_result(repository: Path) -> None:
    path = next(repository.glob("results/*/yu/*.json"))
    shutil.rmtree(path.parent)
    build(repository)
    assert "was removed; a result stays" in problems(repository, since="HEAD")


def test_changes_of_the_base_are_not_those_of_the_branch(repository: Path, add: Any) -> None:
    git(repository.parent, "checkout", "-qb", "branch")
    git(repository.parent, "checkout", "-q", "main")
    path = add(method="later")
    build(repository)
    git(repository.parent, "add", repository.name)
    git(repository.parent, "commit", "-qm", "Add later")
    git(repository.parent, "checkout", "-q", "branch")
    assert not path.exists()
    assert problems(repository, since="main") == ""


def test_unknown_revision(repository: Path) -> None:
    for since in ("nowhere", "--output=x"):
        with pytest.raises(BadInput, match="revision"):
            check(repository, since=since)


def test_record_of_another_revision_of_a_known_dataset(
    repository: Path, add: Any, monkeypatch: Any
) -> None:
    add(method="prnu", dataset="gm-mini")
    build(repository)
    assert "is not that of the current revision" in problems(repository, since="HEAD")


def test_packages_are_plain_names_and_versions(root: Path, add: Any) -> None:
    add(method="a", package="my-method 1.2")
    add(method="b", package=f"{NAME} 0.1.0")
    add(method="c", package="evil --index-url=https://example.org 1.0")
    add(method="d", package="git+https://example.org/x 1.0")
    add(method="e", package="other")
    assert packages_of(collect(root).entries) == ["my-method==1.2"]


def test_methods_are_plain_names(root: Path, add: Any) -> None:
    add(method="a", variant="one")
    add(method="a", variant="one", seed=1)
    add(method="b; rm -rf /", variant="x")
    add(method="c", variant="$(true)")
    assert methods_of(collect(root).entries) == ["a:one"]


def test_changed_entries(repository: Path, add: Any) -> None:
    assert changed_entries(repository, "HEAD") == ()
    assert len(changed_entries(repository, None)) == 2
    add(method="asnani")
    (entry,) = changed_entries(repository, "HEAD")
    assert entry.record.job.method == "asnani"
