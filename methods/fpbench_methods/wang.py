"""CNNDetection as an attributor of K sources (Wang et al., CVPR 2020)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from fpbench.method import Budget, File, MethodCard, Range, Variant
from fpbench_methods.bases.network import NetworkMethod

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from fpbench.compute.training_plan import TrainingPlan
    from fpbench_methods.nn.attributor import AttributorNetwork

_CROP = 224


class Wang(NetworkMethod["AttributorNetwork"]):
    """A ResNet-50, fine-tuned from ImageNet, with or without blur and JPEG in training.

    Args:
        augment: ``none`` or ``paper`` (blur with σ up to 3 and JPEG of quality 30 to 100).
        probability: Of each of the two under ``paper``: 0.5, or 0.1 as the paper's other model.
        pretrained: Start from ImageNet weights.
        weights: A file that holds them, or None for the Hub.
    """

    batch = 64

    card: ClassVar[MethodCard] = MethodCard(
        name="wang",
        title="CNN-generated images are surprisingly easy to spot... for now",
        authors="Wang, Wang, Zhang, Owens, Efros",
        year=2020,
        citation=(
            "@inproceedings{wang2020cnn,\n"
            "  title = {{CNN}-generated images are surprisingly easy to spot... for now},\n"
            "  author = {Wang, Sheng-Yu and Wang, Oliver and Zhang, Richard and Owens, Andrew and"
            " Efros, Alexei A.},\n"
            "  booktitle = {Conference on Computer Vision and Pattern Recognition},\n"
            "  pages = {8692--8701},\n"
            "  year = {2020},\n"
            "  eprint = {1912.11035}\n"
            "}"
        ),
        licence="MIT",
        version="2",
        variants={
            "none": Variant("no augmentation: what tells sources apart is kept"),
            "paper": Variant("blur and JPEG in training, as in the paper", {"augment": "paper"}),
        },
        min_size=32,
        faithful=(
            "ResNet-50 from ImageNet weights, ImageNet normalisation, crops of 224 where images "
            "are larger; Adam at 1e-4 in batches of 64, a tenth after 5 epochs without a better "
            "validation until 1e-6.",
            "Variant paper: Gaussian blur with σ drawn from 0 to 3 and JPEG of a quality drawn "
            "from 30 to 100, each with probability 0.5.",
        ),
        different=(
            "K logits. The paper detects across generators, for which blur and JPEG help; they "
            "remove what tells generators apart, so the default has neither.",
            "No resizing to 256 and no flips before the crop. Images below 224 stay as they are.",
            "Validation by cross-entropy, at most 100 epochs. Budget small: 6 epochs; smoke: 1 "
            "epoch on at most 8 training images per source.",
        ),
        needs=("ImageNet weights of timm/resnet50.tv_in1k",),
        url="https://arxiv.org/abs/1912.11035",
    )
    crops = False  # its weights are trained on larger ones
    any_size = True
    smoke_images = 8

    def __init__(
        self,
        *,
        augment: Literal["none", "paper"] = "none",
        probability: Annotated[float, Range(0, 1)] = 0.5,
        pretrained: bool = True,
        weights: Annotated[str | None, File()] = None,
    ) -> None:
        self.augment = augment
        self.probability = probability
        self.pretrained = pretrained
        self.weights = weights

    def build(self, classes: int, *, initial: bool) -> AttributorNetwork:
        """ResNet-50 with a new head."""
        from fpbench_methods.nn.timm_classifier import TimmClassifier

        return TimmClassifier(
            "resnet50.tv_in1k",
            classes,
            pretrained=initial and self.pretrained,
            weights=self.weights,
        )

    def prepare(self, batch: Tensor) -> Tensor:
        """ImageNet's normalisation of the middle 224×224 pixels, or of all if there are fewer."""
        from fpbench_methods.nn.augmentation import centre_crop
        from fpbench_methods.nn.pretrained import standardised

        return standardised(centre_crop(batch, _CROP))

    def augmentation(self) -> Callable[[Tensor], Tensor]:
        """Random crops of 224, after blur and JPEG where wanted."""
        from fpbench_methods.nn.augmentation import blur_or_compress, random_crop

        def change(batch: Tensor) -> Tensor:
            if self.augment == "paper":
                batch = blur_or_compress(batch, self.probability)
            return random_crop(batch, _CROP)

        return change

    def plan(self, budget: Budget, images: int) -> TrainingPlan:
        """Adam at 1e-4, a tenth when validation stands still."""
        from fpbench.compute.training_plan import TrainingPlan

        epochs = {"smoke": 1, "small": 6, "full": 100}[budget]
        return TrainingPlan(
            epochs=epochs, batch=64, optimiser="adam", lr=1e-4, schedule="plateau", plateau=5,
            gamma=0.1, min_lr=1e-6, patience=16,
        )  # fmt: skip
