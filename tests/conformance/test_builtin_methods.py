"""The built-in methods pass the checks that every method must pass."""

import pytest

from fpbench import registry
from fpbench.conformance import check_method

DEFAULTS = [(name, registry.method_class(name).card.default_variant)
            for name in registry.method_names()]  # fmt: skip
VARIANTS = [
    (name, variant)
    for name, default in DEFAULTS
    for variant in registry.method_class(name).card.variants
    if variant != default
]


def _named(cases: list[tuple[str, str]]) -> list[object]:
    return [pytest.param(*case, id=":".join(case)) for case in cases]


def _require_no_fault(name: str, variant: str, *, thorough: bool) -> None:
    results = check_method(registry.method_class(name), variant, thorough=thorough)
    faults = [f"{r.name}: {r.message}" for r in results if r.status == "failed"]
    assert faults == []
    declined = [r.message for r in results if "not evaluated: " in r.message]
    if declined:
        pytest.skip(declined[0])


@pytest.mark.parametrize(("name", "variant"), _named(DEFAULTS))
def test_passes_the_quick_checks(name: str, variant: str) -> None:
    _require_no_fault(name, variant, thorough=False)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "variant"), _named(DEFAULTS + VARIANTS))
def test_passes_all_checks(name: str, variant: str) -> None:
    _require_no_fault(name, variant, thorough=True)
