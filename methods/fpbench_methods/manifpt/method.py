"""The ManiFPT plugin: artifacts, an attribution network on them, its features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np

from fpbench.errors import BadInput
from fpbench.images import ImageSet
from fpbench.method import Budget, File, FitContext, MethodCard, Range, require_reference
from fpbench_methods.bases.artifacts import ArtifactMethod, Attributor, renewed
from fpbench_methods.bases.crops import within_area
from fpbench_methods.bases.saved import Arrays, Facts, prefixed, under
from fpbench_methods.manifpt.card import MANIFPT_CARD
from fpbench_methods.manifpt.manifold import Manifold
from fpbench_methods.manifpt.spaces import SPACES, VECTOR_SPACES

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from fpbench.compute.training_plan import TrainingPlan
    from fpbench_methods.manifpt.vectors import VectorSpace
    from fpbench_methods.nn.attributor import AttributorNetwork

_SIDES = {"smoke": 64, "small": 112, "full": 224}
_SMOKE_IMAGES, _SMOKE_REFERENCE = 32, 256  # with a pretrained network, whose pass is slow
_BATCH = 256
_VECTOR_EPOCHS = {"smoke": 10, "small": 60, "full": 60}


class ManiFPT(ArtifactMethod):
    """Artifacts a(x) = T(x) − T(x*) with x* the nearest real image, read by a network.

    The reference images estimate the data manifold; the deviation of an image from its nearest
    reference image, in a space T, is its artifact (Song, Khayatkhoei, AbdAlmageed, CVPR 2024).
    An attribution network is trained on artifacts with cross-entropy; its penultimate features
    are the image fingerprints.

    Args:
        space: ``rgb`` (pixels in [0, 1]), ``freq`` (log-magnitude of the Fourier transform), or
            vectors of a pretrained network: ``sl``, ``ssl`` or ``sl-lite``.
        nn: Where the nearest image is searched: ``own`` (in `space`, the paper's definition) or
            ``rgb`` (in pixels, as the released code does).
        k: Number of neighbours whose mean is the projection.
        attributor: ``resnet20`` (the released code's), ``resnet50`` (the paper's, from timm), or
            ``auto``: the paper's for budget full, else the code's. Vectors are read by two hidden
            layers.
        reference_size: Use only this many reference images, drawn by seed; None for all.
        pretrained: Start `resnet50` from ImageNet weights, fetched from the Hub by timm; and take
            trained weights for the network of a space of vectors.
        weights: A file with the weights of the space's network, or None to fetch them.
        backbone: timm's name of another network for a space of vectors.
        side: Its input in pixels; None lets the budget decide.
        length: See `NetworkMethod`.
    """

    card: ClassVar[MethodCard] = MANIFPT_CARD

    residual_names: tuple[str, str] = ("nearest real image", "artifact")

    def __init__(
        self,
        *,
        space: Literal["rgb", "freq", "sl", "ssl", "sl-lite"] = "rgb",
        nn: Literal["own", "rgb"] = "own",
        k: Annotated[int, Range(1, 100_000)] = 1,
        attributor: Attributor = "auto",
        reference_size: Annotated[int | None, Range(1, 1_000_000_000)] = None,
        pretrained: bool = True,
        weights: Annotated[str | None, File()] = None,
        backbone: str | None = None,
        side: Annotated[int | None, Range(32, 2048)] = None,
        **length: Any,
    ) -> None:
        super().__init__(**length)
        if space in SPACES and (weights is not None or backbone is not None or side is not None):
            raise BadInput(
                f"weights, backbone and side are for spaces of vectors, not for space={space!r}; "
                f"use one of {', '.join(VECTOR_SPACES)}."
            )
        if space in VECTOR_SPACES and attributor != "auto":
            raise BadInput(f"attributor={attributor!r}: the vectors of {space} need auto.")
        if reference_size is not None and reference_size < k:
            raise BadInput(f"reference_size={reference_size} is smaller than k={k}.")
        self.space = space
        self.nn = nn
        self.k = k
        self.attributor = attributor
        self.reference_size = reference_size
        self.pretrained = pretrained
        self.weights = weights
        self.backbone = backbone
        self.side = side
        self.any_size = True  # the manifold says what it can compare
        self.crops = space not in VECTOR_SPACES
        self.smoke_images = _SMOKE_IMAGES if space in VECTOR_SPACES else None
        self._space: VectorSpace | None = None
        self._manifold: Manifold | None = None

    def look_at(self, train: ImageSet, reference: ImageSet, context: FitContext) -> None:
        """Open the space and put the reference images into it."""
        require_reference(reference, "manifpt")
        size = self.reference_size
        if self.space in VECTOR_SPACES:
            self._space = self._open_space(context)
            if context.budget == "smoke":
                size = size or max(_SMOKE_REFERENCE, self.k)
        pixels = reference.pixels
        if size is not None and size < len(pixels):
            chosen = np.random.default_rng(context.seed).permutation(len(pixels))[:size]
            pixels = pixels[np.sort(chosen)]
        self._manifold = self._manifold_of(pixels)

    def _open_space(self, context: FitContext) -> VectorSpace:
        from fpbench.compute.device import seeded
        from fpbench_methods.manifpt.vectors import open_space

        with seeded(context.seed, "manifpt", "space"):
            return open_space(
                self.space,
                self.side or _SIDES[context.budget],
                pretrained=self.pretrained,
                weights=self.weights,
                backbone=self.backbone,
                device=context.device,
            )

    def _manifold_of(self, reference: NDArray[np.uint8]) -> Manifold:
        return Manifold(reference, self._space or self.space, self.nn, self.k)

    def build(self, classes: int, *, initial: bool) -> AttributorNetwork:
        """A residual network, or two hidden layers for vectors."""
        if self.space in VECTOR_SPACES:
            from fpbench_methods.nn.vector_mlp import VectorMLP

            return VectorMLP(self.fitted(self._manifold).shape[-1], classes)
        return super().build(classes, initial=initial)

    def plan(self, budget: Budget, images: int) -> TrainingPlan:
        """SGD for residual networks, AdamW for the layers on vectors."""
        from fpbench.compute.training_plan import TrainingPlan

        if self.space in VECTOR_SPACES:
            return TrainingPlan(
                epochs=_VECTOR_EPOCHS[budget], batch=36, optimiser="adamw", lr=1e-3,
                weight_decay=1e-2, statistics=renewed(images),
            )  # fmt: skip
        return super().plan(budget, images)

    @property
    def _per_crop(self) -> bool:
        # A crop of a spectrum is a band of frequencies; spectra are taken of crops instead.
        return self._crop is not None and self.space == "freq"

    @property
    def judges_crops(self) -> bool:
        """Spectra are those of crops, so that crops are judged."""
        return self._per_crop

    def rows_of(self, images: ImageSet) -> NDArray[np.uint8]:
        """Grey levels; where crops are judged, those of the nearest real images beside them."""
        if not self._per_crop:
            return images.pixels
        manifold = self.fitted(self._manifold)
        rows = np.empty((*images.pixels.shape[:3], self._channels()), np.uint8)
        done = 0
        for batch in images.batches(within_area(_BATCH, images.size)):
            nearest = manifold.nearest(batch)
            beside = [manifold.reference[column] for column in nearest.T]
            rows[done : done + len(batch)] = np.concatenate([batch, *beside], axis=3)
            done += len(batch)
        return rows

    def _channels(self) -> int:
        return 3 * (1 + self.k) if self._per_crop else 3

    def prepare(self, batch: Tensor) -> Tensor:
        """Artifacts of grey levels, or of crops with those of their nearest real images."""
        if not self._per_crop:
            return super().prepare(batch)
        import torch

        rows = np.ascontiguousarray(batch.permute(0, 2, 3, 1).cpu().numpy())
        image, *beside = (rows[..., 3 * k : 3 * k + 3] for k in range(1 + self.k))
        found = SPACES[self.space](np.ascontiguousarray(image))
        for real in beside:
            found -= SPACES[self.space](np.ascontiguousarray(real)) / np.float32(self.k)
        return torch.from_numpy(found).to(batch.device).permute(0, 3, 1, 2)

    def artifacts(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """T(x) − T(x*): of shape (N, H, W, 3), or vectors (N, D)."""
        manifold = self.fitted(self._manifold)
        return manifold.artifacts(pixels, manifold.nearest(pixels))

    def residual(self, images: ImageSet) -> NDArray[np.float32]:
        """X − x* in grey levels, shape (N, H, W, 3); x* is searched as the space demands."""
        manifold = self.fitted(self._manifold)
        nearest = manifold.nearest(np.ascontiguousarray(images.pixels))
        projected = manifold.reference[nearest].astype(np.float32).mean(axis=1)
        difference: NDArray[np.float32] = images.pixels.astype(np.float32) - projected
        return difference

    def extra_arrays(self) -> Arrays:
        """The reference images, and the network of a space of vectors."""
        arrays: Arrays = {"reference": self.fitted(self._manifold).reference}
        return arrays if self._space is None else arrays | prefixed("space.", self._space.arrays())

    def restore_extra(self, arrays: Arrays, facts: Facts) -> None:
        """The space and the manifold again."""
        if self.space in VECTOR_SPACES:
            from fpbench_methods.manifpt.vectors import reopen_space

            side = self.side or _SIDES[self._budget]
            self._space = reopen_space(self.space, side, under("space.", arrays), self.backbone)
        self._manifold = self._manifold_of(arrays["reference"])

    @classmethod
    def upgraded(cls, arrays: Arrays, facts: Facts) -> tuple[Arrays, Facts]:
        """Facts in which arguments stood alone, and the attributor and side were the budget's."""
        if "params" in facts:
            return arrays, facts
        known = {name: facts[name] for name in ("space", "nn", "k", "backbone", "side")}
        if facts["architecture"] != "mlp":
            known["attributor"] = facts["architecture"]
        network = under("network.", arrays)
        rest = {name: value for name, value in arrays.items() if not name.startswith("network.")}
        size = list(arrays["reference"].shape[1:3])
        return (
            prefixed("network.", network) | prefixed("extra.", rest),
            {"params": known, "size": size, "budget": "small"},
        )
