"""Open-set jobs: who is unknown, what is trained on, and what the scores say of planted truth."""

import dataclasses
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from fpbench.datasets.resolve import resolve
from fpbench.errors import BadInput
from fpbench.images import Source
from fpbench.leaderboard.audit.verify import verify
from fpbench.runs.evidence import EVIDENCE
from fpbench.runs.execute import execute
from fpbench.runs.job import Job, Limits
from fpbench.runs.options import JobOptions
from fpbench.runs.plan import make_plan, one_side
from fpbench.runs.protocols.open_set import OpenSetFacts, deal
from fpbench.runs.record import Record
from fpbench.runs.rescoring import score_again
from fpbench.runs.store import Store

QUICK = JobOptions(device="cpu", figures=False)


def plan(method: str, dataset: str, unknown: Any = "rotate", **more: Any) -> list[Job]:
    side = one_side(dataset, resolve(dataset).identity)
    return make_plan(
        [method], [(side, side)], protocol="open-set", settings={"unknown": unknown}, **more
    )


def run(folder: Path, method: str, dataset: str, unknown: Any, **more: Any) -> Record:
    (job,) = plan(method, dataset, unknown, **more)
    record = execute(job, Store(folder), QUICK)
    assert record.status == "done", record.reason
    return record


def value(record: Record, key: str) -> float:
    found = record.scores[key].value
    assert found is not None, record.scores[key].reason
    return found


def many(families: dict[str, int]) -> list[Source]:
    sources = [Source("real", "Real", "photographs")]
    return sources + [Source(f"{f}{k}", f, f) for f, n in families.items() for k in range(n)]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(
    "families",
    [{"GAN": 6, "VAE": 4, "Flow": 2, "Score": 1}, {"GAN": 20}, {"GAN": 1, "VAE": 1, "Flow": 9}],
)
def test_rotations_leave_out_each_generator_once_and_families_evenly(
    families: dict[str, int], seed: int
) -> None:
    sources = many(families)
    groups = deal(sources, seed)
    assert len(groups) == 4
    assert Counter(name for group in groups for name in group) == Counter(
        source.name for source in sources if not source.is_real
    )
    sizes = [len(group) for group in groups]
    assert max(sizes) - min(sizes) <= 1
    for family in families:
        own = [sum(name.startswith(family) for name in group) for group in groups]
        assert max(own) - min(own) <= 1, (family, own)


def test_the_deal_depends_on_the_seed_alone() -> None:
    sources = many({"GAN": 6, "VAE": 6})
    assert deal(sources, 0) == deal(sources, 0)
    assert len({str(deal(sources, seed)) for seed in range(10)}) == 10


@pytest.mark.parametrize(("generators", "groups"), [(1, 0), (2, 2), (3, 3), (4, 4), (9, 4)])
def test_few_generators_make_fewer_rotations(generators: int, groups: int) -> None:
    assert len(deal(many({"GAN": generators}), 0)) == groups


def test_a_rotation_is_a_job_and_trains_on_the_others(
    methods: dict[str, Any], dataset: str, tmp_path: Path
) -> None:
    jobs = plan("tiles", dataset)
    assert len({job.key for job in jobs}) == 4
    names = sorted(name for job in jobs for name in job.settings["unknown"])
    assert names == ["dcgan-1", "dcgan-2", "glow", "vae-1", "vae-2", "wgan"]
    for number, job in enumerate(jobs, start=1):
        record = execute(job, Store(tmp_path), QUICK)
        assert record.status == "done", record.reason
        unknown = job.settings["unknown"]
        train, validation, _ = methods["tiles"].trained
        known = [source.name for source in train.sources]
        assert known[0] == "real" and set(known) == {"real", *names} - set(unknown)
        for part in (train, validation):
            assert set(np.unique(part.labels)) == set(range(len(known)))
        assert record.train is not None
        assert [source.name for source in record.train.sources] == known
        assert [source.name for source in record.test.sources][1:] == names
        facts = OpenSetFacts.model_validate(record.setup.facts)
        assert (facts.rotation, facts.rotations) == (number, 4)
        assert f"unknown {' '.join(unknown)}" in job.title
    again = plan("tiles", dataset, jobs[2].settings["unknown"])
    assert [job.key for job in again] == [jobs[2].key]


