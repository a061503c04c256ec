"""The ManiFPT plugin: artifacts, an attribution network on them, its features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np

from fpbench.images import ImageSet, Source
from fpbench.method import Budget, FitContext, Method, MethodCard
from fpbench_methods.calibration import softmax
from fpbench_methods.manifpt.card import MANIFPT_CARD
from fpbench_methods.manifpt.manifold import Manifold
from fpbench_methods.manifpt.spaces import SPACES, VECTOR_SPACES
from fpbench_methods.sampling import at_most_per_source
from fpbench_methods.state import load_state, save_state

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.compute.training_plan import TrainingPlan
    from fpbench_methods.manifpt.vectors import VectorSpace
    from fpbench_methods.nn.attributor import AttributorNetwork

Attributor = Literal["auto", "resnet20", "resnet50"]

_BATCH = 256
_EPOCHS = {"smoke": 2, "small": 30, "full": 180}
_SIDES = {"smoke": 64, "small": 112, "full": 224}
_SMOKE_IMAGES, _SMOKE_REFERENCE = 32, 256  # with a pretrained network, whose pass is slow


class ManiFPT(Method):
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
    """

    card: ClassVar[MethodCard] = MANIFPT_CARD

    residual_names: tuple[str, str] = ("nearest real image", "artifact")

    def __init__(
        self,
        *,
        space: str = "rgb",
        nn: Literal["own", "rgb"] = "own",
        k: int = 1,
        attributor: Attributor = "auto",
        reference_size: int | None = None,
        pretrained: bool = True,
        weights: str | None = None,
        backbone: str | None = None,
        side: int | None = None,
    ) -> None:
        known = (*SPACES, *VECTOR_SPACES)
        if space not in known:
            raise ValueError(f"space={space!r}: use one of {', '.join(known)}")
        if space in SPACES and (weights is not None or backbone is not None or side is not None):
            raise ValueError(
                f"weights, backbone and side are for spaces of vectors, not for space={space!r}; "
                f"use one of {', '.join(VECTOR_SPACES)}"
            )
        if space in VECTOR_SPACES and attributor != "auto":
            raise ValueError(f"attributor={attributor!r}: the vectors of {space} need auto")
        if side is not None and side < 32:
            raise ValueError(f"side={side}: the network needs at least 32 pixels")
        if nn not in ("own", "rgb"):
            raise ValueError(f"nn={nn!r}: use own or rgb")
        if k < 1:
            raise ValueError(f"k={k}: at least one neighbour is needed")
        if attributor not in ("auto", "resnet20", "resnet50"):
            raise ValueError(f"attributor={attributor!r}: use auto, resnet20 or resnet50")
        if reference_size is not None and reference_size < k:
            raise ValueError(f"reference_size={reference_size} is smaller than k={k}")
        self.space = space
        self.nn = nn
        self.k = k
        self.attributor = attributor
        self.reference_size = reference_size
        self.pretrained = pretrained
        self.weights = weights
        self.backbone = backbone
        self.side = side
        self._space: VectorSpace | None = None
        self._device = "cpu"
        self._sources: tuple[Source, ...] = ()
        self._manifold: Manifold | None = None
        self._network: AttributorNetwork | None = None
        self._architecture = ""

    def fit(
        self,
        train: ImageSet,
        *,
        reference: ImageSet,
        validation: ImageSet,
        context: FitContext,
    ) -> Self:
        """Project training images onto the reference set and train the attributor."""
        from fpbench.compute.classification import train_classifier
        from fpbench.compute.device import seeded

        self._device = context.device
        self._sources = train.sources
        context.progress("project onto real images", 0, 2)
        size = self.reference_size
        if self.space in VECTOR_SPACES:
            self._space = self._open_space(context)
            if context.budget == "smoke":
                train = at_most_per_source(train, _SMOKE_IMAGES)
                size = size or max(_SMOKE_REFERENCE, self.k)
        self._manifold = self._build_manifold(reference, size, context.seed)
        artifacts = self._manifold.artifacts_of(train)
        context.progress("project onto real images", 1, 2)
        held_out = self._manifold.artifacts_of(validation) if len(validation) else None
        context.progress("project onto real images", 2, 2)
        self._architecture = self._choose_architecture(context.budget)
        with seeded(context.seed, "manifpt", "weights"):
            self._network = _build_network(
                self._architecture, len(train.sources), self.pretrained, artifacts.shape[-1]
            )
        train_classifier(
            self._network,
            _training_plan(self._architecture, context.budget),
            artifacts,
            train.labels,
            validation=None if held_out is None else (held_out, validation.labels),
            watch="error",
            seed=context.seed,
            device=self._device,
            what="train the attributor",
            progress=context.progress,
        )
        return self

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

    def _build_manifold(self, reference: ImageSet, size: int | None, seed: int) -> Manifold:
        pixels = reference.pixels
        if size is not None and size < len(pixels):
            chosen = np.random.default_rng(seed).permutation(len(pixels))[:size]
            pixels = pixels[np.sort(chosen)]
        return Manifold(pixels, self._space or self.space, self.nn, self.k)

    def _choose_architecture(self, budget: Budget) -> str:
        if self.space in VECTOR_SPACES:
            return "mlp"
        if self.attributor != "auto":
            return self.attributor
        return "resnet50" if budget == "full" else "resnet20"

    def _infer(self, images: ImageSet, *, embed: bool) -> NDArray[np.float32]:
        from fpbench.compute.inference import predict

        if self._network is None or self._manifold is None:
            raise ValueError("manifpt is not fitted; call fit first")
        forward = self._network.embed if embed else None
        parts = [
            predict(
                self._network,
                self._manifold.artifacts(batch, self._manifold.nearest(batch)),
                forward=forward,
                device=self._device,
            )
            for batch in images.batches(_BATCH)
        ]
        return np.concatenate(parts)

    def embed(self, images: ImageSet) -> NDArray[np.float32]:
        """Penultimate features of the attributor.

        (N, 64) for ResNet-20, (N, 2048) for ResNet-50, (N, 256) for vectors.
        """
        return self._infer(images, embed=True)

    def predict_proba(self, images: ImageSet) -> NDArray[np.float32]:
        """Softmax of the attributor, shape (N, K)."""
        return softmax(self._infer(images, embed=False))

    def residual(self, images: ImageSet) -> NDArray[np.float32]:
        """X − x* in grey levels, shape (N, H, W, 3); x* is searched as the space demands."""
        if self._manifold is None:
            raise ValueError("manifpt is not fitted; call fit first")
        nearest = self._manifold.nearest(np.ascontiguousarray(images.pixels))
        projected = self._manifold.reference[nearest].astype(np.float32).mean(axis=1)
        difference: NDArray[np.float32] = images.pixels.astype(np.float32) - projected
        return difference

    def parameter_count(self) -> int | None:
        """Parameters of the attributor, without those of a frozen network."""
        from fpbench_methods.nn.attributor import count_parameters

        return None if self._network is None else count_parameters(self._network)

    def save(self, folder: Path) -> None:
        """Write the attributor's weights, the reference images, the space and the parameters."""
        if self._network is None or self._manifold is None:
            raise ValueError("manifpt is not fitted; call fit first")
        from fpbench_methods.nn.weights import weights_to_arrays

        arrays = weights_to_arrays(self._network)
        arrays["reference"] = self._manifold.reference
        facts = {
            "space": self.space,
            "nn": self.nn,
            "k": self.k,
            "architecture": self._architecture,
            "backbone": self.backbone,
            "side": None if self._space is None else self._space.side,
        }
        if self._space is not None:
            arrays |= {f"space.{key}": value for key, value in self._space.arrays().items()}
        save_state(folder, "manifpt", arrays, facts, self._sources)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; runs on the CPU."""
        from fpbench_methods.nn.weights import weights_from_arrays

        arrays, facts, sources = load_state(folder, "manifpt")
        names = ("space", "nn", "k", "backbone", "side")
        method = cls(**{name: facts[name] for name in names})
        method._architecture = facts["architecture"]
        method._sources = sources
        if method.space in VECTOR_SPACES:
            from fpbench_methods.manifpt.vectors import reopen_space

            frozen = {k.removeprefix("space."): v for k, v in arrays.items()
                      if k.startswith("space.")}  # fmt: skip
            method._space = reopen_space(method.space, facts["side"], frozen, method.backbone)
        method._manifold = Manifold(
            arrays.pop("reference"), method._space or method.space, method.nn, method.k
        )
        vector = arrays["network.body.0.weight"].shape[1] if facts["architecture"] == "mlp" else 0
        network = _build_network(method._architecture, len(sources), False, vector)
        weights_from_arrays(network, arrays)
        method._network = network
        return method


def _build_network(
    architecture: str, classes: int, pretrained: bool, vector: int
) -> AttributorNetwork:
    """An attributor; `vector` is the length of the vectors that ``mlp`` reads."""
    if architecture == "mlp":
        from fpbench_methods.nn.vector_mlp import VectorMLP

        return VectorMLP(vector, classes)
    if architecture == "resnet20":
        from fpbench_methods.nn.resnet_cifar import ResNetCifar

        return ResNetCifar(classes)
    from fpbench_methods.nn.timm_classifier import TimmClassifier

    return TimmClassifier("resnet50.a1_in1k", classes, pretrained=pretrained)


def _training_plan(architecture: str, budget: Budget) -> TrainingPlan:
    from fpbench.compute.training_plan import TrainingPlan

    if architecture == "resnet50":
        epochs = {"smoke": 1, "small": 4, "full": 60}[budget]
        return TrainingPlan(
            epochs=epochs, batch=36, optimiser="sgd", lr=0.01, momentum=0.9, weight_decay=1e-4,
            schedule="cosine",
        )  # fmt: skip
    if architecture == "mlp":
        epochs = {"smoke": 10, "small": 60, "full": 60}[budget]
        return TrainingPlan(epochs=epochs, batch=36, optimiser="adamw", lr=1e-3, weight_decay=1e-2)
    epochs = _EPOCHS[budget]
    return TrainingPlan(
        epochs=epochs, batch=36, optimiser="sgd", lr=0.1, momentum=0.9, weight_decay=1e-4,
        schedule="milestones", milestones=(epochs * 100 // 180, epochs * 150 // 180),
    )  # fmt: skip
