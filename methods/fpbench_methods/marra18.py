"""Xception as an attributor (Marra et al., MIPR 2018)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from fpbench.method import Budget, File, MethodCard, Variant
from fpbench_methods.bases.network import NetworkMethod

if TYPE_CHECKING:
    from torch import Tensor

    from fpbench.compute.training_plan import TrainingPlan
    from fpbench_methods.nn.attributor import AttributorNetwork


class Marra18(NetworkMethod["AttributorNetwork"]):
    """Xception, fine-tuned from ImageNet: the best of the networks that the paper compares.

    Args:
        pretrained: Start from ImageNet weights.
        weights: A file that holds them, or None for the Hub.
    """

    batch = 64

    card: ClassVar[MethodCard] = MethodCard(
        name="marra18",
        title="Detection of GAN-Generated Fake Images over Social Networks",
        authors="Marra, Gragnaniello, Cozzolino, Verdoliva",
        year=2018,
        citation=(
            "@inproceedings{marra2018detection,\n"
            "  title = {Detection of {GAN}-Generated Fake Images over Social Networks},\n"
            "  author = {Marra, Francesco and Gragnaniello, Diego and Cozzolino, Davide and"
            " Verdoliva, Luisa},\n"
            "  booktitle = {IEEE Conference on Multimedia Information Processing and Retrieval},\n"
            "  pages = {384--389},\n"
            "  year = {2018}\n"
            "}"
        ),
        licence="MIT",
        version="2",
        variants={"xception": Variant("Xception from ImageNet weights")},
        min_size=32,
        faithful=("Xception with a new last layer, on RGB images that are not resized.",),
        different=(
            "Which of the compared networks ManiFPT's table means could not be established; this "
            "is the one reported best.",
            "Training settings could not be established: Adam at 1e-4 in batches of 32, at most "
            "30 epochs, patience 5, input in [−1, 1].",
            "Budget small: 5 epochs; smoke: 1 epoch on at most 8 training images per source.",
        ),
        needs=("ImageNet weights of timm/legacy_xception.tf_in1k",),
        url="https://doi.org/10.1109/MIPR.2018.00084",
    )
    crops = False  # its weights are trained on larger ones
    any_size = True
    smoke_images = 8

    def __init__(
        self, *, pretrained: bool = True, weights: Annotated[str | None, File()] = None
    ) -> None:
        self.pretrained = pretrained
        self.weights = weights

    def build(self, classes: int, *, initial: bool) -> AttributorNetwork:
        """Xception with a new head."""
        from fpbench_methods.nn.timm_classifier import TimmClassifier

        return TimmClassifier(
            "legacy_xception.tf_in1k",
            classes,
            pretrained=initial and self.pretrained,
            weights=self.weights,
        )

    def prepare(self, batch: Tensor) -> Tensor:
        """[−1, 1], the range its weights were trained on."""
        from fpbench.compute.inference import signed_range

        return signed_range(batch)

    def plan(self, budget: Budget, images: int) -> TrainingPlan:
        """Adam at 1e-4 in batches of 32."""
        from fpbench.compute.training_plan import TrainingPlan

        epochs = {"smoke": 1, "small": 5, "full": 30}[budget]
        return TrainingPlan(epochs=epochs, batch=32, optimiser="adam", lr=1e-4, patience=5)
