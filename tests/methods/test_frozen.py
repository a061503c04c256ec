"""inception and clip-probe: frozen networks, read by logistic regression."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from scipy.ndimage import map_coordinates
from torch import Tensor

from fpbench.errors import BadInput
from fpbench.images import ImageSet, Source
from fpbench.method import FitContext, MethodDeclined
from fpbench_methods.clip_probe import ClipProbe
from fpbench_methods.inception import Inception
from fpbench_methods.nn import hub
from fpbench_methods.nn.fid_inception import FIDInception, _pooled, resize_as_tensorflow
from fpbench_methods.nn.transformer_blocks import TransformerBlocks

SOURCES = tuple(Source(name, "Synthetic", name) for name in "ab")


def random_set(count: int, seed: int = 0, size: int = 32) -> ImageSet:
    pixels = np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return ImageSet(pixels, SOURCES, np.arange(count) % 2)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unreachable(address: str) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(hub, "check_connection", unreachable)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("method", "command"),
    [
        (Inception(), r"curl --location --output FILE https://.*pt_inception-2015-12-05"),
        (ClipProbe(), r"hf download timm/vit_base_patch16_clip_224.laion2b model.safetensors"),
    ],
)
def test_without_weights_the_method_declines_and_says_how_to_get_them(
    method: Inception | ClipProbe, command: str
) -> None:
    images = random_set(4)
    with pytest.raises(MethodDeclined, match=command):
        method.fit(images, reference=images, validation=images, context=FitContext(budget="smoke"))


@pytest.mark.parametrize(("height", "width", "side"), [(8, 11, 20), (32, 32, 75), (40, 30, 16)])
def test_resizing_reads_pixel_i_at_i_times_the_scale(height: int, width: int, side: int) -> None:
    plane = np.random.default_rng(0).uniform(0, 255, (height, width))
    y, x = np.meshgrid(
        np.arange(side) * height / side, np.arange(side) * width / side, indexing="ij"
    )
    expected = map_coordinates(plane, [y, x], order=1, mode="nearest")
    found = resize_as_tensorflow(torch.from_numpy(plane).float()[None, None], side)
    np.testing.assert_allclose(found[0, 0].numpy(), expected, atol=1e-2)


def test_the_pool_leaves_out_what_is_beyond_the_border() -> None:
    assert (_pooled(torch.full((1, 1, 4, 4), 3.0)) == 3).all()
    ramp = torch.arange(9.0).reshape(1, 1, 3, 3)
    assert float(_pooled(ramp)[0, 0, 0, 0]) == (0 + 1 + 3 + 4) / 4


@pytest.fixture(scope="module")
def inception_network() -> FIDInception:
    torch.manual_seed(0)
    return FIDInception(75).eval()


def test_the_network_below_its_head_has_the_size_of_inception_v3(
    inception_network: FIDInception,
) -> None:
    """Keras counts 21,768,352 trainable weights without the 17,216 scales of normalisation."""
    count = sum(p.numel() for p in inception_network.parameters())
    assert count == 21_768_352 + 17_216
    with torch.no_grad():
        features = inception_network(torch.zeros(1, 3, 32, 32))
    assert features.shape == (1, 2048)


def test_inception_features_read_from_a_file(
    inception_network: FIDInception, tmp_path: Path
) -> None:
    path = tmp_path / "fid.pth"
    torch.save(inception_network.net.state_dict(), path)
    images = random_set(8)
    method = Inception(weights=str(path)).fit(
        images, reference=images, validation=images, context=FitContext(budget="smoke")
    )
    pixels = torch.from_numpy(images.pixels.copy()).permute(0, 3, 1, 2).float()
    with torch.no_grad():
        expected = inception_network(pixels).numpy()
    np.testing.assert_allclose(method.features(images.pixels), expected, atol=1e-3)
    method.save(tmp_path / "saved")
    loaded = Inception.load(tmp_path / "saved")
    np.testing.assert_allclose(
        loaded.predict_proba(images), method.predict_proba(images), atol=1e-6
    )


def test_a_file_without_the_fid_weights_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, tmp_path / "other.pth")
    images = random_set(4)
    with pytest.raises(BadInput, match=r"does not hold the FID weights: .* is missing"):
        Inception(weights=str(tmp_path / "other.pth")).fit(
            images, reference=images, validation=images, context=FitContext(budget="smoke")
        )


def test_inception_equals_torch_fidelity(inception_network: FIDInception) -> None:
    fidelity = pytest.importorskip(
        "torch_fidelity.feature_extractor_inceptionv3",
        reason="compares with torch-fidelity, which is not installed",
    )
    other = fidelity.FeatureExtractorInceptionV3.__new__(
        fidelity.FeatureExtractorInceptionV3
    )  # its constructor downloads weights
    torch.nn.Module.__init__(other)
    for name, block in (
        ("Mixed_5b", fidelity.InceptionA(192, 32)),
        ("Mixed_6b", fidelity.InceptionC(768, 128)),
        ("Mixed_7b", fidelity.InceptionE_1(1280)),
        ("Mixed_7c", fidelity.InceptionE_2(2048)),
    ):
        ours = getattr(inception_network.net, name)
        block.load_state_dict(ours.state_dict())
        channels = next(iter(ours.state_dict().values())).shape[1]
        x = torch.randn(1, channels, 5, 6)
        with torch.no_grad():
            torch.testing.assert_close(block.eval()(x), ours.eval()(x))


def transformer(**options: object) -> TransformerBlocks:
    torch.manual_seed(0)
    settings: dict[str, object] = {"crop": False, "pretrained": False, "weights": None}
    return TransformerBlocks("test_vit", 32, **{**settings, **options}).eval()  # type: ignore[arg-type]


def test_tokens_are_what_leaves_each_block() -> None:
    network = transformer()
    seen: list[Tensor] = []
    for block in network.body.blocks:
        block.register_forward_hook(lambda _module, _inputs, output: seen.append(output[:, 0]))
    x = torch.randn(3, 3, 32, 32)
    with torch.no_grad():
        network.body.forward_features(x)
        expected = torch.stack(seen[: network.depth], dim=1)
        torch.testing.assert_close(network.tokens(x), expected)
        torch.testing.assert_close(network.tokens(x, 1), expected[:, 1])


def test_positions_of_pretrained_weights_are_interpolated(tmp_path: Path) -> None:
    source = timm.create_model("test_vit")
    torch.save(source.state_dict(), tmp_path / "vit.pth")
    network = transformer(pretrained=True, weights=str(tmp_path / "vit.pth"))
    torch.testing.assert_close(
        network.body.state_dict()["blocks.0.attn.qkv.weight"],
        source.state_dict()["blocks.0.attn.qkv.weight"],
    )
    assert network.body.pos_embed.shape[1] < source.pos_embed.shape[1]


def test_the_block_is_the_best_one_on_validation() -> None:
    """A source that differs in brightness is told apart by the block that shows it best."""
    images = random_set(40)
    pixels = images.pixels.copy()
    pixels[images.labels == 1] //= 2
    images = ImageSet(pixels, SOURCES, images.labels)
    method = ClipProbe(backbone="test_vit", pretrained=False, side=32).fit(
        images, reference=images, validation=images, context=FitContext(budget="small")
    )
    proba = method.predict_proba(images.unlabelled())
    assert (proba.argmax(axis=1) == images.labels).mean() > 0.95
    fixed = ClipProbe(backbone="test_vit", pretrained=False, side=32, block=method._block).fit(
        images, reference=images, validation=images, context=FitContext(budget="small")
    )
    np.testing.assert_allclose(fixed.predict_proba(images), proba, atol=1e-6)


def test_cropping_needs_images_that_are_large_enough() -> None:
    images = random_set(4)
    method = ClipProbe(backbone="test_vit", pretrained=False, crop=True, side=64)
    with pytest.raises(MethodDeclined, match="cannot cut 64x64 pixels out of 32x32"):
        method.fit(images, reference=images, validation=images, context=FitContext())
    large = torch.zeros(1, 3, 48, 50, dtype=torch.uint8)
    large[..., 8:40, 9:41] = 255
    prepared = transformer(crop=True).prepare(large)
    assert prepared.shape == (1, 3, 32, 32)
    assert (prepared == prepared[0, :, 0, 0].view(1, 3, 1, 1)).all()


def test_a_block_beyond_the_last_is_refused() -> None:
    images = random_set(4)
    with pytest.raises(ValueError, match=r"block=99: test_vit has \d+ blocks"):
        ClipProbe(backbone="test_vit", pretrained=False, block=99).fit(
            images, reference=images, validation=images, context=FitContext(budget="smoke")
        )
