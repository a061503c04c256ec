"""Artifacts x − x* of a projection x*, and an attribution network on them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from fpbench.images import ImageSet
from fpbench.method import Budget, FitContext, require_reference
from fpbench_methods.bases.artifacts import ArtifactMethod
from fpbench_methods.bases.crops import assembled, drawn, tiled
from fpbench_methods.bases.saved import Arrays, Facts

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from fpbench.compute.training_plan import TrainingPlan
    from fpbench_methods.riemann.manifold import RealManifold
    from fpbench_methods.riemann.plain import Blurred, Projector
    from fpbench_methods.riemann.settings import Settings

_CROPS = 4  # of each training image, where projections are of crops
_REAL_CROPS = 2  # of each reference image

Projection = Literal["centre", "reconstruction", "blur", "none"]


class ProjectionMethod(ArtifactMethod):
    """Artifacts a(x) = x − x*, read by the network of `manifpt`.

    Attributes:
        projection: ``centre`` (x* decoded from a centre of mass of real neighbours),
            ``reconstruction`` (dec(enc(x)), without neighbours and geometry), ``blur`` (x after a
            Gaussian blur) or ``none`` (x* = 0); the last two know no real image.
        k: Number of neighbours; None lets the budget decide.
        latent: Latent dimensions; None means 32, or 128 for images of more than 64 pixels.
        sigma: Standard deviation in pixels of the Gaussian of ``blur``.
    """

    drawn_as: ClassVar[str] = "riemann"
    crops_a_side: ClassVar[int] = 2  # projections onto real images are slow
    projection: Projection = "centre"
    k: int | None = None
    latent: int | None = None
    sigma: float = 2.0

    _projector: Projector | None = None

    def _settings(self) -> Settings:
        from fpbench_methods.riemann.settings import settings_for

        return settings_for(self._budget, self._size, k=self.k, latent=self.latent)

    def look_at(self, train: ImageSet, reference: ImageSet, context: FitContext) -> None:
        """Learn the manifold from the reference images."""
        self._projector = self._plain() or self._learned(train, reference, context)

    def _plain(self) -> Blurred | None:
        """The projection, if it is one that learns nothing."""
        from fpbench_methods.riemann.plain import Blurred

        if self.projection == "none":
            return Blurred(None)
        return Blurred(self.sigma) if self.projection == "blur" else None

    def _learned(self, train: ImageSet, reference: ImageSet, context: FitContext) -> RealManifold:
        from fpbench.compute.device import numpy_generator
        from fpbench_methods.riemann.manifold import RealManifold

        require_reference(reference, self.card.name)
        if reference.size != train.size:
            raise ValueError(
                f"reference images of {reference.size[0]}x{reference.size[1]} cannot be a manifold "
                f"for images of {train.size[0]}x{train.size[1]}"
            )
        settings = self._settings()
        real = reference.pixels
        if self._crop is not None:
            real = drawn(real, self._crop, _REAL_CROPS, context.seed, "riemann", "crops")
        if settings.most is not None and len(real) > settings.most:
            order = numpy_generator(context.seed, "riemann", "reference").permutation(len(real))
            real = real[np.sort(order[: settings.most])]
        return RealManifold.learn(real, settings, self.projection == "centre", context)

    def plan(self, budget: Budget, images: int) -> TrainingPlan:
        """That of all; of crops drawn once there are several of each image, shown less often."""
        plan = super().plan(budget, images)
        if not self.judges_crops:
            return plan
        epochs = max(1, plan.epochs // _CROPS)
        ends = tuple(max(1, at // _CROPS) for at in plan.milestones)
        return replace(plan, epochs=epochs, milestones=ends)

    def learn(
        self,
        trained: nn.Module,
        train: ImageSet,
        reference: ImageSet,
        validation: ImageSet,
        context: FitContext,
    ) -> None:
        """Train the attributor; where projections are of crops, on artifacts of some drawn once."""
        side = self._crop if self.judges_crops else None
        if side is not None:
            crops = drawn(train.pixels, side, _CROPS, context.seed, "riemann", "training crops")
            train = ImageSet(crops, train.sources, np.repeat(train.labels, _CROPS))
            if len(validation):
                held_out, corners = tiled(validation.pixels, side, 2)
                labels = np.repeat(validation.labels, len(corners))
                validation = ImageSet(held_out, validation.sources, labels)
        super().learn(trained, train, reference, validation, context)

    def artifacts(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """X − x* in units of [0, 1], shape (N, H, W, 3)."""
        return self.fitted(self._projector).artifacts(pixels)

    def residual(self, images: ImageSet) -> NDArray[np.float32]:
        """X − x* in grey levels, shape (N, H, W, 3)."""
        projector = self.fitted(self._projector)
        if not len(images):
            return np.empty(images.pixels.shape, np.float32)
        side = self._crop if self.judges_crops else None
        if side is None:
            return projector.artifacts(np.ascontiguousarray(images.pixels)) * np.float32(255)
        crops, corners = tiled(images.pixels, side, None)
        return assembled(projector.artifacts(crops), corners, images.size) * np.float32(255)

    def parameter_count(self) -> int | None:
        """Parameters of the attributor, and of the autoencoder and its precision network."""
        own = super().parameter_count()
        if own is None or self._projector is None:
            return None
        models = self._projector.models
        return own + sum(value.numel() for model in models for value in model.parameters())

    def extra_arrays(self) -> Arrays:
        """The manifold, if there is one."""
        return self.fitted(self._projector).arrays()

    def restore_extra(self, arrays: Arrays, facts: Facts) -> None:
        """The manifold again."""
        from fpbench_methods.riemann.manifold import RealManifold

        geometric = self.projection == "centre"
        self._projector = self._plain() or RealManifold.restore(arrays, self._settings(), geometric)
