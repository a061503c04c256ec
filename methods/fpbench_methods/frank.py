"""Networks on log-cosine spectra (Frank et al., ICML 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np

from fpbench.images import ImageSet
from fpbench.method import Budget, FitContext, MethodCard, Range, Variant
from fpbench_methods.bases.crops import within_area
from fpbench_methods.bases.network import NetworkMethod
from fpbench_methods.bases.saved import Arrays, Facts

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from fpbench.compute.training_plan import TrainingPlan
    from fpbench_methods.nn.attributor import AttributorNetwork

_BATCH = 256


class Frank(NetworkMethod["AttributorNetwork"]):
    """log(|DCT2| + 1e-12) per channel, each coefficient standardised, read by a small network.

    Args:
        network: ``cnn`` (four convolutions) or ``logistic`` (one linear layer).
        l2: Weight of the squared norm of the linear layer's weights, for ``logistic``.
        length: See `NetworkMethod`.
    """

    card: ClassVar[MethodCard] = MethodCard(
        name="frank",
        title="Leveraging Frequency Analysis for Deep Fake Image Recognition",
        authors="Frank, Eisenhofer, Schönherr, Fischer, Kolossa, Holz",
        year=2020,
        citation=(
            "@inproceedings{frank2020leveraging,\n"
            "  title = {Leveraging Frequency Analysis for Deep Fake Image Recognition},\n"
            '  author = {Frank, Joel and Eisenhofer, Thorsten and Sch{\\"o}nherr, Lea and'
            " Fischer, Asja and Kolossa, Dorothea and Holz, Thorsten},\n"
            "  booktitle = {International Conference on Machine Learning},\n"
            "  year = {2020},\n"
            "  eprint = {2003.08685}\n"
            "}"
        ),
        licence="MIT",
        version="1",
        variants={
            "cnn": Variant("convolutions 3-8-16-32 on the standardised spectrum"),
            "logistic": Variant("one linear layer with an L2 penalty", {"network": "logistic"}),
        },
        min_size=8,
        faithful=(
            "Orthonormal DCT-II per channel, log(|·| + 1e-12), then the mean and deviation of "
            "each coefficient over the training images alone.",
            "Convolutions 3-8-pool-16-pool-32 and one linear layer with softmax; Adam at 1e-3, "
            "batches of 32, at most 50 epochs, stopped after 5 without a better validation.",
            "The linear variant is trained by the same loop with an L2 penalty of 0.01.",
        ),
        different=(
            "The paper trains on 100,000 images per source; budgets small and full train on what "
            "the data set has, at most 20 and 50 epochs.",
            "The released regression grid also has L1; only L2 is here.",
            "Budget smoke: 2 epochs on at most 32 training images per source.",
        ),
        url="https://arxiv.org/abs/2003.08685",
    )

    def __init__(
        self,
        *,
        network: Literal["cnn", "logistic"] = "cnn",
        l2: Annotated[float, Range(0, 1e6)] = 0.01,
        **length: Any,
    ) -> None:
        super().__init__(**length)
        self.network = network
        self.l2 = l2
        self.crops = False  # each coefficient of a whole image's spectrum has its own statistics
        self._mean: NDArray[np.float32] = np.zeros(0, np.float32)
        self._scale: NDArray[np.float32] = np.zeros(0, np.float32)

    def look_at(self, train: ImageSet, reference: ImageSet, context: FitContext) -> None:
        """Mean and deviation of each coefficient over the training images."""
        from fpbench.compute.spectra import log_dct

        sums = np.zeros((2, *train.size, 3))
        # Spectra of natural images fall by orders of magnitude: sums of squares around a first
        # guess of the mean keep their digits.
        first = within_area(_BATCH, train.size)
        guess = log_dct(np.ascontiguousarray(train.pixels[:first])).mean(axis=0)
        for batch in train.batches(within_area(_BATCH, train.size)):
            spectra = log_dct(np.ascontiguousarray(batch)) - guess
            sums[0] += spectra.sum(axis=0, dtype=np.float64)
            sums[1] += np.square(spectra, dtype=np.float64).sum(axis=0)
        mean = sums[0] / len(train)
        deviation = np.sqrt(np.maximum(sums[1] / len(train) - mean**2, 0))
        self._mean = (guess + mean).astype(np.float32)
        varies = deviation > 1e-6
        self._scale = np.where(varies, 1 / np.where(varies, deviation, 1), 0).astype(np.float32)

    def spectra(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Standardised log-cosine spectra of shape (N, H, W, 3)."""
        from fpbench.compute.spectra import log_dct

        found: NDArray[np.float32] = (log_dct(pixels, device=self._device) - self._mean) * (
            self._scale
        )
        return found

    def prepare(self, batch: Tensor) -> Tensor:
        """Standardised spectra (B, 3, H, W) of a batch."""
        import torch

        pixels = batch.permute(0, 2, 3, 1).cpu().numpy()
        return torch.from_numpy(self.spectra(pixels)).to(batch.device).permute(0, 3, 1, 2)

    def build(self, classes: int, *, initial: bool) -> AttributorNetwork:
        """The convolutional or the linear network."""
        from fpbench_methods.nn.dct_cnn import DCTCNN, LinearAttributor

        if self.network == "cnn":
            return DCTCNN(classes, self._size)
        return LinearAttributor(classes, 3 * self._size[0] * self._size[1])

    def penalty(self, trained: nn.Module) -> Callable[[], Tensor] | None:
        """The L2 norm of the linear variant."""
        if self.network == "cnn" or not self.l2:
            return None
        weights = dict(trained.named_parameters())["head.weight"]
        return lambda: self.l2 * weights.square().sum()

    def plan(self, budget: Budget, images: int) -> TrainingPlan:
        """Adam at 1e-3 in batches of 32, patience 5."""
        from fpbench.compute.training_plan import TrainingPlan

        epochs = {"smoke": 2, "small": 20, "full": 50}[budget]
        return TrainingPlan(epochs=epochs, batch=32, optimiser="adam", lr=1e-3, patience=5)

    def extra_arrays(self) -> Arrays:
        """The statistics of the training spectra."""
        return {"mean": self._mean, "scale": self._scale}

    def restore_extra(self, arrays: Arrays, facts: Facts) -> None:
        """Take back the statistics."""
        self._mean, self._scale = arrays["mean"], arrays["scale"]
