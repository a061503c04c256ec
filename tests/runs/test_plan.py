"""What is asked for becomes jobs, and what cannot be asked for a sentence."""

import json
from typing import Any

import pytest

import fpbench
from fpbench import registry
from fpbench.datasets.dataset import DatasetIdentity
from fpbench.errors import BadInput
from fpbench.runs.executors.base import ExecutorOptions
from fpbench.runs.job import CLOSED_SET, TRANSFER, Limits, Side
from fpbench.runs.options import JobOptions
from fpbench.runs.plan import (
    check_params,
    expand_methods,
    make_plan,
    one_side,
    parse_setting,
    parse_settings,
)

ONE, TWO = Side("one", "1", "ab"), Side("two", "1", "cd")


def test_a_plan_is_every_combination_once_pair_of_sides_by_pair() -> None:
    plan = make_plan(["prnu", "majority", "prnu"], [(ONE, ONE), (TWO, TWO)], seeds=(0, 1), folds=3)
    assert len(plan) == 2 * 2 * 3 * 2 == len({job.key for job in plan})
    assert [job.test.name for job in plan] == ["one"] * 12 + ["two"] * 12
    assert [(j.method, j.fold, j.seed) for j in plan[:4]] == [
        ("prnu", 0, 0), ("prnu", 0, 1), ("prnu", 1, 0), ("prnu", 1, 1),
    ]  # fmt: skip
    assert {job.folds for job in plan} == {3} and {job.protocol for job in plan} == {CLOSED_SET}


def test_two_names_of_the_same_images_are_one_job() -> None:
    copy = Side("copy", "1", "ab", location="/data/copy")
    assert len(make_plan(["prnu"], [(ONE, ONE), (copy, copy)])) == 1


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"budget": "smal"}, "no budget 'smal'. Did you mean small"),
        ({"control": "shuffled"}, "no control 'shuffled'. Did you mean shuffled-labels"),
        ({"seeds": ()}, "No seed is given"),
        ({"seeds": (-1,)}, "-1 is no seed"),
        ({"seeds": (0.5,)}, "0.5 is no seed"),
        ({"seeds": (True,)}, "True is no seed"),
        ({"seeds": (2**32,)}, "no seed; seeds are whole numbers from 0 to 4294967295"),
        ({"seeds": range(10**9)}, "1000000000 jobs; a plan has at most 100000"),
        ({"folds": 10**9}, "1000000000 jobs"),
        ({"folds": 2.5}, "--folds 2.5 is not possible"),
        ({"protocol": "transfers"}, "no protocol 'transfers'. Did you mean transfer"),
        ({"protocol": TRANSFER, "settings": {"reference": "both"}}, "reference='both' is not"),
        ({"protocol": TRANSFER, "settings": {"resize": "no"}}, "resize='no' is not possible"),
        ({"protocol": TRANSFER, "settings": {"resize": 1}}, "resize=1 is not possible"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_in_python_too(asked: Any, told: str) -> None:
    with pytest.raises(BadInput) as refused:
        make_plan(["majority"], [(ONE, TWO)], **asked)
    assert told in str(refused.value)


def test_settings_of_a_protocol_are_completed_and_checked() -> None:
    (job,) = make_plan(["prnu"], [(ONE, TWO)], protocol=TRANSFER)
    assert job.settings == {"reference": "source", "resize": False}
    (job,) = make_plan(["prnu"], [(ONE, TWO)], protocol=TRANSFER, settings={"resize": True})
    assert job.settings == {"reference": "source", "resize": True}
    with pytest.raises(BadInput, match=r"'transfer' has no setting 'resise'\. Did you mean resize"):
        make_plan(["prnu"], [(ONE, TWO)], protocol=TRANSFER, settings={"resise": True})
    with pytest.raises(BadInput, match="'closed-set' has no setting 'resize'"):
        make_plan(["prnu"], [(ONE, ONE)], settings={"resize": True})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"methods": ["prnuu"]}, "no method 'prnuu'. Did you mean prnu"),
        ({"methods": ["prnu:no"]}, "no variant 'no'"),
        ({"params": {"sigm": 3}}, "no parameter 'sigm'. Did you mean sigma"),
        ({"folds": 2}, "--folds 2 is not possible"),
        ({"protocol": "open-sett"}, "There is no protocol 'open-sett'"),
        ({"protocol": "closed_set"}, "no protocol 'closed_set'. Did you mean closed-set"),
    ],
)
def test_what_cannot_be_planned_is_named(changes: dict[str, Any], told: str) -> None:
    asked: dict[str, Any] = {"methods": ["prnu"], "sides": [(ONE, ONE)], **changes}
    with pytest.raises(BadInput, match=told):
        make_plan(asked.pop("methods"), asked.pop("sides"), **asked)


def test_limits_stand_in_every_job() -> None:
    limits = Limits(train_images=5)
    plan = make_plan(["prnu"], [(ONE, ONE)], seeds=(0, 1), limits=limits)
    assert [job.limits for job in plan] == [limits] * 2


