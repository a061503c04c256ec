"""What the boards' records say of a configuration is found, and nothing else's."""

from pathlib import Path

import pytest

from fpbench.attribution.fitting import fit_model
from fpbench.attribution.measured import measured_scores
from fpbench.datasets.resolve import resolve
from fpbench.runs.plan import resolve as configuration
from fpbench.runs.record import read_record

ROOT = Path(__file__).parents[2] / "leaderboards"


def test_scores_are_those_of_the_records_of_this_configuration() -> None:
    content = resolve("gm-mini").identity.content_hash
    chosen = configuration("prnu", {})
    found = {s.key: s for s in measured_scores(ROOT, chosen, "small", content)}
    records = [read_record(p) for p in (ROOT / "results" / "gm-mini" / "prnu").glob("*.json")]
    own = [
        r.scores["accuracy"].value
        for r in records
        if (r.job.variant, r.job.budget, r.job.control) == ("wavelet", "small", "none")
        and r.job.test.content_hash == content
        and not r.job.params
        and r.job.fold is None
    ]
    assert found["accuracy"].runs == len(own) > 0
    assert found["accuracy"].value == pytest.approx(sum(v or 0 for v in own) / len(own))
    assert found["accuracy"].chance == pytest.approx(1 / 12)
    assert {s.protocol for s in found.values()} >= {"closed-set"}


@pytest.mark.parametrize(
    ("name", "params", "budget", "content", "root"),
    [
        ("prnu", {"levels": 2}, "small", None, ROOT),
        ("prnu", {}, "full", None, ROOT),
        ("prnu", {}, "small", "0" * 64, ROOT),
        ("prnu", {}, "small", None, ROOT / "nowhere"),
    ],
)
def test_of_any_other_nothing_is_known(
    name: str, params: dict[str, int], budget: str, content: str | None, root: Path
) -> None:
    content = content or resolve("gm-mini").identity.content_hash
    chosen = configuration(name, params)
    assert measured_scores(root, chosen, budget, content) == []  # type: ignore[arg-type]


def test_images_that_a_method_keeps_are_counted(dataset: Path, tmp_path: Path) -> None:
    model = fit_model("pixels", dataset, tmp_path / "m", device="cpu", leaderboards="none")
    assert model.page.images_kept == sum(source.train for source in model.page.sources)
    assert not model.page.free and model.page.measured == []
