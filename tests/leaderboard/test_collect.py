"""What cannot be used is named with its reason; everything else still stands on its board."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from fpbench.errors import BadInput
from fpbench.leaderboard.archive.collect import collect
from fpbench.leaderboard.output.build import build, read_leaderboards
from fpbench.runs import migrations
from fpbench.runs.record import read_record


def edit(path: Path, **changes: Any) -> None:
    document = json.loads(path.read_text("utf-8"))
    for key, value in changes.items():
        target = document
        *parents, last = key.split("__")
        for part in parents:
            target = target[part]
        target[last] = value
    path.write_text(json.dumps(document), "utf-8")


def messages(root: Path) -> str:
    return "\n".join(str(problem) for problem in read_leaderboards(root).problems)


def test_sound_records_have_no_problems(root: Path, add: Any) -> None:
    add(method="prnu")
    add(method="yu", variant="postpool", skill=0.6)
    collection = collect(root)
    assert collection.problems == ()
    assert len(collection.entries) == 2
    assert set(collection.cards) == {"prnu", "yu"}


@pytest.fixture
def broken(root: Path, add: Any) -> Any:
    """A sound record, and one that a test breaks: ``broken(how)`` gives the problems."""
    add(method="sound")
    path = add(method="prnu")

    def breaks(how: Any) -> str:
        how(path)
        _, problems = build(root)
        assert "sound" in (root / "someone-gm-tiny.md").read_text("utf-8")
        assert "prnu:" not in (root / "someone-gm-tiny.md").read_text("utf-8")
        assert problems
        return "\n".join(str(problem) for problem in problems)

    return breaks


def test_broken_json(broken: Any) -> None:
    assert "is not JSON" in broken(lambda path: path.write_text('{"schema_version": 1,'))


def test_json_that_is_no_record(broken: Any) -> None:
    assert "it holds a list" in broken(lambda path: path.write_text("[1]"))


def test_not_a_number(broken: Any) -> None:
    def change(path: Path) -> None:
        text = path.read_text("utf-8")
        value = json.loads(text)["scores"]["accuracy"]["value"]
        path.write_text(text.replace(f'"value": {value}', '"value": NaN', 1))

    assert "NaN is not a number" in broken(change)


def test_unknown_field(broken: Any) -> None:
    assert "surprise: Extra inputs" in broken(lambda path: edit(path, surprise=1))


def test_number_beyond_all_numbers(broken: Any) -> None:
    def change(path: Path) -> None:
        text = path.read_text("utf-8").replace('"fit_seconds": 1.5', '"fit_seconds": 1e999')
        path.write_text(text)

    assert "1e999 is not a number that a document may hold" in broken(change)


def sources(path: Path, position: int, **changes: Any) -> None:
    listed = json.loads(path.read_text("utf-8"))["test"]["sources"]
    listed[position] |= changes
    edit(path, test__sources=listed)


@pytest.mark.parametrize(
    ("how", "told"),
    [
        (lambda path: edit(path, created="2026-01-01T00:00:00"), "has no time zone"),
        (lambda path: edit(path, test__sources=[]), "there is no generator"),
        (lambda path: sources(path, 1, name="vae-c"), "'vae-c' is there twice"),
        (lambda path: sources(path, 1, family="Real"), "more than one is of the family Real"),
        (lambda path: sources(path, 1, test=-24), "greater than or equal to 0"),
        (lambda path: edit(path, job__fold=2, job__folds=2), "no fold 2 of 2"),
        (lambda path: edit(path, job__fold=0), "no fold 0 of None"),
        (lambda path: edit(path, schema_version="1"), "schema version '1', which is no whole"),
    ],
)
def test_records_that_contradict_themselves(broken: Any, how: Any, told: str) -> None:
    found = broken(how)
    assert told in found
    assert found.count("\n") == 0


def test_card_of_another_method(root: Path, add: Any) -> None:
    path = add(method="prnu", card={"name": "someone-else"})
    collection = collect(root)
    assert [entry.record.job.method for entry in collection.entries] == ["prnu"]
    assert collection.cards == {}
    (problem,) = collection.problems
    assert problem.where == (path.parent / "card.yaml").relative_to(root).as_posix()
    assert "is the card of 'someone-else' by fpbench" in problem.message


def test_ablation_of_the_same_method(root: Path, add: Any) -> None:
    add(method="prnu")
    limited = add(method="prnu", limits={"train_images": 20})
    collection = collect(root)
    assert [entry.record.job.limits.train_images for entry in collection.entries] == [None]
    (problem,) = collection.problems
    assert problem.where == limited.relative_to(root).as_posix()
    assert "of an ablation (train images: 20), which is never ranked" in problem.message


def test_limit_changed_after_the_run(broken: Any) -> None:
    found = broken(lambda path: edit(path, job__limits__train_images=20))
    assert "a field was changed after the run" in found


def test_newer_schema(broken: Any) -> None:
    found = broken(lambda path: edit(path, schema_version=99))
    assert "schema version 99" in found
    assert "update fpbench" in found


def test_older_schema_without_a_migration(broken: Any) -> None:
    assert "schema version 0" in broken(lambda path: edit(path, schema_version=0))


def test_no_schema_version(broken: Any) -> None:
    assert "states no schema_version" in broken(lambda path: edit(path, schema_version=None))


def test_missing_predictions(broken: Any) -> None:
    found = broken(lambda path: (path.with_suffix("") / "predictions.parquet").unlink())
    assert "predictions.parquet is missing" in found


def test_changed_predictions(broken: Any) -> None:
    def change(path: Path) -> None:
        file = path.with_suffix("") / "predictions.parquet"
        file.write_bytes(file.read_bytes()[:-1] + b"x")

    assert "its checksum differs" in broken(change)


def test_record_of_a_path_outside(broken: Any) -> None:
    found = broken(
        lambda path: edit(path, artifacts__predictions__file="../../../../../etc/passwd")
    )
    assert "a plain file name is needed" in found


def test_link_out_of_the_folder(broken: Any, tmp_path: Path) -> None:
    def change(path: Path) -> None:
        file = path.with_suffix("") / "predictions.parquet"
        shutil.move(file, tmp_path / "elsewhere.parquet")
        file.symlink_to(tmp_path / "elsewhere.parquet")

    assert "leads out of its folder" in broken(change)


def test_files_that_the_record_does_not_name(broken: Any) -> None:
    found = broken(lambda path: (path.with_suffix("") / "extra.bin").write_bytes(b"x"))
    assert "extra.bin is no file of the record" in found


def test_figure_that_is_no_picture(broken: Any) -> None:
    def change(path: Path) -> None:
        figures = path.with_suffix("") / "figures"
        figures.mkdir()
        (figures / "tsne.png").write_bytes(b"<svg onload=alert(1)>")

    assert "is no PNG image" in broken(change)


def test_record_that_is_a_link(broken: Any, tmp_path: Path) -> None:
    def change(path: Path) -> None:
        shutil.move(path, tmp_path / "elsewhere.json")
        path.symlink_to(tmp_path / "elsewhere.json")

    assert "is a link" in broken(change)


def test_job_that_does_not_follow_from_the_fields(broken: Any) -> None:
    revision = "2-ffffffffffff"
    found = broken(
        lambda path: edit(path, job__train__revision=revision, job__test__revision=revision)
    )
    assert "does not follow from the record's job" in found


def test_side_that_was_changed_alone(broken: Any) -> None:
    found = broken(lambda path: edit(path, job__train__content_hash="cd" * 32))
    assert "is a record of results/gm-tiny-to-gm-tiny/prnu/" in found


def test_failed_job(broken: Any) -> None:
    assert "failed job" in broken(lambda path: edit(path, status="failed", reason="it broke"))


def test_score_that_cannot_be(broken: Any) -> None:
    found = broken(lambda path: edit(path, scores__accuracy__ci_low=0.99))
    assert "reversed" in found


def test_unreadable_predictions_with_a_fitting_checksum(broken: Any) -> None:
    import hashlib

    def change(path: Path) -> None:
        file = path.with_suffix("") / "predictions.parquet"
        file.write_bytes(b"no parquet")
        digest = hashlib.sha256(b"no parquet").hexdigest()
        edit(path, artifacts__predictions__sha256=digest, artifacts__predictions__size=10)

    assert "cannot be read" in broken(change)


def test_record_in_a_place_that_is_not_its_own(root: Path, add: Any) -> None:
    path = add(method="prnu")
    other = path.parent.parent / "yu"
    shutil.move(path.parent, other)
    assert "move it there" in messages(root)


def test_two_records_of_one_job(root: Path, add: Any) -> None:
    first = add(method="prnu", dataset="someone/gm-tiny")
    second = add(method="prnu", dataset="other/gm-copy")
    assert first.stem == second.stem
    found = collect(root)
    assert len(found.entries) == 1
    assert f"claims the job {first.stem}" in str(found.problems[0])


def test_two_packages_that_claim_one_name(root: Path, add: Any) -> None:
    add(method="prnu")
    add(method="mine", package="one 1.0")
    add(method="mine", package="two 0.3", seed=1)
    found = collect(root)
    assert [entry.record.job.method for entry in found.entries] == ["prnu"]
    assert "one and two" in str(found.problems[0])


def test_new_version_of_a_package_is_the_same_package(root: Path, add: Any) -> None:
    add(method="mine", package="one 1.0")
    add(method="mine", package="one 1.1", seed=1)
    assert collect(root).problems == ()


def test_missing_card(root: Path, add: Any) -> None:
    path = add(method="prnu")
    (path.parent / "card.yaml").unlink()
    assert "card.yaml is missing" in messages(root)
    assert "prnu" in build(root)[0][0].read_text("utf-8")


def test_card_with_a_python_object_is_refused(root: Path, add: Any) -> None:
    path = add(method="prnu")
    (path.parent / "card.yaml").write_text("!!python/object/apply:os.system ['true']\n")
    assert "cannot be read" in messages(root)


def test_dataset_of_a_reserved_name(root: Path, make_run: Any) -> None:
    run = make_run(dataset="cost")
    folder = root / "results" / "cost" / "prnu"
    shutil.copytree(run.parent, folder / "x")
    shutil.move(folder / "x" / "record.json", folder / "a.json")
    assert "another board" in messages(root)


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no folder"):
        collect(tmp_path / "nowhere")


def test_records_of_version_1_stand_on_boards_as_they_did(
    root: Path, add: Any, as_version_1: Any
) -> None:
    paths = sorted(add(method="prnu", seed=seed, params={"k": 5}) for seed in range(2))
    build(root)
    before = {path.name: path.read_bytes() for path in root.glob("*.md")}
    records = [read_record(path) for path in paths]
    for path in paths:
        as_version_1(path)
        assert json.loads(path.read_text("utf-8"))["protocol"]["seed"] in (0, 1)
    collection = collect(root)
    assert collection.problems == () and [e.record for e in collection.entries] == records
    build(root)
    assert {path.name: path.read_bytes() for path in root.glob("*.md")} == before


def test_records_of_a_later_version_need_a_migration(
    root: Path, add: Any, monkeypatch: Any
) -> None:
    path = add(method="prnu")
    version = migrations.SCHEMA_VERSION
    document = json.loads(path.read_text("utf-8"))
    document["job"]["label"] = document["job"].pop("variant")
    path.write_text(json.dumps(document), "utf-8")

    def rename(content: dict[str, Any]) -> dict[str, Any]:
        job = dict(content["job"])
        job["variant"] = job.pop("label")
        return {**content, "job": job}

    monkeypatch.setattr(migrations, "SCHEMA_VERSION", version + 1)
    with pytest.raises(BadInput, match=f"schema version {version}, which cannot be brought to"):
        read_record(path)
    monkeypatch.setitem(migrations.MIGRATIONS, version, rename)
    migrated = read_record(path)
    assert migrated.schema_version == version + 1
    assert migrated.job.variant == "wavelet"
    edit(path, job={"method": "prnu"})
    with pytest.raises(BadInput, match=f"schema version {version} but not its fields"):
        read_record(path)


def test_record_with_scores_left_out(root: Path, add: Any) -> None:
    add(method="prnu")
    few = add(method="prnu", seed=1, families=["attribution", "bags"])
    collection = collect(root)
    assert [entry.record.job.seed for entry in collection.entries] == [0]
    (problem,) = collection.problems
    assert problem.where == few.relative_to(root).as_posix()
    assert "holds the scores of attribution, bags only; run the job again without --scores" in (
        problem.message
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_record(root: Path, add: Any) -> None:
    path = add(method="prnu")
    path.chmod(0)
    assert "Cannot read the record" in messages(root)


def test_a_development_set_has_no_board(root: Path, add: Any) -> None:
    add(method="a")
    add(method="b", dataset="gm-dev")
    found = collect(root)
    assert [entry.record.job.method for entry in found.entries] == ["a"]
    (problem,) = found.problems
    assert "gm-dev, a development set on which settings of methods are chosen" in str(problem)
