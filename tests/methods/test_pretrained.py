"""wang and marra18, and where pretrained weights come from."""

import hashlib
import io
import re
import socket
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter1d
from torchvision.models import resnet50

from fpbench.compute.weights import note_weights, weights_noted
from fpbench.errors import BadInput
from fpbench.files import file_sha256
from fpbench.images import ImageSet, Source
from fpbench.method import FitContext, MethodDeclined
from fpbench_methods.marra18 import Marra18
from fpbench_methods.nn import augmentation, fid_inception, hub, pins
from fpbench_methods.nn.attributor import count_parameters
from fpbench_methods.nn.pins import Pin
from fpbench_methods.nn.pretrained import create_timm, read_weights, standardised
from fpbench_methods.wang import Wang

SOURCES = tuple(Source(name, "Synthetic", name) for name in "ab")


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No connection and empty caches."""

    def unreachable(address: str) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(hub, "check_connection", unreachable)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_, **__: None)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))


def random_set(count: int, size: int = 32) -> ImageSet:
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)
    return ImageSet(pixels, SOURCES, np.arange(count) % 2)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(
    ("method", "command"),
    [
        (Wang(), r"hf download timm/resnet50.tv_in1k model.safetensors"),
        (Marra18(), r"curl --location --output FILE https://.*xception"),
    ],
)
def test_without_weights_the_method_declines_and_says_how_to_get_them(
    method: Wang | Marra18, command: str
) -> None:
    images = random_set(4)
    with pytest.raises(MethodDeclined, match=command) as told:
        method.fit(images, reference=images, validation=images, context=FitContext())
    assert "no route to host" in str(told.value)
    assert "--set weights=FILE" in str(told.value)
    assert "--set pretrained=false" in str(told.value)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_weights_come_from_a_file_with_a_head_of_another_size(suffix: str, tmp_path: Path) -> None:
    source = timm.create_model("test_resnet", num_classes=1000)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(source.state_dict(), path)
    else:
        save_file(source.state_dict(), path)
    network = create_timm("test_resnet", pretrained=True, weights=str(path), num_classes=3)
    assert network.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 3)
    for (name, value), (_, expected) in zip(
        network.state_dict().items(), source.state_dict().items(), strict=True
    ):
        if not name.startswith("fc."):
            torch.testing.assert_close(value, expected)


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), path)
    with pytest.raises(BadInput, match=r"does not hold the weights of test_vit: cls_token .* is m"):
        create_timm("test_vit", pretrained=True, weights=str(path))


def test_files_that_hold_no_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MethodDeclined, match="no file of weights"):
        read_weights(tmp_path / "none.pth")
    text = tmp_path / "text.pth"
    text.write_text("no weights", encoding="utf-8")
    with pytest.raises(BadInput, match="cannot be read as weights"):
        read_weights(text)
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(BadInput, match="no state dict"):
        read_weights(tmp_path / "list.pth")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"nothing")
    with pytest.raises(BadInput, match="no safetensors file"):
        read_weights(broken)


class Boom:
    """Would create a file while being unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


def test_a_file_of_weights_runs_no_code(tmp_path: Path) -> None:
    torch.save({"weight": Boom(tmp_path / "ran")}, tmp_path / "evil.pth")
    with pytest.raises(BadInput, match="cannot be read as weights"):
        read_weights(tmp_path / "evil.pth")
    assert not (tmp_path / "ran").exists()


def test_downloads_come_from_the_cache_where_they_are_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    kept = tmp_path / "checkpoints" / "net-12345678.pth"
    kept.write_bytes(b"kept")
    address, digest = "https://weights.invalid/net-12345678.pth", file_sha256(kept)
    assert hub.url_file(address, digest) == hub.url_file(address, digest[:8]) == kept
    with pytest.raises(OSError, match=r"has the SHA-256 .*: remove the file"):
        hub.url_file(address, "12345678")
    monkeypatch.setattr("urllib.request.getproxies", dict)
    with pytest.raises(OSError, match=r"."):
        hub.url_file("https://weights.invalid/other-12345678.pth", "12345678")


