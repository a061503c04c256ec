"""The plugin of Song & AbdAlmageed (2022): vectors of bags, and a classifier on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from fpbench.images import ImageSet, Source
from fpbench.method import FitContext, Method, MethodCard, MethodDeclined
from fpbench_methods.dsf.card import DSF_CARD
from fpbench_methods.dsf.lengths import LENGTHS, Length
from fpbench_methods.state import load_state, save_state

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from fpbench.compute.probe import Probe
    from fpbench.compute.training_plan import TrainingPlan
    from fpbench_methods.dsf.encoder import Pool, SetEncoder

_CROP = 128
_MOST_SOURCES = 24
_FEWER_SOURCES = 8
_HELD_OUT_BAGS = 16
_BATCH = 4096  # bag vectors at a time
_PROBE = "probe.safetensors"


class DSF(Method):
    """A set encoder trained so that bags of one source lie together (DSF+, DSF−).

    An image is judged as a bag of one.

    Args:
        pool: ``mean``, or ``sum``, whose vectors depend on the size of the bag, so that only
            bags of the training size are as in training.
        bag_size: Images of a training bag; None for the budget's, or for the images of the
            smallest source if those are fewer.
        bags_per_source: Bags of each source in a training batch.
        sources_per_batch: Sources in a training batch; None for all, but 8 if more than 24.
        training_bags: Bags of each source that are drawn once for the encoder's training, or
            None for fresh ones in every batch.
        head_bags: Bags of each source that the classifier is trained on, beside single images.
        fingerprint_bags: Bags of each source whose mean vector is its fingerprint.
        normalise: Scale vectors to unit length in the loss; the paper does not.
        temperature: Divides squared distances in the loss; 1 in the paper.
        residual: Whether a fixed high-pass precedes the encoder.
        steps: Training steps, to the nearest multiple of those between two validations; None
            for the budget's.

    Raises:
        ValueError: If a value is out of range.
    """

    card: ClassVar[MethodCard] = DSF_CARD

    def __init__(
        self,
        *,
        pool: Pool = "mean",
        bag_size: int | None = None,
        bags_per_source: int = 4,
        sources_per_batch: int | None = None,
        training_bags: int | None = None,
        head_bags: int = 100,
        fingerprint_bags: int = 100,
        normalise: bool = False,
        temperature: float = 1.0,
        residual: bool = False,
        steps: int | None = None,
    ) -> None:
        if pool not in ("mean", "sum"):
            raise ValueError(f"pool={pool!r}: use mean or sum")
        for name, value, least in (
            ("bag_size", bag_size, 1),
            ("bags_per_source", bags_per_source, 2),
            ("sources_per_batch", sources_per_batch, 1),
            ("training_bags", training_bags, bags_per_source),
            ("head_bags", head_bags, 1),
            ("fingerprint_bags", fingerprint_bags, 1),
            ("steps", steps, 1),
        ):
            if value is not None and value < least:
                raise ValueError(f"{name}={value}: at least {least} is needed")
        if not temperature > 0:
            raise ValueError(f"temperature={temperature}: it must be positive")
        self.pool: Pool = pool
        self.bag_size = bag_size
        self.bags_per_source = bags_per_source
        self.sources_per_batch = sources_per_batch
        self.training_bags = training_bags
        self.head_bags = head_bags
        self.fingerprint_bags = fingerprint_bags
        self.normalise = normalise
        self.temperature = temperature
        self.residual_input = residual
        self.steps = steps
        self._device = "cpu"
        self._sources: tuple[Source, ...] = ()
        self._bag_size = 1
        self._widths: tuple[int, ...] = ()
        self._encoder: SetEncoder | None = None
        self._probe: Probe | None = None
        self._fingerprints = np.zeros((0, 0), np.float32)

    def fit(
        self,
        train: ImageSet,
        *,
        reference: ImageSet,
        validation: ImageSet,
        context: FitContext,
    ) -> Self:
        """Train the encoder on bags, freeze it, then train the classifier on its vectors.

        Raises:
            MethodDeclined: If a source has fewer images than the bag size that was asked for.
        """
        from fpbench.compute.device import seeded

        self._device = context.device
        self._sources = train.sources
        length = LENGTHS[context.budget]
        self._widths = length.widths
        self._bag_size = self._size_of_bags(train, length.bag_size)
        with seeded(context.seed, "dsf", "weights"):
            self._encoder = self._build()
        self._train_encoder(self._encoder, length, train, validation, context)
        self._train_head(train, validation, context)
        return self

    def _size_of_bags(self, train: ImageSet, usual: int) -> int:
        counts = np.bincount(train.labels, minlength=len(train.sources))
        present = np.flatnonzero(counts)
        smallest = present[counts[present].argmin()]
        least = int(counts[smallest])
        if self.bag_size is None:
            return min(usual, least)
        if self.bag_size > least:
            raise MethodDeclined(
                f"dsf was asked for bags of {self.bag_size} images, but "
                f"{train.sources[smallest].name} has {least} training images; use "
                f"--set bag_size={least} or fewer."
            )
        return self.bag_size

    def _plan(self, length: Length) -> tuple[TrainingPlan, int]:
        """The plan, and the steps of one of its epochs."""
        from fpbench.compute.training_plan import TrainingPlan

        epochs, steps = length.epochs, length.steps
        if self.steps is not None:
            steps = min(steps, self.steps)
            epochs = max(1, round(self.steps / steps))
        return (
            TrainingPlan(epochs=epochs, lr=length.rate, weight_decay=1e-4, schedule="cosine"),
            steps,
        )

    def _train_encoder(
        self,
        encoder: SetEncoder,
        length: Length,
        train: ImageSet,
        validation: ImageSet,
        context: FitContext,
    ) -> None:
        import torch

        from fpbench.compute import training
        from fpbench.compute.inference import ArrayOnDevice, signed_range
        from fpbench_methods.dsf.bags import bag_batches
        from fpbench_methods.dsf.contrastive import nca_loss
        from fpbench_methods.nn.augmentation import random_crop

        stored = ArrayOnDevice(train.pixels, self._device)
        labels = torch.from_numpy(train.labels.copy())
        present = len(np.unique(train.labels))
        most = present if present <= _MOST_SOURCES else _FEWER_SOURCES
        plan, steps = self._plan(length)

        def loss(bags: torch.Tensor) -> torch.Tensor:
            images = signed_range(random_crop(stored[bags.flatten()], _CROP))
            return nca_loss(
                encoder(images, len(bags)),
                labels[bags[:, 0]].to(images.device),
                normalise=self.normalise,
                temperature=self.temperature,
            )

        training.train(
            encoder,
            plan,
            loss,
            sampler=bag_batches(
                labels,
                size=self._bag_size,
                bags=self.bags_per_source,
                sources=self.sources_per_batch or most,
                steps=steps,
                pool=self.training_bags,
                seed=context.seed,
            ),
            validate=self._held_out_loss(validation, context.seed),
            seed=context.seed,
            device=self._device,
            what="train the set encoder",
            progress=context.progress,
        )

    def _held_out_loss(self, validation: ImageSet, seed: int) -> Callable[[], float] | None:
        """The loss on fixed bags of validation images, or None if there are none."""
        import torch

        from fpbench_methods.dsf.bags import some_bags
        from fpbench_methods.dsf.contrastive import nca_loss

        if not len(validation):
            return None
        bags = some_bags(validation.labels, self._bag_size, _HELD_OUT_BAGS, seed, "validation")
        owners = torch.from_numpy(validation.labels[[bag[0] for bag in bags]])

        def validate() -> float:
            vectors = torch.from_numpy(self._vectors(self._features(validation), bags))
            return float(
                nca_loss(vectors, owners, normalise=self.normalise, temperature=self.temperature)
            )

        return validate

    def _train_head(self, train: ImageSet, validation: ImageSet, context: FitContext) -> None:
        from fpbench.compute.probe import Probe
        from fpbench_methods.dsf.bags import some_bags

        features = self._features(train)
        vectors, labels = self._head_examples(features, train.labels, context.seed, "head")
        held_out, held_labels = vectors, labels
        if len(validation):
            held_out, held_labels = self._head_examples(
                self._features(validation), validation.labels, context.seed, "head validation"
            )
        self._probe = Probe().fit(
            vectors,
            labels,
            held_out,
            held_labels,
            classes=len(self._sources),
            seed=context.seed,
            device=self._device,
            what="train the classifier",
            progress=context.progress,
        )
        bags = some_bags(
            train.labels, self._bag_size, self.fingerprint_bags, context.seed, "fingerprint"
        )
        owners = train.labels[[bag[0] for bag in bags]]
        of_bags = self._vectors(features, bags)
        self._fingerprints = np.zeros((len(self._sources), of_bags.shape[1]), np.float32)
        for k in np.unique(owners):
            self._fingerprints[k] = of_bags[owners == k].mean(axis=0)

    def _head_examples(
        self, features: NDArray[np.float32], labels: NDArray[np.int64], seed: int, purpose: str
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Vectors of all single images, then of bags of the training size; their sources."""
        from fpbench_methods.dsf.bags import singles, some_bags

        members = singles(len(features))
        if self._bag_size > 1:
            members += some_bags(labels, self._bag_size, self.head_bags, seed, purpose)
        return self._vectors(features, members), labels[[bag[0] for bag in members]]

    def _build(self) -> SetEncoder:
        from fpbench_methods.dsf.encoder import SetEncoder

        return SetEncoder(self.pool, self._widths, residual=self.residual_input)

    def _features(self, images: ImageSet) -> NDArray[np.float32]:
        """φ of every image, shape (N, F)."""
        from fpbench.compute.inference import predict, signed_range

        encoder = self._fitted()
        return predict(
            encoder,
            images.pixels,
            prepare=signed_range,
            forward=encoder.phi,
            device=self._device,
        )

    def _vectors(
        self, features: NDArray[np.float32], bags: Sequence[NDArray[np.int64]]
    ) -> NDArray[np.float32]:
        """Vectors z of bags of images with these features, shape (B, D)."""
        from fpbench.compute.inference import predict

        encoder = self._fitted()
        pooled = np.stack(
            [features[bag].mean(0) if self.pool == "mean" else features[bag].sum(0) for bag in bags]
        )
        return predict(encoder, pooled, batch=_BATCH, forward=encoder.rho, device=self._device)

    def embed(self, images: ImageSet) -> NDArray[np.float32]:
        """Vectors z of images as bags of one, shape (N, 128)."""
        from fpbench_methods.dsf.bags import singles

        return self._vectors(self._features(images), singles(len(images)))

    def embed_bags(
        self, images: ImageSet, bags: Sequence[NDArray[np.int64]]
    ) -> NDArray[np.float32]:
        """Vectors z of bags, shape (B, 128); a method trained on bags of one averages theirs."""
        from fpbench_methods.dsf.bags import singles

        if not bags or min(map(len, bags)) == 0:
            raise ValueError("there must be at least one bag, and in each at least one image")
        used, places = np.unique(np.concatenate(bags), return_inverse=True)
        features = self._features(images.select(used))
        ends = np.cumsum([len(bag) for bag in bags])[:-1]
        within = [place.astype(np.int64) for place in np.split(places, ends)]
        if self._bag_size > 1:
            return self._vectors(features, within)
        vectors = self._vectors(features, singles(len(used)))
        return np.stack([vectors[bag].mean(axis=0) for bag in within])

    def predict_proba(self, images: ImageSet) -> NDArray[np.float32]:
        """Probabilities (N, K) of images, as bags of one."""
        return self._head().predict_proba(self.embed(images))

    def predict_proba_bags(
        self, images: ImageSet, bags: Sequence[NDArray[np.int64]]
    ) -> NDArray[np.float32]:
        """Probabilities of bags, shape (B, K)."""
        return self._head().predict_proba(self.embed_bags(images, bags))

    def fingerprints(self) -> NDArray[np.float32]:
        """Fingerprints of the sources: mean vectors of `fingerprint_bags` training bags, (K, 128).

        Zero for a source without training images.
        """
        self._head()
        return self._fingerprints.copy()

    def _fitted(self) -> SetEncoder:
        if self._encoder is None:
            raise ValueError("dsf is not fitted; call fit first")
        return self._encoder

    def _head(self) -> Probe:
        if self._probe is None:
            raise ValueError("dsf is not fitted; call fit first")
        return self._probe

    def parameter_count(self) -> int | None:
        """Parameters of the set encoder; the common probe is not counted."""
        from fpbench_methods.nn.attributor import count_parameters

        return None if self._encoder is None else count_parameters(self._encoder)

    def save(self, folder: Path) -> None:
        """Write the encoder's weights, the classifier, fingerprints and parameters."""
        from fpbench_methods.nn.weights import weights_to_arrays

        head = self._head()
        facts = {
            "params": {
                "pool": self.pool,
                "bag_size": self._bag_size,
                "residual": self.residual_input,
            },
            "widths": list(self._widths),
        }
        arrays = weights_to_arrays(self._fitted()) | {"fingerprints": self._fingerprints}
        save_state(folder, "dsf", arrays, facts, self._sources)
        head.save(folder / _PROBE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; runs on the CPU."""
        from fpbench.compute.probe import Probe
        from fpbench_methods.nn.weights import weights_from_arrays

        arrays, facts, sources = load_state(folder, "dsf")
        method = cls(**facts["params"])
        method._bag_size = facts["params"]["bag_size"]
        method._widths = tuple(facts["widths"])
        method._sources = sources
        method._fingerprints = arrays["fingerprints"]
        method._encoder = method._build()
        weights_from_arrays(method._encoder, arrays)
        method._probe = Probe.load(folder / _PROBE)
        return method
