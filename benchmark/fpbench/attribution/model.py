"""A model folder, read: a fitted method, and what its verdicts are measured by."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fpbench import registry
from fpbench.attribution.document import (
    CALIBRATION,
    KNOWN,
    METHOD,
    PROBE,
    SPECTRA,
    ModelPage,
    read_page,
)
from fpbench.attribution.nearcopies import KnownImages, Sketches
from fpbench.attribution.spectra import SourceSpectra
from fpbench.errors import BadInput
from fpbench.files import file_sha256
from fpbench.images import ImageSet, Source
from fpbench.metrics.conformal import Calibration
from fpbench.runs.judge import check_embeddings, check_proba, sentence_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.compute.probe import Probe
    from fpbench.method import Method


@dataclass(frozen=True)
class FittedModel:
    """A fitted method with its calibration, as `load_model` reads it.

    Attributes:
        folder: Where it lies.
        page: What it is.
        method: The method; runs on the CPU.
        probe: What answers for a method without probabilities of its own, or None.
        calibration: Its probabilities of images that it was not fitted on.
        notes: What there is to know of it here, one sentence each.
    """

    folder: Path
    page: ModelPage
    method: Method
    probe: Probe | None
    calibration: Calibration
    notes: tuple[str, ...] = ()

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources that it knows, in the order of columns."""
        return self.page.source_list

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images that it judges."""
        return self.page.image_size

    @property
    def batch(self) -> int:
        """Images that are judged at a time."""
        return int(np.clip((16 << 20) // (3 * self.size[0] * self.size[1]), 1, 256))

    def predict_proba(self, images: ImageSet) -> NDArray[np.float32]:
        """Probabilities (N, K), columns as `sources`.

        Raises:
            BadInput: If the method raises, or what it returns breaks its contract.
        """
        try:
            return answers(self.method, self.probe, images, len(self.sources))
        except BadInput:
            raise
        # A plugin can raise anything; it is told as what it is, its failure on these images.
        except Exception as error:
            raise BadInput(
                f"{self.page.method.label} cannot judge these images: {sentence_of(error)}. "
                f"`fpbench methods check {self.page.method.name}` may say more."
            ) from error

    @cached_property
    def known(self) -> KnownImages:
        """Sketches of the images that it was made from."""
        arrays = _arrays(self.folder / KNOWN)
        names = bytes(arrays["names"]).decode().split("\n")
        return KnownImages(Sketches(arrays["bits"], arrays["flat"].astype(bool)), names)

    @cached_property
    def spectra(self) -> SourceSpectra:
        """Mean spectra of its sources."""
        arrays = _arrays(self.folder / SPECTRA)
        return SourceSpectra(arrays["mean"], arrays["spread"])


def answers(
    method: Method, probe: Probe | None, images: ImageSet, classes: int
) -> NDArray[np.float32]:
    """What a method, or the probe on its embeddings, says of images: checked, (N, K).

    Raises:
        InvalidOutput: If what the method returns breaks its contract.
    """
    if probe is None:
        found = method.predict_proba(images)
        return check_proba("predict_proba", found, len(images), classes)
    embedded = check_embeddings("embed", method.embed(images), len(images))
    return check_proba("the probe", probe.predict_proba(embedded), len(images), classes)


def load_model(folder: str | Path) -> FittedModel:
    """Read a model folder that ``fpbench fit`` wrote; neither its dataset nor a network is needed.

    Raises:
        BadInput: If it is no model folder, a file is missing or was changed, it is of a newer
            fpbench, or its method is not installed in the version that was fitted.
    """
    place = Path(folder)
    page = read_page(place)
    _check_files(place, page)
    cls = _method_class(place, page)
    notes = []
    if page.method.code is not None and registry.code_hash(cls) != page.method.code:
        notes.append(
            f"The source text of {page.method.name} is not that which was fitted, though its "
            f"version {page.method.version} is the same: if its scores changed, so did the error."
        )
    try:
        method = cls.load(place / METHOD)
        probe = None
        if page.method.classifier == "probe":
            from fpbench.compute.probe import Probe

            probe = Probe.load(place / PROBE)
        arrays = _arrays(place / CALIBRATION)
        calibration = Calibration(arrays["proba"], arrays["labels"])
    except BadInput:
        raise
    # A stranger's load can raise anything; the sentence names the folder that it failed on.
    except Exception as error:
        raise BadInput(
            f"{place} cannot be loaded by {page.method.label}: {type(error).__name__}: {error}. "
            "Fit the model again."
        ) from error
    return FittedModel(place, page, method, probe, calibration, tuple(notes))


def _check_files(folder: Path, page: ModelPage) -> None:
    for name, about in page.files.items():
        path = folder / name
        if not path.is_file():
            raise BadInput(
                f"{folder} is missing the file {name}; fetch the folder again, or fit the model "
                "again."
            )
        if path.stat().st_size != about.size or file_sha256(path) != about.sha256:
            raise BadInput(
                f"{path} was changed after the model was written: its SHA-256 is not that of "
                "model.json. Fetch the folder again, or fit the model again."
            )


def _method_class(folder: Path, page: ModelPage) -> type[Method]:
    """The class that was fitted, in the version that was fitted.

    Raises:
        BadInput: If it is not here.
    """
    about = page.method
    if about.name not in registry.method_names():
        raise BadInput(
            f"{folder} needs the method {about.name!r}, which is not installed; it came from "
            f"{about.package}: install that."
        )
    cls = registry.method_class(about.name)
    if cls.card.version != about.version or about.variant not in cls.card.variants:
        raise BadInput(
            f"{folder} was fitted by version {about.version} of {about.name}:{about.variant} "
            f"({about.package}), but version {cls.card.version} is installed, whose scores may "
            "differ; install that one, or fit the model again."
        )
    return cls.variant_class(about.variant)


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    from safetensors.numpy import load_file

    found: dict[str, NDArray[Any]] = load_file(path)
    return found
