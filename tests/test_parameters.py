"""Parameters are what a constructor's annotations and defaults say, and nothing else."""

import json
import math
from collections.abc import Sequence
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

import numpy as np
import pytest
from numpy.typing import NDArray

from fpbench.errors import BadInput
from fpbench.images import ImageSet
from fpbench.method import File, FitContext, Method, MethodCard, Range, Variant
from fpbench.parameters import described

if TYPE_CHECKING:
    from nowhere import Net  # type: ignore[import-not-found]


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Plain(Method):
    """What a plugin may declare."""

    card: ClassVar[MethodCard] = MethodCard(
        name="plain", title="t", authors="a", year=2026, citation="c", licence="MIT", version="1",
        variants={"default": Variant("d"), "wide": Variant("w", {"count": 9, "flag": True})},
    )  # fmt: skip

    def __init__(
        self,
        *,
        count: Annotated[int, Range(1, 64)] = 8,
        rate: Annotated[float | None, Range(above=0)] = None,
        flag: bool = False,
        mode: Literal["sum", "mean"] = "sum",
        side: Literal[8, 16] | None = None,
        name: str = "x",
        weights: Annotated[str | None, File()] = None,
        folder: Path | None = None,
        parts: Sequence[float] = (1.0,),
        colour: Colour = Colour.RED,
        net: "Net | None" = None,
        bare=3,  # type: ignore[no-untyped-def]
        bare_flag=True,  # type: ignore[no-untyped-def]
    ) -> None:
        self.folder = folder
        self.colour = colour

    def fit(
        self, train: ImageSet, *, reference: ImageSet, validation: ImageSet, context: FitContext
    ) -> Self:
        return self

    def embed(self, images: ImageSet) -> NDArray[np.float32]:
        return np.zeros((len(images), 1), np.float32)


@pytest.mark.parametrize(
    ("name", "given", "read"),
    [
        ("count", "3", 3),
        ("count", 3.0, 3),
        ("count", 1e1, 10),
        ("rate", 3, 3.0),
        ("rate", "1e-3", 1e-3),
        ("flag", "True", True),
        ("flag", "true", True),
        ("flag", True, True),
        ("flag", 1, True),
        ("mode", "mean", "mean"),
        ("side", 8, 8),
        ("side", "16", 16),
        ("name", "7", "7"),
        ("weights", "w.pth", "w.pth"),
        ("folder", "f", "f"),
        ("parts", [1, 2], [1.0, 2.0]),
        ("parts", "[1, 2.5]", [1.0, 2.5]),
        ("colour", "green", "green"),
        ("net", {"a": 1}, {"a": 1}),
        ("bare", "4", 4),
        ("bare_flag", "no", False),
    ],
)
def test_values_become_json_of_the_declared_type(name: str, given: Any, read: Any) -> None:
    found = Plain.read_parameters({name: given})
    assert found == {name: read}
    assert type(found[name]) is type(read)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert Plain.read_parameters(found) == found, "reading twice changes nothing"


@pytest.mark.parametrize(
    ("name", "given", "allowed"),
    [
        ("count", 2.5, "a whole number from 1 to 64"),
        ("count", 0, "from 1 to 64"),
        ("count", 65, "from 1 to 64"),
        ("count", 1e30, "from 1 to 64"),
        ("count", 10**400, "from 1 to 64"),
        ("count", True, "from 1 to 64"),
        ("count", None, "from 1 to 64"),
        ("count", "four", "count='four' is not possible"),
        ("rate", 0, "a number above 0, or none"),
        ("rate", math.nan, "above 0"),
        ("rate", "NaN", "above 0"),
        ("rate", math.inf, "above 0"),
        ("rate", "Infinity", "above 0"),
        ("rate", False, "above 0"),
        ("flag", "maybe", "true or false"),
        ("flag", "", "true or false"),
        ("flag", 2, "true or false"),
        ("mode", "median", "sum or mean"),
        ("mode", 1, "sum or mean"),
        ("side", 12, "8 or 16, or none"),
        ("name", 7, "a text"),
        ("weights", [], "a file, or none"),
        ("parts", ["a"], "parts"),
        ("parts", [math.nan], "parts"),
        ("colour", "blue", "red or green"),
        ("net", math.nan, "a finite value"),
        ("net", {"a": [math.inf]}, "a finite value"),
        ("bare", 2.5, "a whole number"),
    ],
)
def test_other_values_are_refused_with_what_is_allowed(name: str, given: Any, allowed: str) -> None:
    with pytest.raises(BadInput) as told:
        Plain.read_parameters({name: given})
    assert allowed in str(told.value) and name in str(told.value) and "'plain'" in str(told.value)
    assert len(str(told.value)) < 200


def test_an_unknown_parameter_names_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"no parameter 'cuont'\. Did you mean count"):
        Plain.read_parameters({"cuont": 3})


