"""The base of methods that train a network."""

from __future__ import annotations

from abc import abstractmethod
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Generic, Literal, Self, TypeVar

import numpy as np

from fpbench.images import ImageSet
from fpbench.method import Budget, FitContext, Range
from fpbench_methods.bases.calibration import softmax
from fpbench_methods.bases.crops import assembled, crop_side, random_crops, tiled, within_area
from fpbench_methods.bases.sampling import at_most_per_source
from fpbench_methods.bases.saved import Arrays, Facts, SavedMethod, prefixed, under

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray
    from torch import Tensor, nn

    from fpbench.compute.probe import Probe
    from fpbench.compute.training_plan import TrainingPlan

Network = TypeVar("Network", bound="nn.Module")

_PROBE = "probe.safetensors"
_TILED = 64  # images whose crops are judged together


class NetworkMethod(SavedMethod, Generic[Network]):
    """A network, built and trained from one seed, that judges images one by one.

    A subclass gives `build` and `plan`, and changes the other steps where it must: what is taken
    from the images first (`look_at`), what is trained (`to_train`, `objective`), how (`learn`),
    and what the network is shown (`prepare`, `augmentation`). Unless it says otherwise the
    network has K logits, is trained with cross-entropy by the common loop, and the fingerprint of
    an image is the vector before its last layer. A method whose network names no sources sets
    ``self._probe`` in `learn`, a classifier of its fingerprints.

    Budgets smoke and small train on random crops of images above 64×64 (`bases.crops`). A network
    that ends in a global average judges whole images; one that is built for a size is built for
    that of the crops, and judges by the mean of its answers over a grid of them.

    Args:
        rate: Learning rate at the start instead of the budget's.
        epochs: Passes over the training images instead of the budget's.

    Attributes:
        smoke_images: Training images per source that budget smoke uses; None for all.
        batch: Images at a time when judging.
        watch: What chooses among epochs, see ``fpbench.compute.classification``.
        any_size: Whether images of other sizes than those of the fit can be judged, as with a
            network that ends in a global average and an input that no fixed size enters.
        drawn_as: Name that its first weights are drawn under; empty for the card's. A method
            that is renamed keeps the old one, so that its published results are repeated.
    """

    smoke_images: int | None = 32
    batch: ClassVar[int] = 256
    watch: ClassVar[Literal["cross_entropy", "error"]] = "cross_entropy"
    any_size: bool = False
    drawn_as: ClassVar[str] = ""
    crops: bool = True
    """Whether smaller budgets train on crops of large images."""
    crops_a_side: ClassVar[int] = 4
    """Crops along a side of an image that is judged by a grid of them, at most."""

    _budget: Budget = "small"
    _size: tuple[int, int] = (0, 0)
    _crop: int | None = None
    _network: Network | None = None
    rate: float | None = None
    epochs: int | None = None
    _probe: Probe | None = None

    def __init__(
        self,
        *,
        rate: Annotated[float | None, Range(above=0, most=10)] = None,
        epochs: Annotated[int | None, Range(1, 10_000_000)] = None,
    ) -> None:
        self.rate = rate
        self.epochs = epochs

    @abstractmethod
    def build(self, classes: int, *, initial: bool) -> Network:
        """A network for images of ``self._size`` under ``self._budget``.

        Args:
            classes: K.
            initial: Whether weights to start from are wanted; not when saved ones follow.

        Raises:
            MethodDeclined: If pretrained weights are wanted and are not available.
        """

    @abstractmethod
    def plan(self, budget: Budget, images: int) -> TrainingPlan:
        """How the network is trained on a number of images."""

    def chosen_plan(self, budget: Budget, images: int) -> TrainingPlan:
        """`plan` at the rate and length that were asked for."""
        from dataclasses import replace

        plan = self.plan(budget, images)
        if self.rate is not None:
            plan = replace(plan, lr=self.rate)
        if self.epochs is not None:
            ends = tuple(at * self.epochs // plan.epochs for at in plan.milestones)
            plan = replace(plan, epochs=self.epochs, milestones=ends)
        return plan

    def prepare(self, batch: Tensor) -> Tensor:
        """From grey levels (B, 3, H, W), uint8, to the network's input; [0, 1] by default."""
        from fpbench.compute.inference import unit_range

        return unit_range(batch)

    def augmentation(self) -> Callable[[Tensor], Tensor] | None:
        """A change of training batches (B, 3, H, W), uint8, before `prepare`; none by default."""
        return None

    def penalty(self, trained: nn.Module) -> Callable[[], Tensor] | None:
        """A term added to the loss, e.g. a norm of weights; none by default."""
        return None

    def rows_of(self, images: ImageSet) -> NDArray[Any]:
        """What `prepare` is given batches of, shape (N, H, W, C): by default grey levels."""
        return images.pixels

    @property
    def judges_crops(self) -> bool:
        """Whether a fitted method answers by the mean over a grid of crops."""
        return self._crop is not None and not self.any_size

    def look_at(self, train: ImageSet, reference: ImageSet, context: FitContext) -> None:
        """Take what `build` and `prepare` need of the images. Nothing by default.

        Raises:
            MethodDeclined: If the images do not serve.
        """

    def to_train(self, network: Network) -> nn.Module:
        """What is trained: the network, or a module that holds it beside e.g. a critic."""
        return network

    def objective(self, trained: nn.Module) -> Callable[[Tensor, Tensor], Tensor] | None:
        """The loss of inputs and labels; None for the cross-entropy of the outputs."""
        return None

    def fit(
        self,
        train: ImageSet,
        *,
        reference: ImageSet,
        validation: ImageSet,
        context: FitContext,
    ) -> Self:
        """Build the network and train it, stopping by the validation images."""
        from fpbench.compute.device import seeded

        self._device = context.device
        self._budget = context.budget
        self._sources = train.sources
        self._crop = crop_side(context.budget, train.size) if self.crops else None
        self._size = train.size
        if self._crop is not None and self.judges_crops:
            self._size = (self._crop, self._crop)
        self._probe = None
        if context.budget == "smoke" and self.smoke_images is not None:
            train = at_most_per_source(train, self.smoke_images)
        self.look_at(train, reference, context)
        with seeded(context.seed, self.drawn_as or self.card.name, "weights"):
            self._network = self.build(len(self._sources), initial=True)
            trained = self.to_train(self._network)
        try:
            self.learn(trained, train, reference, validation, context)
        except BaseException:
            self._network = None  # half trained is not fitted
            raise
        return self

    def learn(
        self,
        trained: nn.Module,
        train: ImageSet,
        reference: ImageSet,
        validation: ImageSet,
        context: FitContext,
    ) -> None:
        """Train what `to_train` gave, in place; by default on single images."""
        held_out = self.held_out(validation) if len(validation) else None
        self.train_on(trained, (self.rows_of(train), train.labels), held_out, context)

    def held_out(self, validation: ImageSet) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """What the validation judges, and its labels: whole images, or four crops of each."""
        return self.quartered(self.rows_of(validation), validation.labels)

    def quartered(
        self, rows: NDArray[Any], labels: NDArray[np.int64]
    ) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Four crops of each row that is an image, with its label, where crops are trained on.

        Whole images at every epoch would take longer than the training.
        """
        if self._crop is None or rows.ndim < 4:
            return rows, labels
        crops, corners = tiled(rows, self._crop, 2)
        return crops, np.repeat(labels, len(corners))

    def train_on(
        self,
        trained: nn.Module,
        train: tuple[NDArray[Any], NDArray[np.int64]],
        held_out: tuple[NDArray[Any], NDArray[np.int64]] | None,
        context: FitContext,
        *,
        prepared: bool = False,
    ) -> None:
        """The common training of classifiers.

        Args:
            trained: What is trained, in place.
            train: Rows and their labels.
            held_out: The same of the validation, or None.
            context: Seed, budget, device and progress.
            prepared: Whether rows are inputs of the network, which `prepare` and `augmentation`
                do not change, instead of grey levels. Crops are taken of them nonetheless.
        """
        from dataclasses import replace

        from fpbench.compute.classification import train_classifier
        from fpbench.compute.device import has_bf16_units
        from fpbench.compute.inference import unit_range

        plan = self.chosen_plan(context.budget, len(train[0]))
        if self._crop is not None and plan.precision == "auto":
            units = has_bf16_units(context.device)
            plan = replace(plan, precision="bf16" if units else "fp32")
        if held_out is None:  # nothing to stop by
            steady = plan.schedule == "plateau"
            plan = replace(plan, patience=None, schedule="constant" if steady else plan.schedule)
        train_classifier(
            trained,
            plan,
            *train,
            validation=held_out,
            prepare=unit_range if prepared else self.prepare,
            augment=self._shown(train[0], None if prepared else self.augmentation()),
            penalty=self.penalty(trained),
            objective=self.objective(trained),
            watch=self.watch,
            crop=self._crop,
            seed=context.seed,
            device=context.device,
            what=f"train {self.card.name}",
            progress=context.progress,
        )

    def _shown(
        self, rows: NDArray[Any], change: Callable[[Tensor], Tensor] | None
    ) -> Callable[[Tensor], Tensor] | None:
        """A change of training batches that takes crops first, where this budget does."""
        side = self._crop
        if side is None or rows.ndim < 4:
            return change

        def cut(batch: Tensor) -> Tensor:
            crops = random_crops(batch, side)
            return crops if change is None else change(crops)

        return cut

    def infer(
        self,
        images: ImageSet,
        member: str = "",
        then: Callable[[NDArray[np.float32]], NDArray[np.float32]] | None = None,
    ) -> NDArray[np.float32]:
        """What the network gives for images, or for their crops on a grid, averaged.

        Args:
            images: N images.
            member: What is called instead of the network, e.g. ``embed`` or ``part.embed``.
            then: Applied to what it gives, before an average over crops.

        Returns:
            float32 of shape (N, ...).

        Raises:
            ValueError: If the method is not fitted, or was fitted on images of another size.
        """
        from fpbench.compute.inference import predict

        network = self.fitted(self._network)
        if not self.takes(images.size):
            h, w = images.size
            raise ValueError(
                f"{self.card.name} was fitted on images of {self._size[0]}x{self._size[1]} and "
                f"cannot judge images of {h}x{w}"
            )
        side = self._crop if self.judges_crops else None

        def judged(rows: NDArray[Any]) -> NDArray[np.float32]:
            found = predict(
                network,
                rows,
                batch=within_area(self.batch, (rows.shape[1], rows.shape[2])),
                prepare=self.prepare,
                forward=attrgetter(member)(network) if member else None,
                device=self._device,
            )
            return found if then is None else then(found)

        if not len(images):
            size = images.size if side is None else (side, side)
            return judged(np.zeros((1, *size, self._channels()), np.uint8))[:0]
        if side is None:
            return judged(self.rows_of(images))
        parts = []
        for start in range(0, len(images), _TILED):
            chosen = images.select(np.arange(start, min(start + _TILED, len(images))))
            crops, corners = tiled(self.rows_of(chosen), side, self.crops_a_side)
            found = judged(crops)
            parts.append(found.reshape(len(chosen), len(corners), *found.shape[1:]).mean(axis=1))
        return np.concatenate(parts)

    def infer_map(self, images: ImageSet, member: str) -> NDArray[np.float32]:
        """What the network gives for every pixel: (N, C, H, W), put together from crops if need be.

        Args:
            images: N images.
            member: What is called, from (B, 3, H, W) to (B, C, H, W).
        """
        side = self._crop if self.judges_crops else None
        if side is None or not len(images):
            return self.infer(images, member)
        crops, corners = tiled(images.pixels, side, None)
        each = ImageSet(crops, images.sources)
        self._crop = None  # crops are images of the network's own size
        try:
            found = self.infer(each, member)
        finally:
            self._crop = side
        whole = assembled(found.transpose(0, 2, 3, 1), corners, images.size)
        return np.ascontiguousarray(whole.transpose(0, 3, 1, 2))

    def _channels(self) -> int:
        """Channels of `rows_of`."""
        return 3

    def takes(self, size: tuple[int, int]) -> bool:
        """Whether images of this height and width can be judged."""
        if self._crop is not None and self.judges_crops:
            return min(size) >= self._crop
        if self.any_size:
            return min(size) >= self.card.min_size
        return size == self._size

    def embed(self, images: ImageSet) -> NDArray[np.float32]:
        """Features before the last layer, shape (N, D)."""
        return self.infer(images, "embed")

    def predict_proba(self, images: ImageSet) -> NDArray[np.float32]:
        """Softmax of the logits, or what the probe gives for `embed`: shape (N, K)."""
        if self._probe is not None:
            return self._probe.predict_proba(self.embed(images))
        return self.infer(images, then=softmax)

    def parameter_count(self) -> int | None:
        """Trained parameters of the network; a probe's are not counted."""
        from fpbench_methods.nn.attributor import count_parameters

        return None if self._network is None else count_parameters(self._network)

    def extra_arrays(self) -> Arrays:
        """Further arrays to save, e.g. statistics. None by default."""
        return {}

    def extra_facts(self) -> Facts:
        """Further facts to save beside arguments, size and budget. None by default."""
        return {}

    def restore_extra(self, arrays: Arrays, facts: Facts) -> None:
        """Take back what `extra_arrays` and `extra_facts` gave, before `build`."""

    def state(self) -> tuple[Arrays, Facts]:
        """The network's weights, what the budget and the size decide, and the extras."""
        from fpbench_methods.nn.weights import weights_to_arrays

        arrays = weights_to_arrays(self.fitted(self._network))
        arrays |= prefixed("extra.", self.extra_arrays())
        facts = {
            "size": list(self._size),
            "budget": self._budget,
            "crop": self._crop,
            "extra": self.extra_facts(),
        }
        return arrays, facts

    def restore(self, arrays: Arrays, facts: Facts) -> None:
        """Build the network again and give it its weights."""
        from fpbench_methods.nn.weights import weights_from_arrays

        self._size = (facts["size"][0], facts["size"][1])
        self._budget = facts["budget"]
        self._crop = facts.get("crop")
        self.restore_extra(under("extra.", arrays), facts.get("extra", {}))
        network = self.build(len(self._sources), initial=False)
        weights_from_arrays(network, arrays)
        self._network = network

    def save(self, folder: Path) -> None:
        """Write weights, arguments, facts and, if there is one, the probe."""
        super().save(folder)
        if self._probe is not None:
            self._probe.save(folder / _PROBE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; runs on the CPU.

        Raises:
            BadInput: If `folder` holds no saved method, or one of another class.
        """
        method = super().load(folder)
        if (folder / _PROBE).is_file():
            from fpbench.compute.probe import Probe

            method._probe = Probe.load(folder / _PROBE)
        return method
