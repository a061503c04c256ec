"""The Riemannian fingerprints' plugin: artifacts and an attribution network on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from fpbench.images import ImageSet
from fpbench.method import Budget, FitContext, MethodCard
from fpbench_methods.network_method import NetworkMethod
from fpbench_methods.riemann.card import RIEMANN_CARD

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from fpbench.compute.training_plan import TrainingPlan
    from fpbench_methods.nn.attributor import AttributorNetwork
    from fpbench_methods.riemann.manifold import RealManifold
    from fpbench_methods.riemann.plain import Blurred
    from fpbench_methods.riemann.settings import Settings

_PICTURED = {
    "centre": ("projection onto real images", "artifact"),
    "reconstruction": ("reconstruction", "artifact"),
    "blur": ("image after a Gaussian blur", "artifact"),
    "none": ("nothing", "the image itself"),
}
_EPOCHS = {"smoke": 2, "small": 30, "full": 180}
_BATCH = 256


class Riemann(NetworkMethod):
    """Artifacts a(x) = x − x* with x* decoded from a centre of mass of real neighbours.

    A variational autoencoder of the reference images gives its latent space the metric of its
    stochastic decoder. The k reference images nearest to an image by geodesic length have a
    Riemannian centre of mass; what it decodes to is the image's projection (after Song and Itti,
    ICCV 2025). The network of `manifpt` reads the artifacts.

    Args:
        projection: ``centre`` (the above), ``reconstruction`` (x* = dec(enc(x)), without
            neighbours and geometry), ``blur`` (x* is x after a Gaussian blur) or ``none``
            (x* = 0); the last two know no real image.
        k: Number of neighbours; None lets the budget decide: 5, 10 and 10.
        latent: Latent dimensions; None means 32, or 128 for images of more than 64 pixels.
        attributor: ``resnet20``, ``resnet50`` (from timm), or ``auto``: resnet50 for budget
            full, else resnet20.
        pretrained: Start resnet50 from ImageNet weights.
        sigma: Standard deviation in pixels of the Gaussian of ``blur``.
    """

    card: ClassVar[MethodCard] = RIEMANN_CARD
    watch: ClassVar[Literal["cross_entropy", "error"]] = "error"

    _projector: RealManifold | Blurred | None = None

    def __init__(
        self,
        *,
        projection: Literal["centre", "reconstruction", "blur", "none"] = "centre",
        k: int | None = None,
        latent: int | None = None,
        attributor: Literal["auto", "resnet20", "resnet50"] = "auto",
        pretrained: bool = True,
        sigma: float = 2.0,
    ) -> None:
        if projection not in _PICTURED:
            raise ValueError(f"projection={projection!r}: use centre, reconstruction, blur or none")
        if k is not None and k < 1:
            raise ValueError(f"k={k}: at least one neighbour is needed")
        if latent is not None and latent < 1:
            raise ValueError(f"latent={latent}: at least one dimension is needed")
        if attributor not in ("auto", "resnet20", "resnet50"):
            raise ValueError(f"attributor={attributor!r}: use auto, resnet20 or resnet50")
        if not 0 < sigma < float("inf"):
            raise ValueError(f"sigma={sigma}: a blur needs a positive number of pixels")
        self.projection = projection
        self.residual_names = _PICTURED[projection]
        self.any_size = projection in ("blur", "none")  # an autoencoder fixes the size
        self.k = k
        self.latent = latent
        self.attributor = attributor
        self.pretrained = pretrained
        self.sigma = sigma

    def _architecture(self, budget: Budget) -> str:
        if self.attributor != "auto":
            return self.attributor
        return "resnet50" if budget == "full" else "resnet20"

    def build(self, classes: int, *, initial: bool) -> AttributorNetwork:
        """The attributor."""
        if self._architecture(self._budget) == "resnet20":
            from fpbench_methods.nn.resnet_cifar import ResNetCifar

            return ResNetCifar(classes)
        from fpbench_methods.nn.timm_classifier import TimmClassifier

        return TimmClassifier("resnet50.a1_in1k", classes, pretrained=initial and self.pretrained)

    def plan(self, budget: Budget) -> TrainingPlan:
        """That of `manifpt`: SGD, for resnet20 as in its released code."""
        from fpbench.compute.training_plan import TrainingPlan

        if self._architecture(budget) == "resnet50":
            epochs = {"smoke": 1, "small": 4, "full": 60}[budget]
            return TrainingPlan(
                epochs=epochs, batch=36, optimiser="sgd", lr=0.01, momentum=0.9,
                weight_decay=1e-4, schedule="cosine",
            )  # fmt: skip
        epochs = _EPOCHS[budget]
        return TrainingPlan(
            epochs=epochs, batch=36, optimiser="sgd", lr=0.1, momentum=0.9, weight_decay=1e-4,
            schedule="milestones", milestones=(epochs * 100 // 180, epochs * 150 // 180),
        )  # fmt: skip

    def _settings(self) -> Settings:
        from fpbench_methods.riemann.settings import settings_for

        return settings_for(self._budget, self._size, k=self.k, latent=self.latent)

    def learn(
        self,
        network: AttributorNetwork,
        train: ImageSet,
        reference: ImageSet,
        validation: ImageSet,
        context: FitContext,
    ) -> None:
        """Learn the manifold from the reference images, and the attributor from artifacts."""
        from fpbench.compute.classification import train_classifier

        self._projector = self._plain() or self._learned(train, reference, context)
        whole = len(train) + len(validation)
        artifacts = self._artifacts_of(train, context, 0, whole)
        held_out = self._artifacts_of(validation, context, len(train), whole)
        train_classifier(
            network,
            self.plan(context.budget),
            artifacts,
            train.labels,
            validation=(held_out, validation.labels) if len(validation) else None,
            watch=self.watch,
            seed=context.seed,
            device=context.device,
            what="train the attributor",
            progress=context.progress,
        )

    def _plain(self) -> Blurred | None:
        """The projection, if it is one that learns nothing."""
        from fpbench_methods.riemann.plain import Blurred

        if self.projection == "none":
            return Blurred(None)
        return Blurred(self.sigma) if self.projection == "blur" else None

    def _learned(self, train: ImageSet, reference: ImageSet, context: FitContext) -> RealManifold:
        from fpbench.compute.device import numpy_generator
        from fpbench_methods.riemann.manifold import RealManifold

        if len(reference) and reference.size != train.size:
            raise ValueError(
                f"reference images of {reference.size[0]}x{reference.size[1]} cannot be a manifold "
                f"for images of {train.size[0]}x{train.size[1]}"
            )
        settings = self._settings()
        real = reference.pixels
        if settings.most is not None and len(real) > settings.most:
            drawn = numpy_generator(context.seed, "riemann", "reference").permutation(len(real))
            real = real[np.sort(drawn[: settings.most])]
        return RealManifold.learn(real, settings, self.projection == "centre", context)

    def _artifacts_of(
        self, images: ImageSet, context: FitContext, done: int, whole: int
    ) -> NDArray[np.float32]:
        assert self._projector is not None  # noqa: S101  (`learn` makes it)
        found = np.empty(images.pixels.shape, np.float32)
        start = 0
        for batch in images.batches(_BATCH):
            context.progress("compute artifacts", done + start, whole)
            found[start : start + len(batch)] = self._projector.artifacts(batch)
            start += len(batch)
        context.progress("compute artifacts", done + start, whole)
        return found

    def prepare(self, batch: Tensor) -> Tensor:
        """Artifacts (B, 3, H, W) of grey levels (B, 3, H, W)."""
        import torch

        if self._projector is None:
            raise ValueError("riemann is not fitted; call fit first")
        pixels = np.ascontiguousarray(batch.permute(0, 2, 3, 1).cpu().numpy())
        artifacts = torch.from_numpy(self._projector.artifacts(pixels))
        return artifacts.permute(0, 3, 1, 2).to(batch.device)

    def residual(self, images: ImageSet) -> NDArray[np.float32]:
        """X − x* in grey levels, shape (N, H, W, 3)."""
        if self._projector is None:
            raise ValueError("riemann is not fitted; call fit first")
        if not len(images):
            return np.empty(images.pixels.shape, np.float32)
        return self._projector.artifacts(np.ascontiguousarray(images.pixels)) * np.float32(255)

    def parameter_count(self) -> int | None:
        """Parameters of the attributor, and of the autoencoder and its precision network."""
        own = super().parameter_count()
        if own is None or self._projector is None:
            return None
        models = self._projector.models
        return own + sum(value.numel() for model in models for value in model.parameters())

    def extra_arrays(self) -> dict[str, NDArray[Any]]:
        """The manifold, if there is one."""
        return {} if self._projector is None else self._projector.arrays()

    def restore_extra(self, arrays: dict[str, NDArray[Any]]) -> None:
        """The manifold again."""
        from fpbench_methods.riemann.manifold import RealManifold

        geometric = self.projection == "centre"
        self._projector = self._plain() or RealManifold.restore(arrays, self._settings(), geometric)