def test_scores_follow_from_what_is_stored_and_are_those_of_scikit_learn(
    methods: dict[str, Any], dataset: str, tmp_path: Path
) -> None:
    record = run(tmp_path, "tiles-own", dataset, "glow,dcgan-2")
    folder = Store(tmp_path).folder(record.job)
    assert record.job.settings["unknown"] == ["dcgan-2", "glow"]
    found = {key: entry.score for key, entry in record.scores.items()}
    assert score_again(record, folder) == found
    assert verify(folder, rerun=False).outcome == "bitwise"
    assert verify(folder, device="cpu").outcome == "bitwise"

    table = pq.read_table(folder / "predictions.parquet").to_pandas()
    columns = [name for name in table.columns if name.startswith("p:")]
    assert [name[2:] for name in columns] == ["real", "dcgan-1", "vae-1", "vae-2", "wgan"]
    made = table[table["source"] != "real"]
    new = made["source"].isin(["dcgan-2", "glow"])
    msp = 1 - made[columns].max(axis=1)
    # Equally many test images of each source, so pooling is averaging.
    assert value(record, "open_auroc_msp") == pytest.approx(roc_auc_score(new, msp))
    known = made[~new]
    assert value(record, "known_accuracy") == pytest.approx(
        balanced_accuracy_score(known["source"], known[columns[1:]].idxmax(axis=1).str[2:])
    )
    threshold = np.sort(msp[~new])[int(np.ceil(0.95 * len(known))) - 1]
    assert value(record, "open_fpr95_msp") == pytest.approx((msp[new] <= threshold).mean())

    tampered = folder / EVIDENCE
    tampered.unlink()
    assert verify(folder, rerun=False).outcome == "mismatch"


def test_planted_tiles_are_noticed_by_every_measure(
    methods: dict[str, Any], dataset: str, tmp_path: Path
) -> None:
    record = run(tmp_path, "tiles-own", dataset, "wgan,vae-1")
    for look in ("msp", "knn", "own"):
        assert value(record, f"open_auroc_{look}") > 0.95, look
        assert value(record, f"open_fpr95_{look}") < 0.2, look
    assert value(record, "unknown_ami") > 0.9 and value(record, "oscr") > 0.9
    for key, entry in record.scores.items():
        if entry.value is not None:
            assert entry.chance is not None and entry.n > 0, key
            assert entry.ci_low is not None and entry.ci_high is not None, key
            assert entry.ci_low <= entry.value <= entry.ci_high, key


def test_near_and_far_are_told_apart(methods: dict[str, Any], dataset: str, tmp_path: Path) -> None:
    record = run(tmp_path, "tiles", dataset, ["dcgan-2", "vae-2", "glow"])
    for group in ("architecture", "family", "new"):
        assert value(record, f"open_auroc_knn_{group}") > 0.9
    # 21 test images of each of three known generators and of the one in each group.
    assert {record.scores[f"open_auroc_knn_{g}"].n for g in ("architecture", "family")} == {84}
    assert "open_auroc_own" not in record.scores
    alone = run(tmp_path, "tiles", dataset, ["glow"])
    empty = alone.scores["open_auroc_msp_family"]
    assert empty.value is None and "whose family alone is known" in (empty.reason or "")
    assert value(alone, "open_auroc_msp_new") == value(alone, "open_auroc_msp")
    assert alone.scores["unknown_ami"].reason == "There is one unknown source only."


def test_a_family_can_be_unknown(methods: dict[str, Any], dataset: str, tmp_path: Path) -> None:
    record = run(tmp_path, "tiles", dataset, "family:VAE")
    assert record.job.settings["unknown"] == ["vae-1", "vae-2"]
    assert OpenSetFacts.model_validate(record.setup.facts).rotation is None
    assert value(record, "open_auroc_msp_new") == value(record, "open_auroc_msp")


def test_where_families_are_not_described_nothing_is_near_or_far(
    methods: dict[str, Any], undescribed: str, tmp_path: Path
) -> None:
    record = run(tmp_path, "tiles", undescribed, "glow")
    for group in ("architecture", "family", "new"):
        reason = record.scores[f"open_auroc_msp_{group}"].reason
        assert reason is not None and "The family of glow is not described." in reason
    assert value(record, "open_auroc_msp") > 0.9


def test_a_method_without_probabilities_goes_by_the_probe(
    methods: dict[str, Any], dataset: str, tmp_path: Path
) -> None:
    record = run(tmp_path, "tiles-probe", dataset, "wgan,vae-1")
    assert record.setup.classifier == "probe"
    assert value(record, "known_accuracy") > 0.8 and value(record, "open_auroc_knn") > 0.9


def test_constant_embeddings_give_reasons(
    methods: dict[str, Any], dataset: str, tmp_path: Path
) -> None:
    record = run(tmp_path, "constant", dataset, "wgan,vae-1")
    for key in ("open_auroc_knn", "open_fpr95_knn", "open_auroc_knn_family", "unknown_ami"):
        assert "point one way" in (record.scores[key].reason or ""), key
    assert value(record, "open_auroc_msp") == pytest.approx(0.5)
    assert value(record, "open_fpr95_msp") == 1
    folder = Store(tmp_path).folder(record.job)
    assert score_again(record, folder) == {k: e.score for k, e in record.scores.items()}


