"""The table: complete, honest about its design, and importable without torch."""

import subprocess
import sys

import pytest

from fpbench.errors import BadInput
from fpbench.images import FAMILIES
from fpbench.zoo.table import DESIGN_KEYS, model, models

NAMES = list(models())


def test_listing_the_models_imports_nothing_heavy():
    code = (
        "import sys; from fpbench.zoo.table import models; models(); "
        "print([m for m in ('torch', 'diffusers', 'scipy', 'safetensors') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_family_is_there_with_several_members():
    families = [row.family for row in models().values()]
    assert set(families) <= set(FAMILIES)
    counts = {family: families.count(family) for family in set(families)}
    assert counts == {"VAE": 5, "GAN": 13, "Flow": 3, "Score": 5}


@pytest.mark.parametrize("name", NAMES)
def test_rows_say_what_they_are(name):
    row = model(name)
    assert row.name == name and name.endswith("-small")
    assert tuple(row.design) == DESIGN_KEYS and all(row.design.values())
    assert "arXiv:" in row.citation or "OpenReview" in row.citation
    assert row.summary.endswith(".")
    assert 0 < row.training.minutes <= 15


def test_no_two_rows_share_architecture_or_all_design_choices():
    rows = models().values()
    assert len({row.architecture for row in rows}) == len(rows)
    assert len({tuple(row.design.values()) for row in rows}) == len(rows)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(BadInput, match=r"no model 'dcgan-smal'.*dcgan-small"):
        model("dcgan-smal")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [32, 64])
def test_every_row_draws_images_of_the_size_asked_for(name, size):
    import torch

    torch.manual_seed(0)
    net = model(name).build(size).eval()
    parameters = sum(p.numel() for p in net.parameters())
    assert 100_000 < parameters < 3_000_000
    if hasattr(net, "sampling_steps"):
        net.sampling_steps = 2
    with torch.inference_mode():
        drawn = net.draw(2)
    assert drawn.shape == (2, 3, size, size)
    assert torch.isfinite(drawn).all()


@pytest.mark.parametrize("name", NAMES)
def test_a_size_that_does_not_fit_is_refused_in_a_sentence(name):
    with pytest.raises(BadInput, match=f"{name} cannot make 33x33 images"):
        model(name).build(33)


UPSAMPLERS = {
    "transposed convolution": "ConvTranspose2d",
    "nearest": "Upsample",
    "bilinear": "Upsample",
    "pixel shuffle": "PixelShuffle",
}
NORMALISERS = {
    "batch": "BatchNorm2d",
    "layer": "GroupNorm",
    "group": "GroupNorm",
    "instance": "InstanceNorm2d",
    "pixel": "PixelNorm",
    "act": "ActNorm",
}


@pytest.mark.parametrize("name", NAMES)
def test_the_part_that_makes_the_image_is_built_as_the_design_says(name):
    row = model(name)
    net = row.build(32)
    part = next(
        net.get_submodule(part)
        for part in ("generator", "decoder", "denoiser", "flow", "ladder")
        if hasattr(net, part)
    )
    found = {type(module).__name__ for module in part.modules()}
    for table, key in ((UPSAMPLERS, "upsampling"), (NORMALISERS, "normalisation")):
        said = table.get(row.design[key])
        others = set(table.values()) - {said}
        if row.design[key] in ("nearest", "bilinear") and said not in found:
            # ProGAN's and diffusers' nets enlarge by a function, not by a module.
            assert name in ("progan-small", "ddpm-small")
        elif said is not None:
            assert said in found
        if name == "stylegan2-small":
            # Its mapping network normalises the latent vector, not features of the image.
            others -= {"PixelNorm"}
        assert not others & found
    modes = {m.mode for m in part.modules() if type(m).__name__ == "Upsample"}
    assert modes <= {row.design["upsampling"]}
