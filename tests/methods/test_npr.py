import numpy as np
import pytest
import torch
from torchvision.models import resnet50

from fpbench.images import ImageSet
from fpbench_methods.nn.attributor import count_parameters
from fpbench_methods.nn.npr_resnet import NPRResNet, neighbouring_residual
from fpbench_methods.npr import NPR


@pytest.mark.parametrize("size", [(8, 8), (9, 12)])
def test_residual_is_each_pixel_less_the_corner_of_its_cell(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    found = NPR().residual(ImageSet(pixels))
    expected = np.zeros(pixels.shape)
    for y in range(size[0] // 2 * 2):
        for x in range(size[1] // 2 * 2):
            corner = pixels[:, y // 2 * 2, x // 2 * 2].astype(float)
            expected[:, y, x] = pixels[:, y, x] - corner
    np.testing.assert_array_equal(found, expected)


def test_a_nearest_upsampled_image_has_no_residual() -> None:
    small = torch.rand(2, 3, 5, 7)
    up = torch.nn.functional.interpolate(small, scale_factor=2, mode="nearest")
    assert (neighbouring_residual(up) == 0).all()
    assert (neighbouring_residual(torch.roll(up, 1, dims=3)) != 0).any()


def test_the_network_is_half_of_torchvisions_resnet50() -> None:
    whole = resnet50(weights=None)
    stages = count_parameters(whole.layer1) + count_parameters(whole.layer2)
    stem = 3 * 64 * 9 + 2 * 64
    network = NPRResNet(7)
    assert count_parameters(network) == stem + stages + 512 * 7 + 7
    assert network.embed(torch.zeros(2, 3, 32, 32)).shape == (2, 512)


def test_the_blocks_compute_what_torchvisions_do() -> None:
    """Weights of torchvision's two stages, copied in order, give the same maps."""
    torch.manual_seed(0)
    whole = resnet50(weights=None).eval()
    network = NPRResNet(2).eval()
    stages = torch.nn.Sequential(whole.layer1, whole.layer2)
    source, target = stages.state_dict(), network.blocks.state_dict()
    assert [v.shape for v in source.values()] == [v.shape for v in target.values()]
    network.blocks.load_state_dict(dict(zip(target, source.values(), strict=True)))
    x = torch.randn(1, 64, 8, 8)
    with torch.no_grad():
        torch.testing.assert_close(network.blocks(x), stages(x), rtol=1e-4, atol=1e-4)