def test_one_known_generator_leaves_no_accuracy(
    methods: dict[str, Any], dataset: str, tmp_path: Path
) -> None:
    record = run(tmp_path, "tiles", dataset, "dcgan-1,dcgan-2,wgan,vae-1,vae-2")
    for key in ("known_accuracy", "oscr"):
        assert "1 sources to tell apart" in (record.scores[key].reason or ""), key
    assert value(record, "open_auroc_knn") > 0.9


@pytest.mark.parametrize(
    ("unknown", "message"),
    [
        ("wgam", r"no generator 'wgam'\. Did you mean wgan"),
        ("real", "'real' cannot be unknown: Real is what"),
        ("family:Real", "cannot be unknown"),
        ("family:GAM", r"no generator of the family 'GAM'\. Did you mean GAN"),
        ("dcgan-1,family:GAN,family:VAE,glow", "no generator of tiny is left to train on"),
        ("rotate,wgan", "name none beside it"),
        ("", "names nothing"),
        (5, "names of generators, not 5"),
        ([1], "names of generators"),
    ],
)
def test_nonsense_is_refused_when_planning(
    methods: dict[str, Any], dataset: str, unknown: Any, message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        plan("tiles", dataset, unknown)


def test_what_the_protocol_does_not_know_is_refused(methods: dict[str, Any], dataset: str) -> None:
    side = one_side(dataset, resolve(dataset).identity)
    with pytest.raises(BadInput, match=r"'closed-set' has no setting 'unknown'"):
        make_plan(["tiles"], [(side, side)], settings={"unknown": "rotate"})
    with pytest.raises(BadInput, match="knows no limit 'bag sizes'"):
        plan("tiles", dataset, limits=Limits(bag_sizes=(5,)))
    with pytest.raises(BadInput, match="knows no limit 'augment'"):
        make_plan(["tiles"], [(side, side)], limits=Limits(augment=True))


def test_a_job_that_names_no_generator_is_not_run(
    methods: dict[str, Any], dataset: str, tmp_path: Path
) -> None:
    job = dataclasses.replace(plan("tiles", dataset)[0], settings={"unknown": "rotate"})
    with pytest.raises(BadInput, match="make_plan"):
        execute(job, Store(tmp_path), QUICK)


def test_an_own_measure_that_breaks_the_contract_fails_its_job(
    methods: dict[str, Any], dataset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        methods["tiles-own"], "unknown_score", lambda self, images: np.zeros((3, 1), np.float32)
    )
    (job,) = plan("tiles-own", dataset, "wgan")
    record = execute(job, Store(tmp_path), QUICK)
    assert record.status == "failed" and "unknown_score returned shape (3, 1)" in (
        record.reason or ""
    )


def test_fewer_training_images_and_folds_go_together_with_it(
    methods: dict[str, Any], dataset: str, tmp_path: Path
) -> None:
    record = run(tmp_path, "tiles", dataset, "wgan", limits=Limits(train_images=10))
    assert record.train is not None
    assert {source.train for source in record.train.sources} == {10}
    jobs = plan("tiles", dataset, "wgan", folds=3)
    assert len(jobs) == 3
    assert execute(jobs[0], Store(tmp_path), QUICK).status == "done"


@pytest.mark.parametrize("left_out", [f"pattern-{k}" for k in range(1, 7)])
def test_prnu_notices_each_planted_pattern_left_out(tmp_path: Path, left_out: str) -> None:
    record = run(tmp_path, "prnu", "gm-synthetic", left_out)
    for look in ("msp", "knn"):
        assert value(record, f"open_auroc_{look}") >= 0.95, look


@pytest.mark.parametrize("left_out", ["pattern-3", "pattern-4"])
def test_log_spectra_notice_a_planted_pattern_left_out(tmp_path: Path, left_out: str) -> None:
    """Not each: images of pattern-2 and pattern-5 pass for real ones, which is an answer too."""
    record = run(tmp_path, "logdct", "gm-synthetic", left_out)
    assert value(record, "open_auroc_msp") >= 0.95


@pytest.mark.parametrize("method", ["prnu", "logdct"])
def test_where_nothing_is_planted_nothing_is_noticed(tmp_path: Path, method: str) -> None:
    for job in plan(method, "gm-synthetic:none"):
        record = execute(job, Store(tmp_path), QUICK)
        for look in ("msp", "knn"):
            score = record.scores[f"open_auroc_{look}"]
            assert score.ci_low is not None and score.ci_high is not None
            assert score.ci_low <= 0.5 <= score.ci_high, (job.title, look, score)
