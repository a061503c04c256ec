"""The base of methods that train one network to name the source of an image."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from fpbench.images import ImageSet, Source
from fpbench.method import Budget, FitContext, Method
from fpbench_methods.calibration import softmax
from fpbench_methods.sampling import at_most_per_source
from fpbench_methods.state import load_state, save_state

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Literal

    from numpy.typing import NDArray
    from torch import Tensor

    from fpbench.compute.training_plan import TrainingPlan
    from fpbench_methods.nn.attributor import AttributorNetwork


class NetworkMethod(Method):
    """A network of K logits, trained with cross-entropy by the common loop.

    A subclass gives `build` and `plan`, changes `prepare` and `augment` where it must, and keeps
    each parameter of its constructor in an attribute of the same name. The fingerprint of an
    image is the vector before the last layer.

    Attributes:
        smoke_images: Training images per source that budget smoke uses.
        batch: Images at a time when judging.
        watch: What chooses among epochs, see ``fpbench.compute.classification``.
        any_size: Whether images of other sizes than those of the fit can be judged, as with a
            network that ends in a global average and an input that no fixed size enters.
    """

    smoke_images: ClassVar[int] = 32
    batch: ClassVar[int] = 256
    watch: ClassVar[Literal["cross_entropy", "error"]] = "cross_entropy"
    any_size: bool = False

    _device: str = "cpu"
    _budget: Budget = "small"
    _sources: tuple[Source, ...] = ()
    _size: tuple[int, int] = (0, 0)
    _network: AttributorNetwork | None = None

    @abstractmethod
    def build(self, classes: int, *, initial: bool) -> AttributorNetwork:
        """A network of `classes` logits for images of ``self._size`` under ``self._budget``.

        Args:
            classes: K.
            initial: Whether weights to start from are wanted; not when saved ones follow.

        Raises:
            MethodDeclined: If pretrained weights are wanted and cannot be had.
        """

    @abstractmethod
    def plan(self, budget: Budget) -> TrainingPlan:
        """How the network is trained."""

    def prepare(self, batch: Tensor) -> Tensor:
        """From grey levels (B, 3, H, W), uint8, to the network's input; [0, 1] by default."""
        from fpbench.compute.inference import unit_range

        return unit_range(batch)

    def augmentation(self) -> Callable[[Tensor], Tensor] | None:
        """A change of training batches (B, 3, H, W), uint8, before `prepare`; none by default."""
        return None

    def penalty(self, network: AttributorNetwork) -> Callable[[], Tensor] | None:
        """A term added to the loss, e.g. a norm of weights; none by default."""
        return None

    def statistics(self, train: ImageSet, context: FitContext) -> None:
        """Whatever `prepare` needs of the training images alone. Nothing by default."""

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
        if context.budget == "smoke":
            train = at_most_per_source(train, self.smoke_images)
        self.statistics(train, context)
        with seeded(context.seed, self.card.name, "weights"):
            network = self.build(len(self._sources), initial=True)
        self.learn(network, train, reference, validation, context)
        self._network = network
        return self

    def learn(
        self,
        network: AttributorNetwork,
        train: ImageSet,
        reference: ImageSet,
        validation: ImageSet,
        context: FitContext,
    ) -> None:
        """Train `network` in place; by default with cross-entropy on single images."""
        from dataclasses import replace

        from fpbench.compute.classification import train_classifier

        plan = self.plan(context.budget)
        if not len(validation):  # nothing to stop by
            steady = plan.schedule == "plateau"
            plan = replace(plan, patience=None, schedule="constant" if steady else plan.schedule)
        train_classifier(
            network,
            plan,
            train.pixels,
            train.labels,
            validation=(validation.pixels, validation.labels) if len(validation) else None,
            prepare=self.prepare,
            augment=self.augmentation(),
            penalty=self.penalty(network),
            watch=self.watch,
            seed=context.seed,
            device=context.device,
            what=f"train {self.card.name}",
            progress=context.progress,
        )

    def _infer(self, images: ImageSet, *, embed: bool) -> NDArray[np.float32]:
        from fpbench.compute.inference import predict

        if self._network is None:
            raise ValueError(f"{self.card.name} is not fitted; call fit first")
        if not self.takes(images.size):
            h, w = images.size
            raise ValueError(
                f"{self.card.name} was fitted on images of {self._size[0]}x{self._size[1]} and "
                f"cannot judge images of {h}x{w}"
            )
        forward = self._network.embed if embed else None
        pixels: Any = images.pixels if len(images) else np.zeros((1, *images.size, 3), np.uint8)
        found = predict(
            self._network,
            pixels,
            batch=self.batch,
            prepare=self.prepare,
            forward=forward,
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
        return self._infer(images, embed=True)

    def predict_proba(self, images: ImageSet) -> NDArray[np.float32]:
        """Softmax of the logits, shape (N, K)."""
        return softmax(self._infer(images, embed=False))

    def parameter_count(self) -> int | None:
        """Trained parameters of the network."""
        from fpbench_methods.nn.attributor import count_parameters

        return None if self._network is None else count_parameters(self._network)

    def extra_arrays(self) -> dict[str, NDArray[Any]]:
        """Further arrays to save, e.g. statistics. None by default."""
        return {}

    def restore_extra(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take back what `extra_arrays` gave."""

    def save(self, folder: Path) -> None:
        """Write the network's weights and the parameters."""
        from fpbench_methods.nn.weights import weights_to_arrays

        if self._network is None:
            raise ValueError(f"{self.card.name} is not fitted; call fit first")
        arrays = weights_to_arrays(self._network)
        arrays |= {f"extra.{key}": value for key, value in self.extra_arrays().items()}
        facts = {
            "params": {name: getattr(self, name) for name in self.parameters()},
            "size": list(self._size),
            "budget": self._budget,
        }
        save_state(folder, self.card.name, arrays, facts, self._sources)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; runs on the CPU."""
        from fpbench_methods.nn.weights import weights_from_arrays

        arrays, facts, sources = load_state(folder, cls.card.name)
        method = cls(**facts["params"])
        method._sources = sources
        method._size = (facts["size"][0], facts["size"][1])
        method._budget = facts["budget"]
        method.restore_extra(
            {k.removeprefix("extra."): v for k, v in arrays.items() if k.startswith("extra.")}
        )
        network = method.build(len(sources), initial=False)
        weights_from_arrays(network, arrays)
        method._network = network
        return method
