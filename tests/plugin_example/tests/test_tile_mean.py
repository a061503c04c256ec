"""The checks that every method on a board passes."""

import pytest
from fpbench.conformance import checks_for

from tile_mean import TileMean


@pytest.mark.parametrize("check", checks_for(TileMean), ids=repr)
def test_conforms(check):
    check()