@pytest.mark.parametrize(
    ("variant", "given", "read"),
    [
        (None, {"count": 8, "rate": None, "flag": "false", "mode": "sum"}, {}),
        (None, {"rate": "none", "side": "null", "weights": "None", "parts": [1]}, {}),
        (None, {"colour": "red", "bare": 3}, {}),
        ("wide", {"count": 9, "flag": "true"}, {}),
        ("wide", {"count": 8}, {"count": 8}),
        (None, {"count": 9}, {"count": 9}),
    ],
)
def test_what_the_variant_has_anyway_is_left_out(
    variant: str | None, given: dict[str, Any], read: dict[str, Any]
) -> None:
    assert Plain.read_parameters(given, variant) == read


def test_make_gives_the_constructor_what_it_declares() -> None:
    made = Plain.make("wide", {"folder": "here", "colour": "green"})
    assert isinstance(made, Plain)
    assert made.folder == Path("here") and made.colour is Colour.GREEN
    assert made.arguments["count"] == 9 and made.arguments["flag"] is True
    assert made.arguments["mode"] == "sum"


def test_an_instance_made_in_python_is_checked_but_not_converted() -> None:
    assert Plain(count=np.int64(3)).arguments["count"] == 3  # type: ignore[arg-type]
    assert Plain(rate=np.float32(0.5), weights=Path("w")).arguments["weights"] == "w"  # type: ignore[arg-type]
    for wrong in ({"count": "3"}, {"flag": "False"}, {"flag": 1}, {"count": 0}, {"rate": math.nan}):
        with pytest.raises(BadInput, match=next(iter(wrong))):
            Plain(**wrong)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="unexpected keyword"):
        Plain(cuont=3)  # type: ignore[call-arg]


def test_a_method_without_parameters_takes_none() -> None:
    class Fixed(Method):
        card = Plain.card
        fit, embed = Plain.fit, Plain.embed  # type: ignore[assignment]

    assert Fixed().arguments == {} == Fixed.parameters()
    with pytest.raises(TypeError, match="Fixed takes no parameters"):
        Fixed(count=3)


def test_files_are_known() -> None:
    assert Plain.file_parameters() == ("weights", "folder")


class Base(Plain):
    def __init__(self, *, count: Annotated[int, Range(2, 4)] = 2, **others: Any) -> None:
        super().__init__(count=count, **others)


def test_a_constructor_hands_others_to_its_base() -> None:
    assert Base.parameters().keys() == Plain.parameters().keys()
    assert Base.parameters()["count"] == 2
    with pytest.raises(BadInput, match="from 2 to 4"):
        Base.read_parameters({"count": 8})
    with pytest.raises(BadInput, match="sum or mean"):
        Base.read_parameters({"mode": "max"})


def test_required_parameters_are_never_left_out() -> None:
    class Needs(Plain):
        def __init__(self, *, weights: Annotated[str | None, File()]) -> None:
            super().__init__()

    assert Needs.read_parameters({"weights": None}) == {"weights": None}


def test_ranges_in_words() -> None:
    assert described(Annotated[int, Range(2)]) == "a whole number at least 2"
    assert described(Annotated[float, Range(above=0, most=1)]) == "a number above 0 and at most 1"
    assert described(Literal["a", "b", "c"]) == "a, b or c"


class Other(Plain):
    """A variant's class needs no card."""

    residual_names = ("this", "that")

    def __init__(self, *, depth: int = 1) -> None:
        super().__init__()


class Owner(Plain):
    card = MethodCard(
        name="owner", title="t", authors="a", year=2026, citation="c", licence="MIT", version="1",
        variants={"own": Variant("o"), "other": Variant("x", {"depth": 2}, cls=Other)},
    )  # fmt: skip


def test_a_variant_may_be_a_class_of_its_own() -> None:
    assert Owner.variant_class() is Owner and Owner.variant_class("other") is Other
    made = Owner.make("other")
    assert type(made) is Other and made.arguments == {"depth": 2}
    assert Owner.read_parameters({"depth": 2}, "other") == {}
    assert Owner.read_parameters({"depth": 1}, "other") == {"depth": 1}
    with pytest.raises(BadInput, match="no parameter 'count'"):
        Owner.read_parameters({"count": 2}, "other")


def test_a_class_without_a_card_is_given_its_methods() -> None:
    class Bare(Method):
        fit, embed = Plain.fit, Plain.embed  # type: ignore[assignment]

    assert not hasattr(Bare, "card")

    class Owning(Plain):
        card = MethodCard(
            name="owning", title="t", authors="a", year=2026, citation="c", licence="MIT",
            version="1", variants={"bare": Variant("b", cls=Bare)},
        )  # fmt: skip

    assert Bare.card is Owning.card
    assert type(Owning.make()) is Bare