def test_settings_are_read_as_json_where_they_are_json() -> None:
    assert parse_setting("sigma=4.5") == ("sigma", 4.5)
    assert parse_setting(" name = ") == ("name", " ")
    found = parse_settings(["k=5", "nn=rgb", "list=[1, 2]", "none=null", "equal=a=b"])
    assert found == {"k": 5, "nn": "rgb", "list": [1, 2], "none": None, "equal": "a=b"}
    for texts, told in (
        (["k"], "'k' is not of the form key=value"),
        (["=1"], "'=1' is not of the form key=value"),
        (["c=1", "d=1", "c=2"], "--set gives 'c' twice; give each parameter once"),
        (["c=1", " c =1"], "--set gives 'c' twice"),
    ):
        with pytest.raises(BadInput, match=told):
            parse_settings(texts)


@pytest.mark.parametrize(
    ("method", "setting", "told"),
    [
        ("prnu", "camera=maybe", "true or false"),
        ("prnu", "levels=2.5", "from 1 to 16"),
        ("prnu", "levels=four", "from 1 to 16"),
        ("logdct", "c=NaN", "above 0"),
        ("logdct", "c=Infinity", "above 0"),
        ("mccloskey:chromaticity", "bins=1e30", "from 2 to 256"),
        ("asnani", "sigmoid=x", "true or false"),
        ("dsf", "normalise=../../etc/passwd", "true or false"),
        ("yu", "switching_resolution=8", "no meaning for network=attribution"),
        ("dsf", "training_bags=3", "too few for bags_per_source=4"),
        ("yu:visnet", "resize=64", "no parameter 'resize'"),
        ("prnu", "sigm=2", "Did you mean sigma"),
    ],
)
def test_a_plan_refuses_nonsense(method: str, setting: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        make_plan([method], [(ONE, ONE)], params=parse_settings([setting]))


def test_setting_what_holds_anyway_is_the_same_job() -> None:
    def key(method: str, *settings: str) -> str:
        (job,) = make_plan([method], [(ONE, ONE)], params=parse_settings(settings))
        return job.key

    assert key("logdct", "c=0.01") == key("logdct", "c=1e-2") == key("logdct")
    assert key("logdct", "c=1") == key("logdct", "c=1.0") != key("logdct")
    assert key("prnu:camera", "camera=True") == key("prnu:camera")
    assert key("prnu", "camera=False") == key("prnu") != key("prnu", "camera=true")
    assert key("dsf:minus", "bag_size=1") == key("dsf:minus") != key("dsf:minus", "bag_size=2")


def test_a_plugin_that_refuses_in_its_constructor_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    cls = registry.method_class("logdct")

    def refuse(self: Any, *, c: float = 0.01) -> None:
        raise ValueError("c does not suit me")

    monkeypatch.setattr(cls, "__init__", refuse)
    with pytest.raises(BadInput, match="'logdct': c does not suit me"):
        check_params("logdct", cls, {"c": 3})
    assert check_params("logdct", cls, {}) == {}


def test_all_means_every_method_each_once() -> None:
    expanded = expand_methods(["prnu:camera", "all", "prnu"])
    assert expanded == ["prnu:camera", *registry.method_names()]


def test_a_side_is_loaded_by_what_was_asked_for() -> None:
    identity = DatasetIdentity("mine", "1", "ab", "digest")
    assert one_side("mine", identity) == Side("mine", "1", "ab", digest="digest")
    side = one_side("/data/mine", identity, ["b", "a", "b"])
    assert side.sources == ("a", "b") and side.reference == "/data/mine"
    assert side.title == "mine[a,b]" and side.content == {
        "revision": "1", "content_hash": "ab", "sources": ["a", "b"],
    }  # fmt: skip


def test_options_of_jobs_read_back_from_a_document() -> None:
    for options in (
        JobOptions(),
        JobOptions("cuda:1", False, True, 3.5, ("accuracy", "fdr"), 2, "slurm"),
    ):
        assert JobOptions.from_dict(json.loads(json.dumps(options.to_dict()))) == options


@pytest.mark.parametrize("limit", [0, -1, float("nan"), float("inf")])
def test_a_time_that_is_none_is_refused(limit: float) -> None:
    with pytest.raises(BadInput, match="give a number above 0"):
        JobOptions(time_limit=limit)


@pytest.mark.parametrize(
    "device", ["", "tpu", "cuda:", "cuda:x", "cuda:\u00b2", "cuda:-1", "cpu:0"]
)
def test_a_device_that_is_none_is_refused_before_anything_is_looked_for(device: str) -> None:
    with pytest.raises(BadInput, match="There is no device"):
        JobOptions(device=device)


@pytest.mark.parametrize("count", [0, -1, 1.5, True])
def test_counts_of_threads_and_workers_are_counts(count: Any) -> None:
    for make in (lambda: JobOptions(threads=count), lambda: ExecutorOptions(workers=count),
                 lambda: ExecutorOptions(threads=count)):  # fmt: skip
        with pytest.raises(BadInput, match="give a whole number of at least 1"):
            make()


@pytest.mark.parametrize("asked", [{"seed": -1}, {"budget": "smal"}])
def test_a_fit_from_python_is_asked_for_as_a_job_is(asked: Any) -> None:
    with pytest.raises(BadInput, match=r"is no seed|no budget 'smal'"):
        fpbench.fit("majority", "no-such-dataset", **asked)
