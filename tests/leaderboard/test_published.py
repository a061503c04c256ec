from pathlib import Path
from typing import Any

import pytest

from fpbench.errors import BadInput
from fpbench.leaderboard.archive.published import STATUSES, numbers, read_published, value_text
from fpbench.leaderboard.output.build import build

PUBLISHED = Path(__file__).parents[2] / "leaderboards" / "published.yaml"


def value(table: str, method: str, column: str) -> Any:
    (found,) = [t for t in read_published(PUBLISHED).tables if t.id == table]
    (row,) = [r for r in found.rows if r.method == method]
    printed = row.values[column]
    return [float(part) for part in printed] if isinstance(printed, list) else float(printed or 0)


def test_numbers_are_those_of_the_papers() -> None:
    assert value("dsf-2", "DSF+", "gans") == [0.714, 0.042]
    assert value("dsf-3", "Asnani21", "acc_gms") == [0.708, 0.453]
    assert value("dsf-a3", "DSF+, 100 bags", "score") == [0.838, 0.013]
    assert value("manifpt-2", "ManiFPT SL", "acc_cifar10") == [72.018, 0.92]
    assert value("manifpt-2", "Yu19", "fdr_celeba") == 111.4
    assert value("manifpt-4", "ManiFPT RGB", "chq_ffhq") == 66.3
    assert value("manifpt-5", "average as printed", "skip") == 0.571


def test_printed_averages_are_those_of_the_row_that_recomputes_them() -> None:
    (table,) = [t for t in read_published(PUBLISHED).tables if t.id == "manifpt-5"]
    rows = {row.method: row.values for row in table.rows}
    spaces = [values for name, values in rows.items() if name.startswith("ManiFPT")]
    for column in table.columns:
        mean = sum(values[column.key] for values in spaces) / 4  # type: ignore[misc]
        assert rows["average of the columns, recomputed"][column.key] == pytest.approx(
            mean, abs=6e-4
        )


def test_every_table_says_where_it_is_from_and_how_it_came_here() -> None:
    published = read_published(PUBLISHED)
    assert {table.status for table in published.tables} == set(STATUSES)
    for number in numbers(published):
        assert number.table.source
        assert number.table.table
    from_images = [t for t in published.tables if t.id.startswith("manifpt")]
    assert {t.status for t in from_images} == {"transcribed from an image"}
    assert not any("memory" in t.source for t in published.tables)


def test_numbers_keep_the_zeros_that_they_are_printed_with() -> None:
    row = next(
        row for table in read_published(PUBLISHED).tables for row in table.rows
        if row.method == "ManiFPT SSL" and "up" in row.values
    )  # fmt: skip
    assert value_text(row.values["up"], "NMI") == "0.680"


def test_published_numbers_stand_apart_on_the_board_of_their_dataset(root: Path, add: Any) -> None:
    (root / "published.yaml").write_text(PUBLISHED.read_text("utf-8"), "utf-8")
    add(method="prnu", dataset="gm-ffhq")
    build(root)
    text = (root / "details/gm-ffhq.md").read_text("utf-8")
    measured, published = text.split("## Published numbers")
    assert "66.1 ± 0.207 %" in published
    assert "transcribed from an image" in published
    assert "ManiFPT FREQ" not in measured
    assert "GM-CIFAR10" not in published
    every = (root / "published.md").read_text("utf-8")
    assert "**read in text**" in every


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("tables: [", "cannot be read"),
        ("tables: [{id: x}]", "is not valid"),
        (
            "tables: [{id: x, title: t, paper: p, table: t, source: s, status: guessed,"
            " columns: [], rows: []}]",
            "status",
        ),
        (
            "tables: [{id: x, title: t, paper: p, table: t, source: s, status: code,"
            " columns: [{key: a, title: A, unit: none, dataset: d}],"
            " rows: [{method: m, values: {b: 1}}]}]",
            "no column of it",
        ),
        (
            "tables: [{id: x, title: t, paper: p, table: t, source: s, status: code,"
            " columns: [{key: a, title: A, unit: none, dataset: d}],"
            " rows: [{method: m, values: {a: [1, 2, 3]}}]}]",
            "what follows",
        ),
    ],
)
def test_bad_files_are_named(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "published.yaml"
    path.write_text(text)
    with pytest.raises(BadInput, match=reason):
        read_published(path)
