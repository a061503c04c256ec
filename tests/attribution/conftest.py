"""A small dataset of planted patterns in a folder, and models fitted on it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from fpbench.attribution.fitting import fit_model
from fpbench.attribution.model import FittedModel, load_model
from fpbench.conformance.planted import PlantedSets, planted_sets

SIZE = (16, 16)


@pytest.fixture(scope="session")
def planted() -> PlantedSets:
    """Real images, two sources with a strong pattern each, and test images of all three."""
    return planted_sets(SIZE, kind="pattern", planted=2, counts=(150, 2, 60), reference=100, seed=5)


@pytest.fixture(scope="session")
def dataset(planted: PlantedSets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder of PNG images a source; 22 of each become validation images, 33 of Real."""
    folder = tmp_path_factory.mktemp("planted")
    for k, source in enumerate(planted.train.sources):
        own = planted.train.pixels[planted.train.labels == k]
        (folder / source.name).mkdir()
        for index, pixels in enumerate(own):
            Image.fromarray(pixels).save(folder / source.name / f"{index:03}.png")
    for index, pixels in enumerate(planted.reference.pixels):
        Image.fromarray(pixels).save(folder / "real" / f"r{index:03}.png")
    return folder


@pytest.fixture(scope="session")
def fitted(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> FittedModel:
    """``prnu`` on the dataset; read only."""
    folder = tmp_path_factory.mktemp("models") / "prnu"
    return fit_model("prnu", dataset, folder, budget="smoke", device="cpu", leaderboards="none")


@pytest.fixture
def copied(fitted: FittedModel, tmp_path: Path) -> Path:
    """A copy of the model's folder, to be spoiled."""
    folder = tmp_path / "model"
    shutil.copytree(fitted.folder, folder)
    load_model(folder)
    return folder


@pytest.fixture
def image_of(planted: PlantedSets, tmp_path: Path) -> Callable[..., Path]:
    """Writes a test image of one source into a file."""

    def write(label: int, name: str = "image.png", index: int = 0, **settings: object) -> Path:
        own = planted.test.pixels[planted.test.labels == label]
        path = tmp_path / name
        Image.fromarray(own[index]).save(path, **settings)  # type: ignore[arg-type]
        return path

    return write
