"""PRNU-style fingerprints of generators (Marra et al., MIPR 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import numpy as np

from fpbench.distribution import install_command
from fpbench.images import ImageSet
from fpbench.method import (
    FitContext,
    MethodCard,
    MethodDeclined,
    Range,
    Variant,
    require_reference,
)
from fpbench_methods.bases.calibration import fit_temperature, softmax
from fpbench_methods.bases.crops import within_area
from fpbench_methods.bases.saved import Arrays, Facts, SavedMethod
from fpbench_methods.prnu.camera import camera_processing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench_methods.nn.dncnn import DnCNN

_BATCH = 256
_SMOKE_IMAGES = 64


class PRNU(SavedMethod):
    """Averages denoising residuals per source and correlates (spec of Marra et al. 2019).

    An image's residual is R = X − f(X) with a wavelet-Wiener denoiser f; a source's fingerprint
    is the plain mean of its training residuals; an image is attributed to the source whose
    fingerprint has the highest Pearson correlation ρ with its residual. Probabilities are
    softmax(ρ / τ), with τ fitted on the validation images.

    Args:
        levels: Wavelet levels, capped by the image size.
        sigma: Noise standard deviation that the denoiser assumes, in grey levels of 0–255.
        denoiser: ``wavelet``; ``nlm`` (non-local means, by scikit-image); or ``dncnn``, a network
            trained to denoise the reference images.
        camera: Whether fingerprints and residuals are treated as those of cameras: zero-mean
            rows and columns, then a Wiener filter of the spectrum.
    """

    card: ClassVar[MethodCard] = MethodCard(
        name="prnu",
        title="Do GANs Leave Artificial Fingerprints?",
        authors="Marra, Gragnaniello, Verdoliva, Poggi",
        year=2019,
        citation=(
            "@inproceedings{marra2019gans,\n"
            "  title = {Do {GANs} Leave Artificial Fingerprints?},\n"
            "  author = {Marra, Francesco and Gragnaniello, Diego and Verdoliva, Luisa"
            " and Poggi, Giovanni},\n"
            "  booktitle = {IEEE Conference on Multimedia Information Processing and Retrieval},\n"
            "  pages = {506--511},\n"
            "  year = {2019},\n"
            "  doi = {10.1109/MIPR.2019.00103},\n"
            "  eprint = {1812.11842}\n"
            "}"
        ),
        licence="MIT",
        version="1",
        variants={
            "wavelet": Variant(
                "wavelet-Wiener residual, plain mean, correlation", deterministic=True
            ),
            "nlm": Variant(
                "the residual of non-local means", {"denoiser": "nlm"}, deterministic=True
            ),
            "dncnn": Variant(
                "the residual of a DnCNN trained on the reference images with noise of one grey "
                "level",
                {"denoiser": "dncnn", "sigma": 1.0},
            ),
            "camera": Variant(
                "with the camera's zero-mean and Wiener steps, which erase periodic patterns",
                {"camera": True},
                deterministic=True,
            ),
        },
        min_size=16,
        faithful=(
            "Residual, mean per source over training images, Pearson correlation over all three "
            "channels at once, attribution by the highest correlation.",
            "No clipping: residuals are signed. No absolute value: an anti-correlated fingerprint "
            "does not win.",
            "No camera post-processing (zero-mean rows and columns, Wiener filter in the Fourier "
            "domain) unless the variant camera asks for it: it is made to delete the periodic "
            "patterns that generators leave.",
        ),
        different=(
            "The paper's denoiser could not be established; this is the wavelet filter of camera "
            "PRNU practice (Daubechies-4, 4 levels where the size allows, sigma 5).",
            "Probabilities are a calibrated softmax of the correlations; the paper gives none.",
            "Variant camera keeps three channels. Its Wiener filter holds a spectral peak back by "
            "a factor that grows with the image: to about a half at 32×32, a thirtieth at 128×128.",
            "Budget smoke averages at most 64 training images per source.",
            "No BM3D, whose implementation on PyPI forbids commercial use. Variant dncnn is trained"
            " here, because published weights are for research only: 5 convolutions of 8 channels "
            "under budget smoke, 9 of 24 under small, the 17 of 64 of its paper under full.",
        ),
        needs=("nlm: scikit-image, the extra nlm",),
        url="https://arxiv.org/abs/1812.11842",
    )

    residual_names: tuple[str, str] = ("denoised image", "residual")

    def __init__(
        self,
        *,
        levels: Annotated[int, Range(1, 16)] = 4,
        sigma: Annotated[float, Range(above=0, most=255)] = 5.0,
        denoiser: Literal["wavelet", "nlm", "dncnn"] = "wavelet",
        camera: bool = False,
    ) -> None:
        self.levels = levels
        self.sigma = sigma
        self.denoiser = denoiser
        self.camera = camera
        self._fingerprints: NDArray[np.float32] | None = None
        self._temperature = 1.0
        self._network: DnCNN | None = None
        self._weights: tuple[bytes, ...] = ()

    def fit(
        self,
        train: ImageSet,
        *,
        reference: ImageSet,
        validation: ImageSet,
        context: FitContext,
    ) -> Self:
        """Average the residuals of each source; fit the temperature on validation images."""
        self._device = context.device
        self._sources = train.sources
        if context.budget == "smoke":
            kept = [np.flatnonzero(train.labels == k)[:_SMOKE_IMAGES] for k in self._classes]
            train = train.select(np.concatenate(kept))
        if self.denoiser == "dncnn":
            from fpbench_methods.nn.dncnn import SIZES, train_denoiser

            require_reference(reference, "prnu:dncnn")
            size = SIZES[context.budget]
            self._use(train_denoiser(reference.pixels, self.sigma, size, context))
        h, w = train.size
        sums = np.zeros((len(self._classes), h * w * 3))
        done = 0
        for batch in train.batches(within_area(_BATCH, train.size)):
            flat = self._noise(batch).reshape(len(batch), -1)
            labels = train.labels[done : done + len(batch)]
            for k in np.unique(labels):
                sums[k] += flat[labels == k].sum(axis=0, dtype=np.float64)
            done += len(batch)
            context.progress("average residuals", done, len(train))
        counts = np.bincount(train.labels, minlength=len(self._classes))[:, None]
        means = (sums / np.maximum(counts, 1)).astype(np.float32).reshape(-1, h, w, 3)
        # A camera's fingerprint is treated after averaging, when its peaks stand out of the noise.
        means = camera_processing(means) if self.camera else means
        self._fingerprints = _unit_rows(means.reshape(len(means), -1))
        if len(validation):
            scores = self.correlations(validation)
            self._temperature = fit_temperature(scores, validation.labels)
        return self

    def _use(self, network: DnCNN) -> None:
        """Take a trained denoiser; its weights tell its residuals from another one's."""
        from fpbench.compute.shared import digest
        from fpbench_methods.nn.dncnn import denoiser_arrays

        self._network = network
        self._weights = tuple(digest(value) for value in denoiser_arrays(network).values())

    @property
    def _classes(self) -> range:
        return range(len(self._sources))

    def _noise(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """X − f(X), shape (N, H, W, 3)."""
        if self.denoiser == "nlm":
            return _nlm_residual(pixels, self.sigma)
        if self.denoiser == "dncnn":
            from fpbench_methods.nn.dncnn import denoiser_residual

            network = self.fitted(self._network)
            return denoiser_residual(network, pixels, self.sigma, self._device)
        from fpbench.compute.residuals import wavelet_residual

        found = wavelet_residual(pixels, levels=self.levels, sigma=self.sigma, device=self._device)
        return np.asarray(found, np.float32)

    def _residuals(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What is correlated with the fingerprints, shape (N, H·W·3)."""
        from fpbench.compute.shared import SHARED

        kind = ("denoising residual", self.denoiser, self.levels, self.sigma, self._weights)
        size = (pixels.shape[1], pixels.shape[2])
        if self.denoiser == "wavelet" and within_area(2, size) < 2:
            found = self._noise(pixels)  # of a large image quicker made again than kept
        else:
            found = SHARED.rows(kind, pixels, self._noise)
        found = camera_processing(found) if self.camera else found
        return found.reshape(len(pixels), -1)

    def embed(self, images: ImageSet) -> NDArray[np.float32]:
        """Residuals, centred and scaled to unit length: shape (N, H·W·3)."""
        h, w = images.size
        embedded = np.empty((len(images), h * w * 3), np.float32)
        done = 0
        for batch in images.batches(within_area(_BATCH, images.size)):
            embedded[done : done + len(batch)] = _unit_rows(self._residuals(batch))
            done += len(batch)
        return embedded

    def correlations(self, images: ImageSet) -> NDArray[np.float32]:
        """Pearson correlations ρ of shape (N, K) of residuals with the sources' fingerprints.

        Raises:
            ValueError: If the method is not fitted, or was fitted on images of another size.
        """
        fingerprints = self.fitted(self._fingerprints)
        h, w = images.size
        if fingerprints.shape[1] != h * w * 3:
            raise ValueError(
                f"images of {h}x{w} cannot be correlated with fingerprints of "
                f"{fingerprints.shape[1] // 3} pixels; correlation is position by position"
            )
        parts = [
            _unit_rows(self._residuals(batch)) @ fingerprints.T
            for batch in images.batches(within_area(_BATCH, images.size))
        ]
        return np.concatenate(parts) if parts else np.empty((0, len(self._sources)), np.float32)

    def predict_proba(self, images: ImageSet) -> NDArray[np.float32]:
        """softmax(ρ / τ) of shape (N, K)."""
        scores = self.correlations(images)
        return softmax(scores / self._temperature) if len(scores) else scores

    def residual(self, images: ImageSet) -> NDArray[np.float32]:
        """Signed residuals of shape (N, H, W, 3), in grey levels."""
        return self._residuals(np.ascontiguousarray(images.pixels)).reshape(images.pixels.shape)

    def fingerprints(self) -> NDArray[np.float32]:
        """Fingerprints of the sources: unit vectors of shape (K, H·W·3).

        Raises:
            ValueError: If the method is not fitted.
        """
        return self.fitted(self._fingerprints).copy()

    def state(self) -> tuple[Arrays, Facts]:
        """Fingerprints, temperature and the denoiser, if it is a network."""
        arrays: Arrays = {"fingerprints": self.fitted(self._fingerprints)}
        if self._network is not None:
            from fpbench_methods.nn.dncnn import denoiser_arrays

            arrays |= denoiser_arrays(self._network)
        return arrays, {"temperature": self._temperature}

    def restore(self, arrays: Arrays, facts: Facts) -> None:
        """Take them back."""
        self._fingerprints = arrays["fingerprints"]
        if self.denoiser == "dncnn":
            from fpbench_methods.nn.dncnn import denoiser_of

            self._use(denoiser_of(arrays))
        self._temperature = facts["temperature"]

    @classmethod
    def upgraded(cls, arrays: Arrays, facts: Facts) -> tuple[Arrays, Facts]:
        """Facts in which arguments stood beside the temperature."""
        if "params" in facts:
            return arrays, facts
        return arrays, facts | {"params": {name: facts[name] for name in cls.parameters()}}


def _unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Centre each row and scale it to unit length; a constant row becomes zero."""
    centred = rows - rows.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    norms = np.linalg.norm(centred, axis=1, keepdims=True)
    unit: NDArray[np.float32] = centred / np.where(norms > 0, norms, 1)
    return unit


def _nlm_residual(pixels: NDArray[np.uint8], sigma: float) -> NDArray[np.float32]:
    """X minus its non-local means: patches of 5, a search window of 13, bandwidth h = σ.

    Raises:
        MethodDeclined: If scikit-image is not installed.
    """
    try:
        from skimage.restoration import denoise_nl_means
    except ImportError as error:
        raise MethodDeclined(
            f"prnu:nlm needs scikit-image; install it with: {install_command('nlm')}"
        ) from error
    images = pixels.astype(np.float32)
    residual = np.empty_like(images)
    for number, image in enumerate(images):
        clean = denoise_nl_means(
            image, patch_size=5, patch_distance=6, h=sigma, sigma=sigma, channel_axis=-1,
            preserve_range=True,
        )  # fmt: skip
        residual[number] = image - clean
    return residual