@pytest.mark.parametrize("known", [True, False])
def test_weights_of_the_hub_are_those_of_the_pinned_commit(
    known: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commit, other = "a" * 40, "b" * 40
    for name in (commit, other):
        path = tmp_path / "models--timm--net" / "snapshots" / name / "model.safetensors"
        path.parent.mkdir(parents=True)
        path.write_bytes(name.encode())
    refs = tmp_path / "models--timm--net" / "refs"
    refs.mkdir()
    (refs / "main").write_text(other)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    digest = hashlib.sha256(commit.encode()).hexdigest()
    monkeypatch.setattr(pins, "PINS", {"timm/net": Pin(commit, digest)} if known else {})
    with weights_noted() as noted:
        found = hub.hub_file("timm/net", "model.safetensors")
        note_weights(found)
    assert found.read_text() == (commit if known else other)
    (named,) = noted
    assert named == f"timm/net@{commit if known else other}/model.safetensors"
    # Another content under the pinned commit, e.g. of a mirror or a broken disk, is refused.
    found.write_bytes(b"something else")
    if known:
        with pytest.raises(OSError, match="but timm/net has"):
            hub.hub_file("timm/net", "model.safetensors")


def test_pins_are_whole_commits_and_hashes_of_what_methods_read() -> None:
    for repository, pin in pins.PINS.items():
        cfg = timm.get_pretrained_cfg(repository.removeprefix("timm/"))
        assert cfg is not None and cfg.hf_hub_id == repository
        assert pin.commit is None or re.fullmatch("[0-9a-f]{40}", pin.commit)
        assert pin.sha256 is None or re.fullmatch("[0-9a-f]{64}", pin.sha256)
    assert fid_inception.ADDRESS.endswith(f"-{fid_inception.DIGEST[:8]}.pth")
    assert len(fid_inception.DIGEST) == 64


def test_a_connection_is_tried_at_the_address_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("urllib.request.getproxies", dict)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        hub.check_connection(f"http://127.0.0.1:{port}/api")
    with pytest.raises(OSError, match=r"."):
        hub.check_connection(f"http://127.0.0.1:{port}/api")


def test_wang_is_a_resnet50_of_k_logits() -> None:
    images = random_set(4)
    method = Wang(pretrained=False).fit(
        images, reference=images, validation=images, context=FitContext(budget="smoke")
    )
    whole = count_parameters(resnet50(weights=None)) - (2048 * 1000 + 1000)
    assert method.parameter_count() == whole + 2048 * 2 + 2
    assert method.embed(random_set(2, 40)).shape == (2, 2048)


def test_marra18_is_the_xception_of_its_paper() -> None:
    """20,806,952 trainable weights below the head, as Keras counts them."""
    method = Marra18(pretrained=False)
    network = method.build(5, initial=True)
    assert count_parameters(network) == 20_806_952 + 2048 * 5 + 5
    with torch.no_grad():
        assert network.eval().embed(torch.zeros(1, 3, 32, 32)).shape == (1, 2048)


def test_normalisation_is_imagenets() -> None:
    batch = torch.full((1, 3, 2, 2), 255, dtype=torch.uint8)
    found = standardised(batch)[0, :, 0, 0]
    torch.testing.assert_close(
        found, (1 - torch.tensor([0.485, 0.456, 0.406])) / torch.tensor([0.229, 0.224, 0.225])
    )


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.9])
def test_blur_is_that_of_scipy(sigma: float) -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 17, 3), dtype=np.uint8)
    smooth = image.astype(float)
    for axis in (0, 1):
        smooth = gaussian_filter1d(smooth, sigma, axis=axis, mode="nearest", truncate=4.0)
    found = augmentation.gaussian_blur(torch.from_numpy(image).permute(2, 0, 1), sigma)
    np.testing.assert_allclose(found.permute(1, 2, 0).numpy(), smooth, atol=0.51)


def test_compression_is_that_of_pillow() -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=40)
    expected = np.array(Image.open(stream))
    found = augmentation.jpeg(torch.from_numpy(image).permute(2, 0, 1), 40)
    np.testing.assert_array_equal(found.permute(1, 2, 0).numpy(), expected)


def test_blur_and_compression_come_as_often_as_wanted() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (200, 8, 8, 3), dtype=np.uint8)
    batch = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    torch.manual_seed(3)
    assert (augmentation.blur_or_compress(batch, 0.0) == batch).all()
    torch.manual_seed(3)
    changed = augmentation.blur_or_compress(batch, 0.5)
    share = (changed != batch).flatten(1).any(dim=1).float().mean()
    # One of the two at least: 3/4, less a few blurs too narrow to change anything.
    assert 0.6 < share < 0.85
    torch.manual_seed(3)
    assert (augmentation.blur_or_compress(batch, 0.5) == changed).all()


def test_crops_have_the_wanted_size_and_place() -> None:
    batch = torch.arange(10 * 12).reshape(1, 1, 10, 12).expand(50, 3, 10, 12)
    centre = augmentation.centre_crop(batch, 4)
    assert centre.shape == (50, 3, 4, 4)
    assert centre[0, 0, 0, 0] == 3 * 12 + 4
    torch.manual_seed(0)
    crops = augmentation.random_crop(batch, 4)
    corners = crops[:, 0, 0, 0]
    assert ((crops - corners.view(50, 1, 1, 1)) == (centre - centre[0, 0, 0, 0])).all()
    assert len(corners.unique()) > 20
    assert augmentation.random_crop(batch, 20).shape == batch.shape
