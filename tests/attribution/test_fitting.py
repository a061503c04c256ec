"""A model folder holds what verdicts need, calibrated on images that the fit did not see."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fpbench import registry
from fpbench.attribution.document import PAGE, ModelPage, read_page
from fpbench.attribution.fitting import FitFailed, fit_model, split_validation
from fpbench.attribution.model import FittedModel, load_model
from fpbench.compute.probe import Probe
from fpbench.compute.training_plan import TrainingPlan
from fpbench.conformance.planted import PlantedSets
from fpbench.datasets.resolve import resolve
from fpbench.errors import BadInput
from fpbench.images import ImageSet
from fpbench.method import FitContext, Method, MethodCard, MethodDeclined, Variant

Register = Callable[[type[Method]], None]


class Toy(Method):
    """Remembers what it is given; has no probabilities of its own."""

    card = MethodCard(
        name="toy", title="t", authors="a", year=2026, citation="@misc{t}", licence="MIT",
        version="1", variants={"only": Variant("the only one")},
    )  # fmt: skip
    given: dict[str, ImageSet] = {}  # noqa: RUF012  (looked at by the test)

    def fit(
        self, train: ImageSet, *, reference: ImageSet, validation: ImageSet, context: FitContext
    ) -> "Toy":
        Toy.given = {"train": train, "reference": reference, "validation": validation}
        return self

    def embed(self, images: ImageSet) -> np.ndarray:
        return images.pixels.reshape(len(images), -1)[:, ::7].astype(np.float32)

    def save(self, folder: Path) -> None:
        (folder / "toy.json").write_text("{}")

    @classmethod
    def load(cls, folder: Path) -> "Toy":
        assert (folder / "toy.json").is_file()
        return cls()


class Unsaved(Toy):
    save = Method.save
    load = Method.load


class Failing(Toy):
    def fit(self, train: ImageSet, **_: object) -> "Toy":  # type: ignore[override]
        raise ZeroDivisionError("by no image")


class Declining(Toy):
    def fit(self, train: ImageSet, **_: object) -> "Toy":  # type: ignore[override]
        raise MethodDeclined("It needs weights; install them.")


class Forgetful(Toy):
    """Answers otherwise once it is loaded."""

    shift = 0.0

    def predict_proba(self, images: ImageSet) -> np.ndarray:
        first = np.full((len(images), 1), 0.2 + self.shift, np.float32)
        return np.concatenate([first, np.repeat((1 - first) / 2, 2, axis=1)], axis=1)

    @classmethod
    def load(cls, folder: Path) -> "Forgetful":
        made = cls()
        made.shift = 0.5
        return made


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Register:
    def register(cls: type[Method]) -> None:
        monkeypatch.setattr(registry, "method_class", lambda name: cls)
        monkeypatch.setattr(registry, "method_names", lambda: ["toy"])
        monkeypatch.setattr(registry, "resolve_method", lambda name: (cls, "only"))
        monkeypatch.setattr(registry, "method_package", lambda name: "toys 1.0")

    return register


def test_the_fit_is_not_given_the_calibration_images(
    dataset: Path, tmp_path: Path, registered: Register, monkeypatch: pytest.MonkeyPatch
) -> None:
    registered(Toy)
    short = TrainingPlan(epochs=2, batch=64, optimiser="adam", lr=1e-3)
    monkeypatch.setattr(Probe.__init__, "__defaults__", (short,))
    model = fit_model("toy", dataset, tmp_path / "m", budget="smoke", device="cpu")
    whole = resolve(str(dataset)).load()
    seen = {image.tobytes() for images in Toy.given.values() for image in images.pixels}
    parts = split_validation(whole)
    kept = {image.tobytes() for image in parts.calibration.pixels}
    assert len(kept) == len(model.calibration.labels) and not kept & seen
    validation = {image.tobytes() for image in whole.validation.pixels}
    assert kept | {image.tobytes() for image in Toy.given["validation"].pixels} == validation
    assert not seen & {image.tobytes() for image in whole.test.pixels}
    # The common probe answers for it, and is kept.
    assert model.page.method.classifier == "probe" and model.probe is not None
    proba = model.predict_proba(parts.calibration.unlabelled())
    assert np.allclose(proba, model.calibration.proba, atol=1e-6)


def test_the_split_is_the_same_whatever_the_method_and_follows_the_share(dataset: Path) -> None:
    whole = resolve(str(dataset)).load()
    first, again = split_validation(whole), split_validation(whole)
    assert first.calibration.ids.tolist() == again.calibration.ids.tolist()
    counts = np.bincount(whole.validation.labels)
    half = np.bincount(first.calibration.labels)
    assert half.tolist() == [round(0.5 * n) for n in counts]
    most = split_validation(whole, 0.9)
    assert np.bincount(most.calibration.labels).tolist() == [round(0.9 * n) for n in counts]
    with pytest.raises(BadInput, match=r"at least one is needed"):
        split_validation(whole, 0.01)


def test_the_folder_says_what_it_is(fitted: FittedModel, dataset: Path) -> None:
    page = read_page(fitted.folder)
    assert page.method.label == "prnu:wavelet" and page.method.citation.startswith("@")
    assert page.dataset.name == dataset.name and len(page.dataset.content_hash) == 64
    assert page.image_size == (16, 16) and page.formats == {
        "PNG": sum(s.train for s in page.sources)
    }
    assert [s.name for s in page.sources] == [s.name for s in fitted.sources]
    assert sum(s.calibration for s in page.sources) == len(fitted.calibration.labels)
    found = {
        p.relative_to(fitted.folder).as_posix() for p in fitted.folder.rglob("*") if p.is_file()
    }
    assert found == set(page.files) | {PAGE}
    assert {Path(name).suffix for name in found} <= {".json", ".safetensors"}
    assert len(fitted.known) == sum(s.train + s.selection + s.calibration for s in page.sources) + (
        page.reference
    )


def test_it_loads_without_its_dataset_and_without_a_network(
    fitted: FittedModel, planted: PlantedSets, tmp_path: Path
) -> None:
    moved = tmp_path / "elsewhere"
    shutil.copytree(fitted.folder, moved)
    np.save(tmp_path / "pixels.npy", planted.test.pixels)
    script = (
        "import socket, sys, numpy as np, fpbench\n"
        "def refuse(*a, **k): raise OSError('no network here')\n"
        "socket.socket.connect = refuse\n"
        f"model = fpbench.load_model({str(moved)!r})\n"
        f"pixels = np.load({str(tmp_path / 'pixels.npy')!r})\n"
        "from fpbench.images import ImageSet\n"
        "np.save(sys.argv[1], model.predict_proba(ImageSet(pixels)))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "proba.npy")],
        capture_output=True, text=True, cwd=tmp_path,
        env={"PATH": "", "HOME": str(tmp_path), "FPBENCH_CACHE": str(tmp_path / "empty")},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert np.allclose(
        np.load(tmp_path / "proba.npy"), fitted.predict_proba(planted.test.unlabelled())
    )
    assert not (tmp_path / "empty").exists()


def test_a_model_of_the_same_fit_is_the_same(
    fitted: FittedModel, dataset: Path, tmp_path: Path
) -> None:
    again = fit_model("prnu", dataset, tmp_path / "m", budget="smoke", device="cpu",
                      leaderboards="none")  # fmt: skip
    same = {name: about.sha256 for name, about in again.page.files.items()}
    assert same == {name: about.sha256 for name, about in fitted.page.files.items()}
    # An earlier model is replaced, anything else is not.
    fit_model("majority", dataset, tmp_path / "m", leaderboards="none")
    assert load_model(tmp_path / "m").page.method.name == "majority"
    other = tmp_path / "work"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    with pytest.raises(BadInput, match=r"is there already and is no model"):
        fit_model("majority", dataset, other)
    assert (other / "thesis.txt").is_file()


@pytest.mark.parametrize(
    ("cls", "error", "sentence"),
    [
        (Unsaved, BadInput, "has no save"),
        (Declining, BadInput, "It needs weights; install them"),
        (Failing, FitFailed, "cannot be fitted: ZeroDivisionError: by no image"),
        (Forgetful, FitFailed, "answers otherwise once it is saved and loaded"),
    ],
)
def test_what_cannot_be_kept_leaves_no_folder(
    cls: type[Method],
    error: type[Exception],
    sentence: str,
    dataset: Path,
    tmp_path: Path,
    registered,
) -> None:
    registered(cls)
    with pytest.raises(error, match=sentence):
        fit_model("toy", dataset, tmp_path / "m", budget="smoke", device="cpu")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_named(copied: Path) -> None:
    (copied / "calibration.safetensors").unlink()
    with pytest.raises(BadInput, match=r"is missing the file calibration.safetensors"):
        load_model(copied)


def test_a_missing_page_and_a_missing_folder_are_named(copied: Path, tmp_path: Path) -> None:
    (copied / PAGE).unlink()
    with pytest.raises(BadInput, match=f"it has no {PAGE}"):
        load_model(copied)
    with pytest.raises(BadInput, match=r"no model folder"):
        load_model(tmp_path / "nowhere")


def test_a_changed_file_is_named(copied: Path) -> None:
    path = copied / "method" / "state.json"
    path.write_text(path.read_text().replace("wavelet", "wavelot"))
    with pytest.raises(BadInput, match=r"state.json was changed after the model was written"):
        load_model(copied)


def test_a_changed_page_is_named(copied: Path) -> None:
    page = json.loads((copied / PAGE).read_text())
    page["sources"][1]["name"] = "another"
    (copied / PAGE).write_text(json.dumps(page))
    with pytest.raises(BadInput, match=r"model.json was changed after it was written"):
        load_model(copied)


def rewritten(folder: Path, **changes: object) -> None:
    """The page with other fields and the digest that belongs to them."""
    page = json.loads((folder / PAGE).read_text())
    page = {key: value for key, value in page.items() if key != "digest"} | changes
    if page["schema_version"] == 1:
        ModelPage.signed(**page).write(folder)
    else:
        (folder / PAGE).write_text(json.dumps(page | {"digest": "0"}))


def test_a_newer_folder_is_told(copied: Path) -> None:
    rewritten(copied, schema_version=2, fpbench="9.0", invented="later")
    with pytest.raises(BadInput, match=r"written by fpbench 9.0, which is newer.*Upgrade fpbench"):
        load_model(copied)


def test_a_method_that_is_not_installed_is_told(copied: Path) -> None:
    about = json.loads((copied / PAGE).read_text())["method"]
    rewritten(copied, method=about | {"name": "theirs", "package": "theirs-fingerprints 2.1"})
    with pytest.raises(BadInput, match=r"'theirs', which is not installed.*theirs-fingerprints"):
        load_model(copied)


def test_another_version_of_the_method_is_told(copied: Path) -> None:
    about = json.loads((copied / PAGE).read_text())["method"]
    rewritten(copied, method=about | {"version": "0"})
    with pytest.raises(BadInput, match=r"fitted by version 0 .* version 1 is installed"):
        load_model(copied)
    rewritten(copied, method=about | {"code": "0" * 64})
    assert "source text" in load_model(copied).notes[0]


def test_a_page_that_is_no_page_is_told(copied: Path) -> None:
    (copied / PAGE).write_text('{"schema_version": 1}')
    with pytest.raises(BadInput, match=r"created: Field required"):
        load_model(copied)
