"""The plugin of Song & AbdAlmageed (2022): vectors of bags, and a classifier on them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np

from fpbench.errors import BadInput
from fpbench.images import ImageSet
from fpbench.method import Budget, FitContext, MethodCard, MethodDeclined, Range
from fpbench_methods.bases.network import NetworkMethod
from fpbench_methods.bases.saved import Arrays, Facts
from fpbench_methods.dsf.card import DSF_CARD
from fpbench_methods.dsf.lengths import LENGTHS

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from fpbench.compute.training_plan import TrainingPlan
    from fpbench_methods.dsf.encoder import SetEncoder

_CROP = 128
_MOST_SOURCES = 24
_FEWER_SOURCES = 8
_HELD_OUT_BAGS = 16
_BAGS = 4
_BATCH = 4096  # bag vectors at a time


class DSF(NetworkMethod["SetEncoder"]):
    """A set encoder trained so that bags of one source lie together (DSF+, DSF−).

    An image is judged as a bag of one.

    Args:
        pool: ``mean``, or ``sum``, whose vectors depend on the size of the bag, so that only
            bags of the training size are as in training.
        bag_size: Images of a training bag; None for the budget's, or for the images of the
            smallest source if those are fewer.
        bags_per_source: Bags of each source in a training batch; None for 4, or for as many
            more as it takes of smaller bags to hold as many images.
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
        length: See `NetworkMethod`.

    Raises:
        BadInput: If a value is out of range.
    """

    card: ClassVar[MethodCard] = DSF_CARD
    smoke_images = None
    any_size = True

    def __init__(
        self,
        *,
        pool: Literal["mean", "sum"] = "mean",
        bag_size: Annotated[int | None, Range(1, 100_000)] = None,
        bags_per_source: Annotated[int | None, Range(2, 10_000)] = None,
        sources_per_batch: Annotated[int | None, Range(1, 10_000)] = None,
        training_bags: Annotated[int | None, Range(2, 10_000_000)] = None,
        head_bags: Annotated[int, Range(1, 1_000_000)] = 100,
        fingerprint_bags: Annotated[int, Range(1, 1_000_000)] = 100,
        normalise: bool = False,
        temperature: Annotated[float, Range(above=0, most=1e6)] = 1.0,
        residual: bool = False,
        steps: Annotated[int | None, Range(1, 100_000_000)] = None,
        **length: Any,
    ) -> None:
        super().__init__(**length)
        least = _BAGS if bags_per_source is None else bags_per_source
        if training_bags is not None and training_bags < least:
            raise BadInput(
                f"training_bags={training_bags} is too few for bags_per_source={least}; a batch "
                "draws that many of them."
            )
        self.pool = pool
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
        self._bag_size = 1
        self._images_of_step = 1
        self._widths: tuple[int, ...] = ()
        self._fingerprints = np.zeros((0, 0), np.float32)

    def look_at(self, train: ImageSet, reference: ImageSet, context: FitContext) -> None:
        """Settle the size of bags.

        Raises:
            MethodDeclined: If a source has fewer images than the bag size that was asked for.
        """
        length = LENGTHS[context.budget]
        self._widths = length.widths
        self._bag_size = self._size_of_bags(train, length.bag_size)

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

    def _bags_of_batch(self, usual: int) -> int:
        """Bags of each source in a batch, so that training sees as many images whatever N is.

        Args:
            usual: The budget's size of a bag.
        """
        if self.bags_per_source is not None:
            return self.bags_per_source
        if self.bag_size is None:
            return _BAGS
        wanted = max(2, round(_BAGS * usual / self.bag_size))
        return wanted if self.training_bags is None else min(wanted, self.training_bags)

    def build(self, classes: int, *, initial: bool) -> SetEncoder:
        """The set encoder; how many sources there are does not matter to it."""
        from fpbench_methods.dsf.encoder import SetEncoder

        return SetEncoder(self.pool, self._widths, residual=self.residual_input)

    def steps_of_epoch(self, budget: Budget) -> int:
        """Training steps between two validations."""
        usual = LENGTHS[budget].steps
        return usual if self.steps is None else min(usual, self.steps)

    def plan(self, budget: Budget, images: int) -> TrainingPlan:
        """How the encoder is trained; an epoch is `steps_of_epoch` batches of bags."""
        from fpbench.compute.training_plan import TrainingPlan

        length = LENGTHS[budget]
        epochs = length.epochs
        if self.epochs is not None and self.steps is None:
            steps = self.epochs * images / self._images_of_step
            epochs = max(1, round(steps / self.steps_of_epoch(budget)))
        if self.steps is not None:
            epochs = max(1, round(self.steps / self.steps_of_epoch(budget)))
        return TrainingPlan(
            epochs=epochs, lr=self.rate or length.rate, weight_decay=1e-4, schedule="cosine"
        )

    def learn(
        self,
        trained: nn.Module,
        train: ImageSet,
        reference: ImageSet,
        validation: ImageSet,
        context: FitContext,
    ) -> None:
        """Train the encoder on bags, freeze it, then train the classifier on its vectors."""
        self._train_encoder(train, validation, context)
        self._train_head(train, validation, context)

    def _train_encoder(self, train: ImageSet, validation: ImageSet, context: FitContext) -> None:
        import torch

        from fpbench.compute import training
        from fpbench.compute.inference import ArrayOnDevice
        from fpbench_methods.bases.crops import random_crops
        from fpbench_methods.dsf.bags import bag_batches
        from fpbench_methods.dsf.contrastive import blind_loss, nca_loss
        from fpbench_methods.nn.augmentation import random_crop

        encoder = self.fitted(self._network)
        stored = ArrayOnDevice(train.pixels, self._device)
        labels = torch.from_numpy(train.labels.copy())
        present = len(np.unique(train.labels))
        most = present if present <= _MOST_SOURCES else _FEWER_SOURCES
        sources = min(present, self.sources_per_batch or most)
        bags_of_batch = self._bags_of_batch(LENGTHS[context.budget].bag_size)
        self._images_of_step = sources * bags_of_batch * self._bag_size

        def loss(bags: torch.Tensor) -> torch.Tensor:
            whole = stored[bags.flatten()]
            side = self._crop
            shown = random_crop(whole, _CROP) if side is None else random_crops(whole, side)
            images = self.prepare(shown)
            return nca_loss(
                encoder(images, len(bags)),
                labels[bags[:, 0]].to(images.device),
                normalise=self.normalise,
                temperature=self.temperature,
            )

        training.train(
            encoder,
            self.plan(context.budget, len(train)),
            loss,
            sampler=bag_batches(
                labels,
                size=self._bag_size,
                bags=self._bags_of_batch(LENGTHS[context.budget].bag_size),
                sources=self.sources_per_batch or most,
                steps=self.steps_of_epoch(context.budget),
                pool=self.training_bags,
                seed=context.seed,
            ),
            validate=self._held_out_loss(validation, context.seed),
            crop=self._crop,
            guess=blind_loss(_HELD_OUT_BAGS, len(np.unique(validation.labels))),
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

    def prepare(self, batch: torch.Tensor) -> torch.Tensor:
        """Grey levels in [-1, 1]."""
        from fpbench.compute.inference import signed_range

        return signed_range(batch)

    def _features(self, images: ImageSet) -> NDArray[np.float32]:
        """φ of every image, shape (N, F)."""
        return self.infer(images, "phi")

    def _vectors(
        self, features: NDArray[np.float32], bags: Sequence[NDArray[np.int64]]
    ) -> NDArray[np.float32]:
        """Vectors z of bags of images with these features, shape (B, D)."""
        from fpbench.compute.inference import predict

        encoder = self.fitted(self._network)
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

    def predict_proba_bags(
        self, images: ImageSet, bags: Sequence[NDArray[np.int64]]
    ) -> NDArray[np.float32]:
        """Probabilities of bags, shape (B, K)."""
        return self.fitted(self._probe).predict_proba(self.embed_bags(images, bags))

    def fingerprints(self) -> NDArray[np.float32]:
        """Fingerprints of the sources: mean vectors of `fingerprint_bags` training bags, (K, 128).

        Zero for a source without training images.
        """
        self.fitted(self._probe)
        return self._fingerprints.copy()

    def extra_arrays(self) -> Arrays:
        """The fingerprints."""
        return {"fingerprints": self._fingerprints}

    def extra_facts(self) -> Facts:
        """What the training images and the budget have decided."""
        return {"bag_size": self._bag_size, "widths": list(self._widths)}

    def restore_extra(self, arrays: Arrays, facts: Facts) -> None:
        """Take them back."""
        self._fingerprints = arrays["fingerprints"]
        self._bag_size, self._widths = facts["bag_size"], tuple(facts["widths"])

    @classmethod
    def upgraded(cls, arrays: Arrays, facts: Facts) -> tuple[Arrays, Facts]:
        """Facts in which the size of bags stood among the arguments."""
        if "budget" in facts:
            return arrays, facts
        arrays["extra.fingerprints"] = arrays.pop("fingerprints")
        extra = {"bag_size": facts["params"]["bag_size"], "widths": facts["widths"]}
        # Any size is judged, so none was written down.
        return arrays, {"params": facts["params"], "size": (0, 0), "budget": "small",
                        "extra": extra}  # fmt: skip
