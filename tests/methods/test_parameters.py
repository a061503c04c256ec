"""Every parameter of every built-in method is declared, and what is not allowed is refused."""

import math
from typing import Any, Literal, get_args, get_origin

import pytest

from fpbench import registry
from fpbench.errors import BadInput
from fpbench.method import BUDGETS, Method, Range
from fpbench.parameters import Parameter
from fpbench_methods.bases.network import NetworkMethod
from fpbench_methods.manifpt.spaces import SPACES, VECTOR_SPACES

CLASSES = sorted(
    {
        registry.method_class(name).variant_class(variant)
        for name in registry.method_names()
        for variant in registry.method_class(name).card.variants
    },
    key=lambda cls: cls.__name__,
)
PARAMETERS = [
    pytest.param(cls, parameter, id=f"{cls.__name__}-{parameter.name}")
    for cls in CLASSES
    for parameter in cls.declared_parameters().values()
]


def ranges(annotation: Any) -> list[Range]:
    return [mark for mark in getattr(annotation, "__metadata__", ()) if isinstance(mark, Range)]


def alternatives(annotation: Any) -> tuple[Any, ...]:
    inner = getattr(annotation, "__origin__", annotation) if ranges(annotation) else annotation
    found: tuple[Any, ...] = (inner,)
    if get_origin(inner) is not Literal and get_args(inner):
        found = get_args(inner)
    return found


def variant_of(cls: type[Method]) -> str:
    """A variant that is this class."""
    return next(name for name in cls.card.variants if cls.variant_class(name) is cls)


@pytest.mark.parametrize(("cls", "parameter"), PARAMETERS)
def test_a_default_is_allowed_and_sets_nothing(cls: type[Method], parameter: Parameter) -> None:
    variant = variant_of(cls)
    parameter.check(parameter.default)
    own = cls.card.variants[variant].params.get(parameter.name, parameter.default)
    expected = {} if own == parameter.default else {parameter.name: parameter.default}
    for given in (parameter.default, str(parameter.default)):
        assert cls.read_parameters({parameter.name: given}, variant) == expected


@pytest.mark.parametrize(("cls", "parameter"), PARAMETERS)
def test_what_is_outside_is_refused(cls: type[Method], parameter: Parameter) -> None:
    """Every number has a range, and nothing beyond it passes, by text or in Python."""
    wrong: list[Any] = []
    kinds = alternatives(parameter.annotation)
    if int in kinds or float in kinds:
        (bounds,) = ranges(parameter.annotation)
        assert bounds.most is not None, "an upper bound keeps nonsense out"
        low = bounds.least if bounds.least is not None else bounds.above
        assert low is not None
        wrong += [bounds.most * 2 + 1, 1e30, math.nan, math.inf, True, "four", [3]]
        wrong += [low - 1] if bounds.above is None else [low, low - 1]
        wrong += [2.5] if int in kinds else []
    elif bool in kinds:
        wrong += ["maybe", 2, "../../etc/passwd", None]
    elif any(get_origin(kind) is Literal for kind in kinds):
        wrong += ["nonsense", 2.5, True]
    else:
        assert parameter.is_file or parameter.name == "backbone"
        wrong += [True, 3]
    for value in wrong:
        with pytest.raises(BadInput, match=parameter.name):
            cls.read_parameters({parameter.name: value}, variant_of(cls))
        with pytest.raises(BadInput, match=parameter.name):
            cls(**{parameter.name: value})


@pytest.mark.parametrize("method", registry.method_names())
def test_variants_set_what_is_allowed(method: str) -> None:
    cls = registry.method_class(method)
    for name in cls.card.variants:
        assert cls.make(name).arguments.keys() == cls.variant_class(name).parameters().keys()


def test_files_of_weights_are_declared() -> None:
    found = {cls.card.name: cls.file_parameters() for cls in CLASSES if cls.file_parameters()}
    names = ("clip-probe", "inception", "manifpt", "marra18", "wang")
    assert found == dict.fromkeys(names, ("weights",))


def test_the_spaces_that_can_be_named_are_those_that_there_are() -> None:
    declared = registry.method_class("manifpt").declared_parameters()["space"].annotation
    assert get_args(declared) == (*SPACES, *VECTOR_SPACES)


@pytest.mark.parametrize("cls", [c for c in CLASSES if issubclass(c, NetworkMethod)])
def test_every_network_has_a_plan_for_every_budget(cls: type[NetworkMethod[Any]]) -> None:
    for budget in BUDGETS:
        plan = cls().plan(budget, 1000)
        assert plan.epochs >= 1 and plan.lr > 0, budget
