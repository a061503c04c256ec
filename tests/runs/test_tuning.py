"""The grid of rates and lengths: complete for all, on a development set alone."""

import re
from pathlib import Path
from typing import Any

import pytest

from fpbench import registry
from fpbench.cli.main import entry
from fpbench.errors import BadInput
from fpbench.runs.job import Side
from fpbench.runs.tuning import (
    PASSES,
    RATES,
    Cell,
    choices,
    learned_methods,
    plan_tuning,
    read_table,
    write_table,
)

SIDE = Side("gm-dev", "1-abc", "ab" * 32)


def cell(rate: float, passes: int, accuracy: float | None, status: str = "done") -> Cell:
    return Cell(
        "npr:cells", "2", "1-abc", rate, passes, 0, status, 100, accuracy, None, None,
        f"{rate:g}-{passes}",
    )  # fmt: skip


def grid(best: tuple[float, int]) -> list[Cell]:
    return [cell(r, p, 0.9 if (r, p) == best else 0.5) for r in RATES for p in PASSES]


def test_every_method_that_trains_a_network_tries_the_same_points() -> None:
    methods = learned_methods()
    assert {"manifpt:rgb", "yu:attribution", "yu:visnet", "asnani:attribution", "asnani:parsing",
            "npr:cells", "nataraj:horizontal", "frank:cnn", "dnadet:native",
            "dsf:plus"} <= set(methods)  # fmt: skip
    plan = plan_tuning(methods, SIDE, (0, 1))
    points = {}
    for job in plan:
        assert job.budget == "small" and job.test == SIDE
        label = f"{job.method}:{job.variant}"
        points.setdefault(label, []).append((job.params["rate"], job.params["epochs"], job.seed))
    expected = sorted((r, p, s) for r in RATES for p in PASSES for s in (0, 1))
    assert set(points) == set(methods)
    assert all(sorted(tried) == expected for tried in points.values())


def test_a_method_that_learns_nothing_by_steps_is_refused() -> None:
    with pytest.raises(BadInput, match="'prnu' has no parameter epochs, rate"):
        plan_tuning(["prnu"], SIDE, (0,))


def test_the_best_point_is_chosen_only_of_a_complete_grid() -> None:
    (whole,) = choices(grid((1e-3, 30)))
    assert whole.complete and (whole.rate, whole.passes, whole.accuracy) == (1e-3, 30, 0.9)
    assert not whole.at_edge
    (part,) = choices(grid((1e-3, 30))[:-1])
    assert not part.complete and part.done == len(RATES) * len(PASSES) - 1
    assert choices(grid((RATES[-1], 10)))[0].at_edge


def test_of_equal_points_the_lower_rate_is_chosen() -> None:
    cells = [cell(r, p, 0.5) for r in RATES for p in PASSES]
    assert choices(cells)[0].rate == RATES[0]


def test_a_point_that_did_not_train_has_ended_but_is_not_chosen() -> None:
    cells = grid((1e-3, 30))
    cells = [cell(c.rate, c.passes, 0.99, "did not train") if c.rate == 0.1 else c for c in cells]
    (found,) = choices(cells)
    assert found.complete and found.rate == 1e-3


def test_a_table_is_added_to(tmp_path: Path) -> None:
    path = tmp_path / "tuning.csv"
    cells = grid((1e-3, 30))
    write_table(path, cells[:4])
    write_table(path, cells[3:])
    again = read_table(path)
    assert sorted(again, key=lambda c: c.job) == sorted(cells, key=lambda c: c.job)
    before = path.read_bytes()
    write_table(path, [])
    assert path.read_bytes() == before
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BadInput, match="is no table of `fpbench tune`"):
        read_table(tmp_path / "other.csv")


def test_the_dataset_of_a_board_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        entry(("tune", "--method", "npr", "--dataset", "gm-mini"))
    assert end.value.code == 2
    assert "gm-mini is no development set" in capsys.readouterr().err


def test_the_page_states_what_budget_small_does_now() -> None:
    page = (Path(__file__).parents[2] / "docs" / "tuning.md").read_text("utf-8")
    assert f"At most {max(PASSES)} times" in page.replace("at most", "At most")
    told = {}
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3 and cells[1][:1].isdigit():
            for name in cells[0].split(", "):
                told[name] = float(cells[1].split()[0]), cells[2]
    assert {"manifpt", "yu:visnet", "asnani:parsing", "dsf"} <= told.keys()
    for name, (rate, passes) in told.items():
        cls, variant = registry.resolve_method(name)
        method: Any = cls.make(variant)
        plan = method.plan("small", 2080)
        assert plan.lr == rate, name
        if name != "dsf":
            assert str(plan.epochs) in re.findall(r"\d+", passes), name
