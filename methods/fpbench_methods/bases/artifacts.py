"""The base of methods that read what is left of an image once its projection is subtracted."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from fpbench.images import ImageSet
from fpbench.method import Budget, FitContext
from fpbench_methods.bases.crops import within_area
from fpbench_methods.bases.network import NetworkMethod

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from fpbench.compute.training_plan import TrainingPlan
    from fpbench_methods.nn.attributor import AttributorNetwork

Attributor = Literal["auto", "resnet20", "resnet50"]

_BATCH = 256
_SHOWN = 36  # images of a step
# After so many steps of momentum 0.1, running statistics hold 0.5 % of what was before.
_SETTLED = 50
_EPOCHS = {"smoke": 2, "small": 30, "full": 180}
_FINE_TUNING_EPOCHS = {"smoke": 1, "small": 4, "full": 60}


def renewed(images: int) -> int | None:
    """On how many images statistics of normalisation are renewed, None where epochs are long."""
    return None if images >= _SETTLED * _SHOWN else 1024


class ArtifactMethod(NetworkMethod["AttributorNetwork"]):
    """Deviations of images from their projections, read by a residual network.

    A subclass gives `artifacts`, and learns what it projects onto in `look_at`.

    Attributes:
        attributor: ``resnet20``, ``resnet50``, or ``auto``: the latter for budget full.
        pretrained: Whether resnet50 starts from ImageNet weights.
    """

    watch: ClassVar[Literal["cross_entropy", "error"]] = "error"
    attributor: Attributor = "auto"
    pretrained: bool = True

    @abstractmethod
    def artifacts(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Deviations of images (N, H, W, 3): of the same shape, or vectors (N, D)."""

    def architecture(self, budget: Budget) -> Literal["resnet20", "resnet50"]:
        """Which network reads the deviations."""
        if self.attributor != "auto":
            return self.attributor
        return "resnet50" if budget == "full" else "resnet20"

    def build(self, classes: int, *, initial: bool) -> AttributorNetwork:
        """The attributor."""
        if self.architecture(self._budget) == "resnet20":
            from fpbench_methods.nn.resnet_cifar import ResNetCifar

            return ResNetCifar(classes)
        from fpbench_methods.nn.timm_classifier import TimmClassifier

        return TimmClassifier("resnet50.a1_in1k", classes, pretrained=initial and self.pretrained)

    def plan(self, budget: Budget, images: int) -> TrainingPlan:
        """SGD; for resnet20 as in the released code of ManiFPT."""
        from fpbench.compute.training_plan import TrainingPlan

        statistics = renewed(images)
        if self.architecture(budget) == "resnet50":
            return TrainingPlan(
                epochs=_FINE_TUNING_EPOCHS[budget], batch=_SHOWN, optimiser="sgd", lr=0.01,
                momentum=0.9, weight_decay=1e-4, schedule="cosine", statistics=statistics,
            )  # fmt: skip
        epochs = _EPOCHS[budget]
        return TrainingPlan(
            epochs=epochs, batch=_SHOWN, optimiser="sgd", lr=0.1, momentum=0.9, weight_decay=1e-4,
            schedule="milestones", milestones=(epochs * 100 // 180, epochs * 150 // 180),
            statistics=statistics,
        )  # fmt: skip

    @property
    def _per_crop(self) -> bool:
        """Whether artifacts are computed of each crop anew, from what `rows_of` gives."""
        return False

    def learn(
        self,
        trained: nn.Module,
        train: ImageSet,
        reference: ImageSet,
        validation: ImageSet,
        context: FitContext,
    ) -> None:
        """Train the attributor on artifacts, each computed once, of large images in float16."""
        if self._per_crop:
            super().learn(trained, train, reference, validation, context)
            return
        whole = len(train) + len(validation)
        artifacts = self._artifacts_of(train, context, 0, whole)
        held_out = None
        if len(validation):
            found = self._artifacts_of(validation, context, len(train), whole)
            held_out = self.quartered(found, validation.labels)
        self.train_on(trained, (artifacts, train.labels), held_out, context, prepared=True)

    def _artifacts_of(
        self, images: ImageSet, context: FitContext, done: int, whole: int
    ) -> NDArray[np.floating]:
        found: NDArray[np.floating] | None = None
        start = 0
        for batch in images.batches(within_area(_BATCH, images.size)):
            context.progress("compute artifacts", done + start, whole)
            part = self.artifacts(batch)
            if found is None:
                halved = self._crop is not None and part.ndim == 4
                kept = np.float16 if halved else np.float32
                found = np.empty((len(images), *part.shape[1:]), kept)
            found[start : start + len(batch)] = part
            start += len(batch)
        context.progress("compute artifacts", done + start, whole)
        if found is None:
            raise ValueError(f"{self.card.name} has no training images")
        return found

    def prepare(self, batch: Tensor) -> Tensor:
        """Artifacts of grey levels (B, 3, H, W): of that shape, or (B, D)."""
        import torch

        pixels = np.ascontiguousarray(batch.permute(0, 2, 3, 1).cpu().numpy())
        artifacts = torch.from_numpy(self.artifacts(pixels)).to(batch.device)
        return artifacts.permute(0, 3, 1, 2) if artifacts.ndim == 4 else artifacts
