"""A network on co-occurrence matrices (Nataraj et al., 2019)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from fpbench.method import Budget, MethodCard, Variant
from fpbench_methods.bases.network import NetworkMethod

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor

    from fpbench.compute.training_plan import TrainingPlan
    from fpbench_methods.nn.attributor import AttributorNetwork

_LEVELS = {"smoke": 16, "small": 32, "full": 256}
_SHIFT = 24


class Nataraj(NetworkMethod["AttributorNetwork"]):
    """How often one grey level stands left of another, per channel, read by a network.

    Args:
        levels: Side of the matrices: 256 counts every pair of grey levels, smaller ones add
            neighbouring levels up. None lets the budget decide: 16, 32 and 256.
        length: See `NetworkMethod`.
    """

    crops = False  # a matrix counts the whole image
    batch = 64

    card: ClassVar[MethodCard] = MethodCard(
        name="nataraj",
        title="Detecting GAN generated Fake Images using Co-occurrence Matrices",
        authors=("Nataraj, Mohammed, Manjunath, Chandrasekaran, Flenner, Bappy, Roy-Chowdhury"),
        year=2019,
        citation=(
            "@inproceedings{nataraj2019detecting,\n"
            "  title = {Detecting {GAN} generated Fake Images using Co-occurrence Matrices},\n"
            "  author = {Nataraj, Lakshmanan and Mohammed, Tajuddin Manhar and Manjunath, B. S."
            " and Chandrasekaran, Shivkumar and Flenner, Arjuna and Bappy, Jawadul H. and"
            " Roy-Chowdhury, Amit K.},\n"
            "  booktitle = {Electronic Imaging: Media Watermarking, Security, and Forensics},\n"
            "  year = {2019},\n"
            "  doi = {10.2352/ISSN.2470-1173.2019.5.MWSF-532},\n"
            "  eprint = {1903.06836}\n"
            "}"
        ),
        licence="MIT",
        version="2",
        variants={"horizontal": Variant("pairs of horizontal neighbours")},
        min_size=8,
        faithful=(
            "Counts of horizontal neighbours per channel, neither symmetric nor normalised by "
            "rows; convolutions 32, 64 and 128 wide in pairs of 3×3 and 5×5, each pair pooled, "
            "two layers of 256; nothing is resized.",
        ),
        different=(
            "Softmax over K sources instead of a sigmoid.",
            "Counts are multiplied by 256 over the number of pairs, one constant per image size: "
            "without it the rate of training would depend on that size.",
            "Border handling of the convolutions (zeros here) and the training settings could not "
            "be established; Adam at 5e-4 (cosine), batches of 32, instead of perhaps Adadelta.",
            "Budgets smoke and small add the 256 levels up to 16 and 32: a 256×256 matrix per "
            "channel costs 64 times more than one of 32×32, and a 32×32 image fills at most 992 of "
            "its 65,536 cells. They train 3 and 20 epochs, full at most 50, and "
            "shift all grey levels of a training image by up to 24 at random: few images do not "
            "teach the network to ignore how bright they are.",
        ),
        url="https://arxiv.org/abs/1903.06836",
    )

    def __init__(
        self, *, levels: Literal[8, 16, 32, 64, 128, 256] | None = None, **length: Any
    ) -> None:
        super().__init__(**length)
        self.levels = levels

    def side(self) -> int:
        """Side of the matrices under the current budget."""
        return _LEVELS[self._budget] if self.levels is None else self.levels

    def takes(self, size: tuple[int, int]) -> bool:
        """Any size that has pairs: a matrix has no position in the image."""
        return size[1] >= 2

    def prepare(self, batch: Tensor) -> Tensor:
        """Scaled co-occurrence matrices (B, 3, levels, levels) of a batch."""
        import torch

        pixels = batch.permute(0, 2, 3, 1).cpu().numpy()
        return torch.from_numpy(scaled_cooccurrence(pixels, self.side())).to(batch.device)

    def augmentation(self) -> Callable[[Tensor], Tensor] | None:
        """In budgets smoke and small, a random shift of all grey levels of each image.

        How bright a photograph is moves its counts along the diagonal, which a few thousand
        images do not teach the network to ignore. Shifts keep every difference of neighbours but
        those that meet 0 or 255.
        """
        import torch

        if self._budget == "full":
            return None

        def shifted(batch: Tensor) -> Tensor:
            shift = torch.randint(-_SHIFT, _SHIFT + 1, (len(batch), 1, 1, 1), dtype=torch.int16)
            return (batch.to(torch.int16) + shift.to(batch.device)).clamp_(0, 255).to(torch.uint8)

        return shifted

    def build(self, classes: int, *, initial: bool) -> AttributorNetwork:
        """The network for matrices of the budget's size."""
        from fpbench_methods.nn.cooccurrence_cnn import CooccurrenceCNN

        return CooccurrenceCNN(classes, self.side())

    def plan(self, budget: Budget, images: int) -> TrainingPlan:
        """Adam in batches of 32, patience 10."""
        from fpbench.compute.training_plan import TrainingPlan

        epochs = {"smoke": 3, "small": 20, "full": 50}[budget]
        return TrainingPlan(
            epochs=epochs, batch=32, optimiser="adam", lr=5e-4, schedule="cosine", patience=10
        )


def scaled_cooccurrence(pixels: NDArray[np.uint8], levels: int) -> NDArray[np.float32]:
    """Co-occurrence of horizontal neighbours, times 256 over the number of pairs.

    Args:
        pixels: uint8 of shape (N, H, W, 3).
        levels: Side of the matrices; 256 / levels neighbouring grey levels are added up.

    Returns:
        float32 of shape (N, 3, levels, levels), each matrix summing to 256.
    """
    from fpbench.compute.cooccurrence import cooccurrence

    counts = cooccurrence(np.ascontiguousarray(pixels))
    width = 256 // levels
    if width > 1:
        count = len(counts)
        counts = counts.reshape(count, 3, levels, width, levels, width).sum(axis=(3, 5))
    pairs = pixels.shape[1] * (pixels.shape[2] - 1)
    scaled: NDArray[np.float32] = (counts * (256 / pairs)).astype(np.float32)
    return scaled
