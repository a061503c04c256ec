"""What a method's residual pictures are called."""

from fpbench_methods.manifpt import ManiFPT
from fpbench_methods.prnu import PRNU


def test_pictures_name_what_they_show() -> None:
    assert ManiFPT.residual_names == ("nearest real image", "artifact")
    assert PRNU.residual_names == ("denoised image", "residual")
