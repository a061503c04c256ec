"""Rows, ranks and the Markdown that is made of them."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from markdown_it import MarkdownIt
from scipy import stats

from fpbench.leaderboard.output.build import build, make_files, read_leaderboards
from fpbench.leaderboard.ranking.boards import DatasetEntry
from fpbench.leaderboard.ranking.structure import design_of
from fpbench.registry import card_folders
from fpbench.runs.record import SourceEntry


def section(root: Path, position: int = 0) -> Any:
    return read_leaderboards(root).boards[0].sections[position]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split(" | ")]


def board_line(root: Path, name: str, heading: str = "### Attribution of single images") -> Any:
    text = (root / "details/someone-gm-tiny.md").read_text("utf-8")
    part = text[text.index(heading) :]
    return cells(next(line for line in part.splitlines() if f"**{name}**" in line))


SURE = {"deterministic": ["wavelet"]}
"""A card that says that seeds do not matter, so that one run is enough for a rank."""


def test_rows_that_no_test_separates_have_overlapping_ranks(root: Path, add: Any) -> None:
    add(method="best", skill=0.95, card=SURE)
    add(method="near", skill=0.93, card=SURE)
    add(method="far", skill=0.4, card=SURE)
    found = section(root)
    assert [(row.job.method, row.rank) for row in found.rows] == [
        ("best", (1, 2)), ("near", (1, 2)), ("far", (3, 3)),
    ]  # fmt: skip
    assert [row.job.method for row in found.leaders] == ["best", "near"]
    build(root)
    assert [board_line(root, f"{name}:wavelet")[0] for name in ("best", "far")] == ["1–2", "3"]


def test_pairs_are_those_of_the_stored_predictions(root: Path, add: Any) -> None:
    add(method="best", skill=0.9, card=SURE)
    add(method="far", skill=0.6, card=SURE)
    found = section(root)
    one, other = (row.judged for row in found.rows)
    gap = (one.summary.correct - other.summary.correct).reshape(3, -1)  # sources by images
    assert (one.labels.reshape(3, -1) == [[0], [1], [2]]).all()
    error = np.sqrt((gap.var(axis=1, ddof=1) / gap.shape[1]).sum()) / 3
    assert found.pairs.difference[0, 1] == pytest.approx(gap.mean())
    assert found.pairs.difference[0, 1] == pytest.approx(found.rows[0].value - found.rows[1].value)
    exact = stats.binomtest(0, int((gap != 0).sum())).pvalue  # hard images are hard for both
    assert (gap >= 0).all() and exact > 2 * stats.norm.sf(gap.mean() / error)
    assert found.pairs.p_value[0, 1] == pytest.approx(exact)
    assert found.paired == (0, 1)


def test_one_run_has_comparisons_and_no_rank(root: Path, add: Any) -> None:
    for seed in range(3):
        add(method="several", seed=seed, skill=0.75 + 0.01 * seed)
    add(method="single", skill=0.95)
    add(method="fixed", skill=0.3, card=SURE)
    found = section(root)
    rows = {row.job.method: row for row in found.rows}
    assert [row.job.method for row in found.rows] == ["single", "several", "fixed"]
    assert (rows["single"].rank, rows["single"].unranked) == (None, "one run")
    assert rows["several"].rank[1] == 2
    assert rows["fixed"].rank == (3, 3)
    assert found.paired == (0, 1, 2)
    assert found.pairs.one_run.tolist() == [
        [False, True, True], [True, False, False], [True, False, False],
    ]  # fmt: skip
    build(root)
    assert board_line(root, "single:wavelet")[0] == "one run"
    assert "| single:wavelet |" in (root / "README.md").read_text("utf-8")


def test_a_run_that_did_not_train_is_shown_and_never_ranked(root: Path, add: Any) -> None:
    for seed in range(3):
        add(method="several", seed=seed, skill=0.75)
        add(method="idle", seed=seed, skill=0.9, trained=seed != 1)
    found = section(root)
    rows = {row.job.method: row for row in found.rows}
    assert rows["idle"].rank is None and rows["idle"].judged is None
    assert rows["idle"].unranked == "did not train in 1 of 3 runs"
    assert rows["several"].rank == (1, 1)
    assert found.paired == (1,)
    build(root)
    assert board_line(root, "idle:wavelet")[0] == "– (did not train in 1 of 3 runs)"


def test_parameters_of_ones_own_are_not_what_a_card_calls_deterministic(
    root: Path, add: Any
) -> None:
    add(method="m", card=SURE)
    add(method="m", params={"k": 5}, card=SURE)
    assert {row.label: row.unranked for row in section(root).rows} == {
        "m:wavelet": None, "m:wavelet k=5": "one run",
    }  # fmt: skip


def test_seeds_that_differ_are_another_reason_to_differ(root: Path, add: Any) -> None:
    """The same two means: apart where seeds agree, not where they do not."""
    for seed in range(3):
        add(method="steady", seed=seed, skill=0.9)
        add(method="shaky", seed=seed, skill=(0.45, 0.7, 0.95)[seed])
        add(method="middle", seed=seed, skill=0.7)
    found = section(root)
    names = [row.job.method for row in found.rows]
    one, other, shaky = (names.index(name) for name in ("steady", "middle", "shaky"))
    assert found.pairs.corrected[one, other] < 0.01
    assert found.pairs.difference[one, shaky] == pytest.approx(
        found.pairs.difference[one, other], abs=0.05
    )
    assert found.pairs.p_value[one, shaky] > 0.1


def test_seeds_become_one_row(root: Path, add: Any) -> None:
    for seed in range(3):
        add(method="prnu", seed=seed, skill=0.7 + 0.02 * seed)
    row = section(root).rows[0]
    values = [entry.record.scores["accuracy"].value for entry in row.entries]
    assert row.seeds == (0, 1, 2)
    assert row.value == pytest.approx(np.mean(values))
    assert row.spread["accuracy"] == (min(values), max(values))
    assert row.judged.summary.correct.mean() == pytest.approx(row.value)
    assert row.judged.summary.between == pytest.approx(np.var(values, ddof=1))


def test_folds_become_one_row_only_when_all_are_there(root: Path, add: Any) -> None:
    for fold in range(2):
        add(method="prnu", fold=fold, folds=3, prefix=f"f{fold}-")
    row = section(root).rows[0]
    assert row.rank is None
    assert row.unranked == "2 of 3 folds"
    add(method="prnu", fold=2, folds=3, prefix="f2-")
    row = section(root).rows[0]
    assert row.rank == (1, 1)
    assert len(row.judged.ids) == 3 * 72
    assert row.value == pytest.approx(row.judged.summary.correct.mean())


def test_folds_that_share_images_are_not_ranked(root: Path, add: Any) -> None:
    for fold in range(3):
        add(method="prnu", fold=fold, folds=3)
    assert section(root).rows[0].unranked == "folds share images"


def test_budgets_are_never_ranked_together(root: Path, add: Any) -> None:
    add(method="short", budget="smoke", skill=0.9, card=SURE)
    add(method="long", budget="full", skill=0.4, card=SURE)
    add(method="middle", budget="small", skill=0.7, card=SURE)
    sections = read_leaderboards(root).boards[0].sections
    assert [(s.budget, s.rows[0].job.method, s.rows[0].rank) for s in sections] == [
        ("full", "long", (1, 1)),
        ("small", "middle", (1, 1)),
        ("smoke", "short", (1, 1)),
    ]


def test_configurations_are_rows_of_their_own(root: Path, add: Any) -> None:
    add(method="m", variant="a")
    add(method="m", variant="b")
    add(method="m", variant="a", params={"k": 5})
    labels = {row.label for row in section(root).rows}
    assert labels == {"m:a", "m:b", "m:a k=5"}


def test_newer_version_of_a_method_replaces_the_older(root: Path, add: Any) -> None:
    add(method="m", version="2", skill=0.5, created=1)
    add(method="m", version="1", skill=0.9, created=0)
    rows = section(root).rows
    assert [row.job.method_version for row in rows] == ["2"]


def test_newer_revision_of_a_dataset_replaces_the_older(root: Path, add: Any) -> None:
    add(method="old", content="cd" * 32, created=0)
    add(method="new", content="ab" * 32, created=5)
    (board,) = read_leaderboards(root).boards
    assert [row.job.method for row in board.sections[0].rows] == ["new"]
    assert board.older == ((f"1-{'cd' * 6}", 1),)
    build(root)
    assert "Earlier revisions" in (root / "details/someone-gm-tiny.md").read_text("utf-8")


def test_rows_of_other_images_are_not_compared(root: Path, add: Any) -> None:
    add(method="a", card=SURE)
    add(method="b", card=SURE)
    add(method="c", prefix="other", card=SURE)
    found = read_leaderboards(root)
    rows = {row.job.method: row for row in found.boards[0].sections[0].rows}
    assert rows["c"].rank is None
    assert rows["c"].unranked == "judged other images"
    assert rows["a"].rank == (1, 2)
    assert "judged other test images" in str(found.problems[0])


def test_declined_configurations_stand_apart_with_their_reason(root: Path, add: Any) -> None:
    add(method="prnu")
    add(method="big", status="declined", reason="needs <weights> | `hf download x`")
    add(method="later", status="declined", reason="no weights", seed=1)
    add(method="later", status="done", seed=2)
    build(root)
    text = (root / "details/someone-gm-tiny.md").read_text("utf-8")
    declined = text[text.index("## Not evaluated") :]
    assert "| big:wavelet | small | needs &lt;weights&gt; \\| \\`hf download x\\` |" in declined
    assert "later" not in declined


def test_null_controls_are_no_rows(root: Path, add: Any) -> None:
    add(method="prnu")
    add(method="prnu", control="shuffled-labels", skill=0.33)
    assert len(section(root).rows) == 1
    build(root)
    text = (root / "details/someone-gm-tiny.md").read_text("utf-8")
    (line,) = [row for row in text.split("## Null controls")[1].splitlines() if "prnu" in row]
    assert "| small |" in line and "**" not in line


def test_a_null_control_is_held_against_permuted_names(root: Path, add: Any) -> None:
    """Three generators have six namings, so even one that is always right has p = 1/3."""
    add(method="leak", control="shuffled-labels", skill=0.99)
    build(root)
    text = (root / "details/someone-gm-tiny.md").read_text("utf-8")
    (line,) = [row for row in text.split("## Null controls")[1].splitlines() if "leak" in row]
    low, high = map(float, re.findall(r"\[(0\.\d+), (\d\.\d+)\]", line)[0])
    cells = [cell.strip() for cell in line.split("|")]
    assert low < 0.1 and high == float(cells[3]) > 0.9
    assert float(cells[5]) == pytest.approx(1 / 3, abs=0.04)


def test_a_null_control_with_one_answer_has_no_power_and_is_not_counted(
    root: Path, add: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fpbench.leaderboard.ranking import judged

    add(method="leak", control="shuffled-labels", skill=0.99)
    add(method="numb", control="shuffled-labels", skill=0.33)
    shares = iter([0.4, 0.97])  # in the order of names
    monkeypatch.setattr(judged, "commonest_answer", lambda *_: next(shares))
    build(root)
    text = (root / "details/someone-gm-tiny.md").read_text("utf-8")
    rows = text.split("## Null controls")[1].splitlines()
    (numb,) = [row for row in rows if "numb" in row]
    (leak,) = [row for row in rows if "leak" in row]
    assert "without power (97 % of images get one answer)" in numb
    # One test is left, so Holm's correction leaves its p-value as it is.
    assert float(leak.split("|")[5]) == pytest.approx(1 / 3, abs=0.04)


def test_a_null_control_without_predictions_is_named(root: Path, add: Any) -> None:
    add(method="prnu")
    path = add(method="null", control="shuffled-labels", skill=0.33)
    (path.with_suffix("") / "predictions.parquet").write_bytes(b"no table")
    _, problems = build(root)
    assert any("null" in str(problem) for problem in problems)
    assert "prnu" in (root / "details/someone-gm-tiny.md").read_text("utf-8")


def test_board_shows_chance_shortcut_interval_links(root: Path, add: Any) -> None:
    path = add(method="prnu", shortcut=0.9)
    build(root)
    text = (root / "details/someone-gm-tiny.md").read_text("utf-8")
    line = board_line(root, "prnu:wavelet")
    assert line[0] == "one run"
    assert re.fullmatch(r"0\.\d{3} \[0\.\d{3}, 0\.\d{3}\]", line[2])
    assert f"[{path.stem[:6]}](../results/someone-gm-tiny/prnu/{path.name})" in line[-2]
    assert line[-1] == "[The paper of prnu (2020)](https://example.org/paper)"
    assert "|  | *chance* | 0.333 | 0.250 | 0.500 |" in text
    assert "|  | *metadata-only baseline* | 0.900 |" in text
    assert "reaches 0.900, the best row" in text
    assert "Chance is 0.333: every score here may be that confound." in text
    for heading in ("Attribution of bags", "Separability", "Decorrelation", "Cost"):
        assert f"### {heading}" in text
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", text):
        assert (root / "details" / target).exists(), target


def test_shortcut_within_noise_is_not_called_a_confound(root: Path, add: Any) -> None:
    add(method="prnu", shortcut=0.36)
    build(root)
    assert "more than guessing" not in (root / "details/someone-gm-tiny.md").read_text("utf-8")


def test_scores_without_a_table_are_not_dropped(root: Path, add: Any) -> None:
    import json

    path = add(method="prnu")
    document = json.loads(path.read_text("utf-8"))
    document["scores"]["brand_new"] = {"value": 0.123, "n": 72}
    path.write_text(json.dumps(document), "utf-8")
    build(root)
    assert "brand new" in (root / "details/someone-gm-tiny.md").read_text("utf-8")


def test_the_same_records_give_the_same_bytes(root: Path, add: Any, tmp_path: Path) -> None:
    import os
    import shutil

    for seed in range(2):
        add(method="a", seed=seed)
        add(method="b", seed=seed, skill=0.6)
    build(root)
    first = {path.name: path.read_bytes() for path in root.glob("*.*")}
    copy = tmp_path / "copy"
    shutil.copytree(root / "results", copy / "results")
    for path in sorted(copy.rglob("*"), reverse=True):
        os.utime(path, (1, 1))
    build(copy)
    assert {path.name: path.read_bytes() for path in copy.glob("*.*")} == first


def test_boards_without_records_are_removed_and_other_files_are_kept(root: Path, add: Any) -> None:
    import shutil

    from fpbench.errors import BadInput

    path = add(method="prnu")
    build(root)
    (root / "notes.md").write_text("mine\n")
    shutil.rmtree(path.parents[1])
    build(root)
    assert not (root / "someone-gm-tiny.md").exists()
    assert (root / "notes.md").read_text() == "mine\n"
    (root / "cost.md").write_text("mine\n")
    with pytest.raises(BadInput, match=r"cost\.md was not made by"):
        build(root)


def test_empty_folder_makes_boards_that_say_so(root: Path) -> None:
    _, problems = build(root)
    assert not problems
    assert "There are no records yet" in (root / "README.md").read_text("utf-8")
    assert "No record holds transfer scores yet" in (root / "transfer.md").read_text("utf-8")
    assert "No record defines correlations" in (root / "structure.md").read_text("utf-8")


def test_structure_is_made_from_stored_correlations(root: Path, add: Any) -> None:
    add(method="prnu")
    text = make_files(read_leaderboards(root))["structure.md"]
    line = next(line for line in text.splitlines() if "prnu" in line)
    # gan-a and gan-b correlate by 0.6, vae-c by 0.1 with both: two clusters, as the families.
    assert "1.000 (p " in line


def test_two_generators_have_no_structure_and_no_table_of_dashes(root: Path, add: Any) -> None:
    add(method="prnu", sources=3)
    text = make_files(read_leaderboards(root))["structure.md"]
    assert "2 generators are too few for a tree to follow anything." in text
    assert "cophenetic |" not in text


def test_hostile_names_are_shown_and_obeyed_nowhere(root: Path, add: Any) -> None:
    name = "<script>alert(1)</script>|[x](javascript:alert(1))"
    path = add(
        method=name,
        variant="../../../x",
        params={"<b>": "a|b"},
        card={"url": "javascript:alert(1)", "title": "<img src=x onerror=alert(1)>"},
    )
    assert path.resolve().is_relative_to((root / "results").resolve())
    _, problems = build(root)
    assert not problems
    for board in root.glob("*.md"):
        text = board.read_text("utf-8")
        assert "<script" not in text
        assert "<img" not in text
        rendered = MarkdownIt("commonmark", {"html": True}).enable("table")
        rendered.validateLink = lambda url: True  # type: ignore[method-assign]
        html = rendered.render(text)
        assert "javascript:" not in "".join(re.findall(r"<[^>]*>", html))
    assert "&lt;script&gt;" in (root / "details/someone-gm-tiny.md").read_text("utf-8")


@pytest.mark.parametrize(("key", "bounded"), [("accuracy", True), ("fdr_intra", False)])
def test_shares_end_at_one_and_distances_do_not(
    root: Path, add: Any, key: str, bounded: bool
) -> None:
    for seed, value in enumerate((0.5, 0.9)):
        path = add(method="prnu", seed=seed)
        document = json.loads(path.read_text("utf-8"))
        document["scores"][key] |= {"value": value, "ci_low": value - 0.1, "ci_high": value + 0.1}
        path.write_text(json.dumps(document), "utf-8")
    score = section(root).rows[0].scores[key]
    assert score.ci_low == 0
    assert (score.ci_high == 1) is bounded
    assert score.ci_high >= 1


def test_design_is_that_of_the_card() -> None:
    folder = card_folders()["gm-ffhq"]
    stated = yaml.safe_load((folder / "sources.yaml").read_text("utf-8"))
    names = [name for name, entry in stated.items() if entry["family"] != "Real"]
    entries = [
        SourceEntry(
            name=name, family=stated[name]["family"] if name in stated else "Real",
            architecture="x", train=1, validation=1, test=1,
        )
        for name in ["real", *names]
    ]  # fmt: skip
    dataset = DatasetEntry(
        name="gm-ffhq", revision="1", content_hash="0" * 64, image_size=(32, 32),
        reference=1, sources=tuple(entries), shortcut=None,
    )  # fmt: skip
    design = design_of(dataset)
    assert list(design)[:3] == ["family", "upsampling", "nonlinearity"]
    for choice, values in design.items():
        for name, value in zip(names, values, strict=True):
            entry = stated[name]
            fact = entry["design"].get(choice) if choice != "family" else {"value": entry["family"]}
            assert value == (None if fact is None else str(fact["value"])), (choice, name)


def test_runs_with_other_trained_weights_are_never_combined(root: Path, add: Any) -> None:
    weights = {0: {"timm/net@a/model.safetensors": "ab" * 32}, 1: {"mine.pt": "ab" * 32},
               2: {"timm/net@b/model.safetensors": "cd" * 32}, 3: {}}  # fmt: skip
    for seed, read in weights.items():
        # The last one made holds the first weights.
        target = add(method="wang", variant="none", seed=seed, created=10 - seed)
        document = json.loads(target.read_text("utf-8"))
        document["method"]["weights"] = read
        target.write_text(json.dumps(document), "utf-8")
    found = read_leaderboards(root)
    (row,) = found.boards[0].sections[0].rows
    assert row.seeds == (0, 1)
    problems = [str(problem) for problem in found.problems]
    assert len(problems) == 2
    assert all("other trained weights" in problem for problem in problems)
