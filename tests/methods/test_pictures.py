"""What a method's residual pictures are called."""

import pytest

from fpbench_methods.manifpt import ManiFPT
from fpbench_methods.prnu import PRNU
from fpbench_methods.riemann import Riemann


def test_pictures_name_what_they_show() -> None:
    assert ManiFPT.residual_names == ("nearest real image", "artifact")
    assert PRNU.residual_names == ("denoised image", "residual")


@pytest.mark.parametrize(
    ("projection", "shown"),
    [
        ("centre", "projection onto real images"),
        ("reconstruction", "reconstruction"),
        ("blur", "image after a Gaussian blur"),
        ("none", "nothing"),
    ],
)
def test_pictures_of_riemann_claim_no_manifold_that_was_not_asked(
    projection: str, shown: str
) -> None:
    assert Riemann(projection=projection).residual_names[0] == shown  # type: ignore[arg-type]
