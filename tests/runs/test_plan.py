"""What a plan makes of the parameters that are set for its methods."""

from typing import Any

import pytest

from fpbench import registry
from fpbench.datasets.resolve import resolve
from fpbench.errors import BadInput
from fpbench.runs.plan import check_params, make_plan, parse_settings


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
    data = {"gm-synthetic": resolve("gm-synthetic").identity}
    with pytest.raises(BadInput, match=told):
        make_plan([method], data, params=parse_settings([setting]))


def test_a_setting_given_twice_is_refused() -> None:
    with pytest.raises(BadInput, match="'c' twice"):
        parse_settings(["c=1", "c=2"])


def test_setting_what_holds_anyway_is_the_same_job() -> None:
    data = {"gm-synthetic": resolve("gm-synthetic").identity}

    def key(method: str, *settings: str) -> str:
        (spec,) = make_plan([method], data, params=parse_settings(settings))
        return spec.key

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
