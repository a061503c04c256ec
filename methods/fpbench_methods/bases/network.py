"""The base of methods that train a network."""

from __future__ import annotations

from abc import abstractmethod
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Self, TypeVar

import numpy as np

from fpbench.images import ImageSet
from fpbench.method import Budget, FitContext
from fpbench_methods.bases.calibration import softmax
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


class NetworkMethod(SavedMethod, Generic[Network]):
    """A network, built and trained from one seed, that judges images one by one.

    A subclass gives `build` and `plan`, and changes the other steps where it must: what is taken
    from the images first (`look_at`), what is trained (`to_train`, `objective`), how (`learn`),
    and what the network is shown (`prepare`, `augmentation`). Unless it says otherwise the
    network has K logits, is trained with cross-entropy by the common loop, and the fingerprint of
    an image is the vector before its last layer. A method whose network names no sources sets
    ``self._probe`` in `learn`, a classifier of its fingerprints.

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

    _budget: Budget = "small"
    _size: tuple[int, int] = (0, 0)
    _network: Network | None = None
    _probe: Probe | None = None

    @abstractmethod
    def build(self, classes: int, *, initial: bool) -> Network:
        """A network for images of ``self._size`` under ``self._budget``.

        Args:
            classes: K.
            initial: Whether weights to start from are wanted; not when saved ones follow.

        Raises:
            MethodDeclined: If pretrained weights are wanted and cannot be had.
        """

    @abstractmethod
    def plan(self, budget: Budget, images: int) -> TrainingPlan:
        """How the network is trained on a number of images."""

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
        self._size = train.size
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
        held_out = (validation.pixels, validation.labels) if len(validation) else None
        self.train_on(trained, (train.pixels, train.labels), held_out, context)

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
                do not change, instead of grey levels.
        """
        from dataclasses import replace

        from fpbench.compute.classification import train_classifier
        from fpbench.compute.inference import unit_range

        plan = self.plan(context.budget, len(train[0]))
        if held_out is None:  # nothing to stop by
            steady = plan.schedule == "plateau"
            plan = replace(plan, patience=None, schedule="constant" if steady else plan.schedule)
        train_classifier(
            trained,
            plan,
            *train,
            validation=held_out,
            prepare=unit_range if prepared else self.prepare,
            augment=None if prepared else self.augmentation(),
            penalty=self.penalty(trained),
            objective=self.objective(trained),
            watch=self.watch,
            seed=context.seed,
            device=context.device,
            what=f"train {self.card.name}",
            progress=context.progress,
        )

    def infer(self, images: ImageSet, member: str = "") -> NDArray[np.float32]:
        """What the network gives for images.

        Args:
            images: N images.
            member: What is called instead of the network, e.g. ``embed`` or ``part.embed``.

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
        pixels: Any = images.pixels if len(images) else np.zeros((1, *images.size, 3), np.uint8)
        found = predict(
            network,
            pixels,
            batch=self.batch,
            prepare=self.prepare,
            forward=attrgetter(member)(network) if member else None,
            device=self._device,
        )
        return found[: len(images)]

    def takes(self, size: tuple[int, int]) -> bool:
        """Whether images of this height and width can be judged."""
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
        return softmax(self.infer(images))

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
        facts = {"size": list(self._size), "budget": self._budget, "extra": self.extra_facts()}
        return arrays, facts

    def restore(self, arrays: Arrays, facts: Facts) -> None:
        """Build the network again and give it its weights."""
        from fpbench_methods.nn.weights import weights_from_arrays

        self._size = (facts["size"][0], facts["size"][1])
        self._budget = facts["budget"]
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
