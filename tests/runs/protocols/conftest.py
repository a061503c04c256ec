"""A folder of images whose sources differ by a planted tile, and methods that find it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fpbench import registry
from fpbench.images import ImageSet
from fpbench.method import FitContext, Method, MethodCard, Variant
from fpbench.runs.execute import loaded

SOURCES = {
    "real": None,
    "dcgan-1": ("GAN", "DCGAN"),
    "dcgan-2": ("GAN", "DCGAN"),
    "wgan": ("GAN", "WGAN"),
    "vae-1": ("VAE", "VAE"),
    "vae-2": ("VAE", "NVAE"),
    "glow": ("Flow", "Glow"),
}
COUNT, REAL_COUNT, SIDE = 60, 90, 16


def write_dataset(folder: Path, described: bool = True, side: int = SIDE) -> Path:
    """One folder of PNG files a source, each source with a weak tile of its own."""
    rng = np.random.default_rng(0)
    lines = []
    for name, about in SOURCES.items():
        (folder / name).mkdir(parents=True)
        tile = rng.normal(0, 6, (4, 4, 3)) if about else np.zeros((4, 4, 3))
        planted = np.tile(tile, (side // 4 + 1, side // 4 + 1, 1))[:side, :side]
        for index in range(COUNT if about else REAL_COUNT):
            pixels = rng.normal(128, 10, (side, side, 3)) + planted
            image = Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))
            image.save(folder / name / f"{index:03}.png")
        if about:
            lines.append(f"{name}: {{family: {about[0]}, architecture: {about[1]}}}\n")
    if described:
        (folder / "sources.yaml").write_text("".join(lines), "utf-8")
    return folder


class Tiles(Method):
    """Correlates the mean tile of an image with those of the sources."""

    card = MethodCard(
        name="tiles", title="t", authors="a", year=2026, citation="c", licence="MIT",
        version="1", variants={"only": Variant("the only one")}, min_size=4,
    )  # fmt: skip
    trained: list[ImageSet]
    shown: list[ImageSet]
    fitted: "Tiles"

    def fit(
        self, train: ImageSet, *, reference: ImageSet, validation: ImageSet, context: FitContext
    ) -> "Tiles":
        type(self).trained = [train, validation, reference]
        type(self).shown, type(self).fitted = [], self
        rows = self.rows(train)
        self.mean = rows.mean(axis=0)
        self.centres = np.stack(
            [rows[train.labels == k].mean(axis=0) - self.mean for k in range(len(train.sources))]
        )
        return self

    def rows(self, images: ImageSet) -> Any:
        n, h, w, c = images.pixels.shape
        cut = images.pixels[:, : h // 4 * 4, : w // 4 * 4]
        return cut.reshape(n, h // 4, 4, w // 4, 4, c).mean(axis=(1, 3)).reshape(n, -1)

    def embed(self, images: ImageSet) -> Any:
        return (self.rows(images) - self.mean).astype(np.float32)

    def predict_proba(self, images: ImageSet) -> Any:
        type(self).shown.append(images)
        distance = np.linalg.norm(self.embed(images)[:, None] - self.centres, axis=2)
        score = np.exp(distance.min(axis=1, keepdims=True) - distance)
        return (score / score.sum(axis=1, keepdims=True)).astype(np.float32)


class TilesProbe(Tiles):
    """The same without probabilities."""

    predict_proba = Method.predict_proba


class TilesOwn(Tiles):
    """The same with a measure of its own of how unknown an image looks."""

    def unknown_score(self, images: ImageSet) -> Any:
        distance = np.linalg.norm(self.embed(images)[:, None] - self.centres, axis=2)
        return distance.min(axis=1).astype(np.float32)


class Constant(TilesProbe):
    """The same fingerprint for every image."""

    def embed(self, images: ImageSet) -> Any:
        return np.ones((len(images), 6), np.float32)


METHODS = {"tiles": Tiles, "tiles-probe": TilesProbe, "tiles-own": TilesOwn, "constant": Constant}


@pytest.fixture
def methods(monkeypatch: pytest.MonkeyPatch) -> dict[str, type[Tiles]]:
    """The methods above, by the names that they are registered under."""

    def resolve(name: str) -> tuple[type[Method], str]:
        return METHODS[name], "only"

    monkeypatch.setattr(registry, "method_class", lambda name: METHODS[name])
    monkeypatch.setattr(registry, "resolve_method", resolve)
    monkeypatch.setattr(registry, "method_origin", lambda name: "tests")
    return METHODS


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of images, by its path."""
    return str(write_dataset(tmp_path_factory.mktemp("data") / "tiny"))


@pytest.fixture(scope="session")
def undescribed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same images, of which nobody says what made them."""
    return str(write_dataset(tmp_path_factory.mktemp("data") / "bare", described=False))


@pytest.fixture
def dataset_of_side(tmp_path: Path) -> Callable[[int], Path]:
    """Makes a folder of images of so many pixels a side."""
    return lambda side: write_dataset(tmp_path / f"side-{side}", side=side)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache that these tests have for themselves."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FPBENCH_CACHE", str(folder))
        loaded.clear()
        yield folder
    loaded.clear()
