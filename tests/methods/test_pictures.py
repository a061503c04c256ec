"""What a method's residual pictures are called."""

import pytest

from fpbench_methods.manifpt import ManiFPT
from fpbench_methods.prnu import PRNU
from fpbench_methods.resnet20 import ResNet20
from fpbench_methods.riemann import Riemann


def test_pictures_name_what_they_show() -> None:
    assert ManiFPT.residual_names == ("nearest real image", "artifact")
    assert PRNU.residual_names == ("denoised image", "residual")


@pytest.mark.parametrize(
    ("shown_to", "named"),
    [
        ("image", "nothing"),
        ("highpass", "image after a Gaussian blur"),
        ("vae-residual", "reconstruction"),
    ],
)
def test_pictures_claim_no_manifold_that_was_not_asked(shown_to: str, named: str) -> None:
    assert Riemann.residual_names[0] == "projection onto real images"
    assert ResNet20(input=shown_to).residual_names[0] == named  # type: ignore[arg-type]
