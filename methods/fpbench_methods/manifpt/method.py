"""The ManiFPT plugin: artifacts, an attribution network on them, its features."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np

from fpbench.images import ImageSet, Source
from fpbench.method import Budget, FitContext, Method, MethodCard, Variant
from fpbench_methods.calibration import softmax
from fpbench_methods.manifpt.manifold import Manifold
from fpbench_methods.manifpt.spaces import SPACES
from fpbench_methods.state import load_state, save_state

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fpbench.compute.training_plan import TrainingPlan
    from fpbench_methods.nn.attributor import AttributorNetwork

Attributor = Literal["auto", "resnet20", "resnet50"]

_BATCH = 256
_EPOCHS = {"smoke": 2, "small": 30, "full": 180}


class ManiFPT(Method):
    """Artifacts a(x) = T(x) − T(x*) with x* the nearest real image, read by a network.

    The reference images estimate the data manifold; the deviation of an image from its nearest
    reference image, in a space T, is its artifact (Song, Khayatkhoei, AbdAlmageed, CVPR 2024).
    An attribution network is trained on artifacts with cross-entropy; its penultimate features
    are the image fingerprints.

    Args:
        space: ``rgb`` (pixels in [0, 1]) or ``freq`` (log-magnitude of the Fourier transform).
        nn: Where the nearest image is searched: ``own`` (in `space`, the paper's definition) or
            ``rgb`` (in pixels, as the released code does).
        k: Number of neighbours whose mean is the projection.
        attributor: ``resnet20`` (the released code's), ``resnet50`` (the paper's, from timm), or
            ``auto``: the paper's for budget full, else the code's.
        reference_size: Use only this many reference images, drawn by seed; None for all.
        pretrained: Start `resnet50` from ImageNet weights, fetched from the Hub by timm.
    """

    card: ClassVar[MethodCard] = MethodCard(
        name="manifpt",
        title="ManiFPT: Defining and Analyzing Fingerprints of Generative Models",
        authors="Song, Khayatkhoei, AbdAlmageed",
        year=2024,
        citation=(
            "@inproceedings{song2024manifpt,\n"
            "  title = {{ManiFPT}: Defining and Analyzing Fingerprints of Generative Models},\n"
            "  author = {Song, Hae Jin and Khayatkhoei, Mahyar and AbdAlmageed, Wael},\n"
            "  booktitle = {Conference on Computer Vision and Pattern Recognition},\n"
            "  pages = {10791--10801},\n"
            "  year = {2024},\n"
            "  eprint = {2402.10401}\n"
            "}"
        ),
        licence="MIT",
        version="1",
        variants={
            "rgb": Variant("artifacts in pixels", {"space": "rgb"}),
            "freq": Variant("artifacts in log-magnitude spectra", {"space": "freq"}),
            "freq-code": Variant(
                "spectra, neighbours searched in pixels as in the released code",
                {"space": "freq", "nn": "rgb"},
            ),
        },
        min_size=8,
        faithful=(
            "Artifact x − x* with x* the exact Euclidean nearest real image in the artifact's own "
            "space; one neighbour.",
            "RGB in [0, 1] without normalisation; FREQ is log(|FFT2| + 1e-12) per channel, "
            "shifted, without normalisation.",
            "Attribution network on artifacts under multi-class cross-entropy; budget full uses "
            "ResNet-50, as the paper says.",
            "ResNet-20 is trained as in the released code: SGD, rate 0.1, momentum 0.9, weight "
            "decay 1e-4, a tenth at 100/180 and 150/180 of the epochs, batch 36, best validation.",
        ),
        different=(
            "The reference set is disjoint from the images of the real class. The released code "
            "projects real images onto themselves, so their artifact is zero and gives them away.",
            "Budgets smoke and small use ResNet-20 and 2 or 30 epochs instead of 180.",
            "ResNet-50 is fine-tuned with SGD, rate 0.01, cosine, 60 epochs: the paper's settings "
            "could not be established.",
        ),
        url="https://arxiv.org/abs/2402.10401",
    )

    residual_names: ClassVar[tuple[str, str]] = ("nearest real image", "artifact")

    def __init__(
        self,
        *,
        space: str = "rgb",
        nn: Literal["own", "rgb"] = "own",
        k: int = 1,
        attributor: Attributor = "auto",
        reference_size: int | None = None,
        pretrained: bool = True,
    ) -> None:
        if space not in SPACES:
            raise ValueError(f"space={space!r}: use one of {', '.join(SPACES)}")
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
        self._manifold = self._build_manifold(reference, context.seed)
        context.progress("project onto real images", 0, 2)
        artifacts = self._manifold.artifacts_of(train)
        context.progress("project onto real images", 1, 2)
        held_out = self._manifold.artifacts_of(validation) if len(validation) else None
        context.progress("project onto real images", 2, 2)
        self._architecture = self._choose_architecture(context.budget)
        with seeded(context.seed, "manifpt", "weights"):
            self._network = _build_network(self._architecture, len(train.sources), self.pretrained)
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

    def _build_manifold(self, reference: ImageSet, seed: int) -> Manifold:
        pixels = reference.pixels
        if self.reference_size is not None and self.reference_size < len(pixels):
            chosen = np.random.default_rng(seed).permutation(len(pixels))[: self.reference_size]
            pixels = pixels[np.sort(chosen)]
        return Manifold(pixels, self.space, self.nn, self.k)

    def _choose_architecture(self, budget: Budget) -> str:
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
        """Penultimate features of the attributor: (N, 64) for ResNet-20, (N, 2048) for 50."""
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
        """Parameters of the attributor."""
        from fpbench_methods.nn.attributor import count_parameters

        return None if self._network is None else count_parameters(self._network)

    def save(self, folder: Path) -> None:
        """Write the attributor's weights, the reference images and the parameters."""
        if self._network is None or self._manifold is None:
            raise ValueError("manifpt is not fitted; call fit first")
        arrays = {
            f"network.{key}": value.cpu().numpy()
            for key, value in self._network.state_dict().items()
        }
        arrays["reference"] = self._manifold.reference
        facts = {
            "space": self.space,
            "nn": self.nn,
            "k": self.k,
            "architecture": self._architecture,
        }
        save_state(folder, "manifpt", arrays, facts, self._sources)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; runs on the CPU."""
        import torch

        arrays, facts, sources = load_state(folder, "manifpt")
        method = cls(space=facts["space"], nn=facts["nn"], k=facts["k"])
        method._architecture = facts["architecture"]
        method._sources = sources
        method._manifold = Manifold(arrays.pop("reference"), method.space, method.nn, method.k)
        network = _build_network(method._architecture, len(sources), pretrained=False)
        network.load_state_dict(
            {key.removeprefix("network."): torch.from_numpy(v) for key, v in arrays.items()}
        )
        method._network = network.eval()
        return method


def _build_network(architecture: str, classes: int, pretrained: bool) -> AttributorNetwork:
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
    epochs = _EPOCHS[budget]
    return TrainingPlan(
        epochs=epochs, batch=36, optimiser="sgd", lr=0.1, momentum=0.9, weight_decay=1e-4,
        schedule="milestones", milestones=(epochs * 100 // 180, epochs * 150 // 180),
    )  # fmt: skip
