"""Ranks over datasets: SciPy's Friedman test on the boards' accuracies, told in words."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import friedmanchisquare, rankdata

from fpbench.leaderboard.output.build import build, make_files, read_leaderboards
from fpbench.leaderboard.output.site.write import write_site
from fpbench.leaderboard.ranking.across import across_datasets

SKILLS = {"best": 0.95, "near": 0.8, "far": 0.5, "last": 0.3}


def fill(add: Any, datasets: int, methods: dict[str, float]) -> None:
    for number in range(datasets):
        for method, skill in methods.items():
            add(
                method=method, skill=skill - 0.03 * number, dataset=f"d{number}",
                content=f"{number:02d}" * 32, prefix=f"d{number}-",
            )  # fmt: skip


def test_ranks_are_those_of_scipy(root: Path, add: Any) -> None:
    fill(add, 4, SKILLS)
    add(method="somewhere", dataset="d0", content="00" * 32, prefix="d0-")
    boards = read_leaderboards(root).boards
    (found,) = across_datasets(boards)
    assert found.labels[0].startswith("best")
    assert found.labels[-1].startswith("last")
    assert [label.split(":")[0] for label in found.partial] == ["somewhere"]
    expected = rankdata(-found.values, axis=1).mean(axis=0)
    assert found.test.average_ranks == pytest.approx(expected)
    statistic = friedmanchisquare(*found.values.T).statistic
    assert found.test.chi_square == pytest.approx(statistic)
    on_boards = {
        (board.name, row.label): row.value for board in boards for row in board.sections[0].rows
    }
    for line, board in zip(found.values, found.boards, strict=True):
        assert line.tolist() == [on_boards[board.name, label] for label in found.labels]


@pytest.mark.parametrize(("datasets", "methods"), [(2, 4), (3, 1)])
def test_too_little_is_not_compared(root: Path, add: Any, datasets: int, methods: int) -> None:
    fill(add, datasets, dict(list(SKILLS.items())[:methods]))
    assert across_datasets(read_leaderboards(root).boards) == []
    assert "Ranks over datasets" not in make_files(read_leaderboards(root))["README.md"]


def test_other_budgets_and_folds_are_apart(root: Path, add: Any) -> None:
    fill(add, 3, SKILLS)
    add(method="best", budget="full", dataset="d0", content="00" * 32, prefix="d0-")
    add(method="folded", fold=0, folds=3, dataset="d0", content="00" * 32, prefix="d0-")
    (found,) = across_datasets(read_leaderboards(root).boards)
    assert found.budget == "small"
    assert found.partial == ()


def test_the_same_images_are_not_counted_twice(root: Path, add: Any) -> None:
    """d0-equal has d0's images, so it is no further dataset; it stays where it has more rows."""
    fill(add, 3, SKILLS)
    for method, skill in SKILLS.items():
        add(method=method, skill=skill, dataset="d0-equal", content="ee" * 32, prefix="e-")
    (found,) = across_datasets(read_leaderboards(root).boards)
    assert [board.name for board in found.boards] == ["d0", "d1", "d2"]
    assert found.again == (("d0-equal", "d0"),)
    files = make_files(read_leaderboards(root))
    assert "d0-equal holds the same images as d0 and is left out." in files["README.md"]
    add(method="more", dataset="d0-equal", content="ee" * 32, prefix="e-")
    (found,) = across_datasets(read_leaderboards(root).boards)
    assert [board.name for board in found.boards] == ["d0-equal", "d1", "d2"]
    assert found.again == (("d0", "d0-equal"),)


def test_told_on_the_index_and_on_the_site(root: Path, add: Any, tmp_path: Path) -> None:
    fill(add, 3, SKILLS)
    build(root)
    text = (root / "README.md").read_text("utf-8")
    (found,) = across_datasets(read_leaderboards(root).boards)
    pairs = int(np.triu(found.test.separated()).sum())
    told = {0: "no pair is", 1: "1 pair is"}.get(pairs, f"{pairs} pairs are")
    assert "the 4 configurations that stand on all 3 datasets" in text
    assert f"{found.test.critical_difference:.2f} ranks: {told}." in text
    assert "| **best:wavelet** | 1.00 |" in text
    write_site(root, tmp_path / "site")
    page = (tmp_path / "site" / "index.html").read_text("utf-8")
    assert "Ranks over datasets" in page
    assert f"{found.test.critical_difference:.2f} ranks" in page
    assert "<td>4.00</td>" in page
