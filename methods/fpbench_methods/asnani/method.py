"""The plugin of Asnani et al. (TPAMI 2023): attribution by estimated spectra, and parsing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Self

import numpy as np

from fpbench.images import ImageSet, Source
from fpbench.method import Budget, FitContext, Method, MethodCard, MethodDeclined
from fpbench_methods.asnani.card import ASNANI_CARD
from fpbench_methods.asnani.design import DesignTable
from fpbench_methods.calibration import softmax
from fpbench_methods.state import load_state, save_state

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from fpbench.compute.probe import Probe
    from fpbench.compute.training_plan import TrainingPlan
    from fpbench_methods.asnani.heads import AttributionPair, ParsingPair

_WIDTHS: dict[Budget, int] = {"smoke": 8, "small": 16, "full": 64}
_DEPTHS: dict[Budget, int] = {"smoke": 5, "small": 9, "full": 17}
_EPOCHS: dict[str, dict[Budget, int]] = {
    "attribution": {"smoke": 2, "small": 12},
    "parsing": {"smoke": 1, "small": 20, "full": 20},
}
# Parsing's constraints weigh more, and at 1e-3 they win before it reads anything: on gm-mini its
# validation loss stayed at that of guessing for all epochs. So it has the paper's rate in small.
_RATES: dict[str, dict[Budget, float]] = {
    "attribution": {"smoke": 1e-3, "small": 1e-3, "full": 1e-4},
    "parsing": {"smoke": 1e-3, "small": 1e-4, "full": 1e-4},
}
_BATCHES: dict[Budget, int] = {"smoke": 32, "small": 16, "full": 16}
_IMAGES_SHOWN = 1_000_000
"""Length of the released attribution training: two epochs of five times 100,000 images."""
_LEAST_EPOCHS = 2
_PROBE = "probe.safetensors"


class Asnani(Method):
    """Estimates a fingerprint under four constraints; reads sources or design choices from it.

    Args:
        head: ``attribution`` (on the estimated fingerprint's spectrum) or ``parsing`` (design
            choices, from the fingerprint itself; sources by the common probe on its features).
        sigmoid: Put the logits through a sigmoid before the cross-entropy (released code).
        batch_max: Seek the spectral peak in the whole batch (released code), not in each image.
        fixed_window: A low-frequency window of 51×51 at any image size (released code).
        depth: Convolutions of the estimation network; None for the budget's, 17 in the paper.
        width: Its channels; None for the budget's, 64 in the paper.
        epochs: Passes over the training images, or None for the budget's.
        rate: Adam's learning rate, or None for the budget's; 1e-4 in the paper.

    Raises:
        ValueError: If a value is out of range.
    """

    card: ClassVar[MethodCard] = ASNANI_CARD
    residual_names: tuple[str, str] = ("image − fingerprint", "estimated fingerprint")

    def __init__(
        self,
        *,
        head: Literal["attribution", "parsing"] = "attribution",
        sigmoid: bool = False,
        batch_max: bool = False,
        fixed_window: bool = False,
        depth: int | None = None,
        width: int | None = None,
        epochs: int | None = None,
        rate: float | None = None,
    ) -> None:
        if head not in ("attribution", "parsing"):
            raise ValueError(f"head={head!r}: use attribution or parsing")
        if depth is not None and depth < 3:
            raise ValueError(f"depth={depth}: at least 3 convolutions are needed")
        if width is not None and width < 1:
            raise ValueError(f"width={width}: at least one channel is needed")
        if epochs is not None and epochs < 1:
            raise ValueError(f"epochs={epochs}: at least one is needed")
        if rate is not None and not 0 < rate < float("inf"):
            raise ValueError(f"rate={rate}: a learning rate is a positive number")
        self.head = head
        self.sigmoid = sigmoid
        self.batch_max = batch_max
        self.fixed_window = fixed_window
        self.depth = depth
        self.width = width
        self.epochs = epochs
        self.rate = rate
        self._device = "cpu"
        self._sources: tuple[Source, ...] = ()
        self._size = (0, 0)
        self._shape = (0, 0)
        self._table = DesignTable({}, {})
        self._net: AttributionPair | ParsingPair | None = None
        self._probe: Probe | None = None

    def fit(
        self,
        train: ImageSet,
        *,
        reference: ImageSet,
        validation: ImageSet,
        context: FitContext,
    ) -> Self:
        """Train estimation network and head end to end; the reference images are not used.

        Raises:
            MethodDeclined: For parsing, if no design choice tells two sources apart.
        """
        from fpbench.compute.device import seeded

        self._device = context.device
        self._sources = train.sources
        self._size = train.size
        self._shape = (
            self.depth or _DEPTHS[context.budget],
            self.width or _WIDTHS[context.budget],
        )
        if self.head == "parsing":
            self._table = DesignTable.of(train)
            if max(self._table.classes.values(), default=0) < 2:
                raise MethodDeclined(
                    "asnani:parsing learns design choices, but no two sources of these images "
                    "state different ones; add them to sources.yaml, or use asnani:attribution."
                )
        with seeded(context.seed, "asnani", "weights"):
            self._net = self._build()
        plan = self._plan(context.budget, len(train))
        if self.head == "parsing":
            self._fit_parser(plan, train, validation, context)
        else:
            self._fit_attribution(plan, train, validation, context)
        return self

    def _plan(self, budget: Budget, images: int) -> TrainingPlan:
        from fpbench.compute.training_plan import TrainingPlan

        full = max(_LEAST_EPOCHS, round(_IMAGES_SHOWN / max(1, images)))
        epochs = self.epochs or _EPOCHS[self.head].get(budget, full)
        rate = self.rate or _RATES[self.head][budget]
        # bfloat16 would round the estimated fingerprint, and its spectrum is what is read.
        return TrainingPlan(epochs=epochs, batch=_BATCHES[budget], lr=rate, precision="fp32")

    def _fit_attribution(
        self, plan: TrainingPlan, train: ImageSet, validation: ImageSet, context: FitContext
    ) -> None:
        from torch.nn.functional import cross_entropy

        from fpbench.compute.classification import train_classifier
        from fpbench_methods.asnani.estimation import ATTRIBUTION_WEIGHTS, constraints
        from fpbench_methods.asnani.heads import AttributionPair
        from fpbench_methods.asnani.preparation import standardised

        pair = self._net
        assert isinstance(pair, AttributionPair)  # noqa: S101

        def objective(images: Tensor, labels: Tensor) -> Tensor:
            fingerprints = pair.estimation(images)
            task = cross_entropy(pair.judge(fingerprints).float(), labels)
            terms = constraints(
                fingerprints, batch_max=self.batch_max, fixed_window=self.fixed_window
            )
            return ATTRIBUTION_WEIGHTS.task * task + terms.weighted(ATTRIBUTION_WEIGHTS)

        train_classifier(
            pair,
            plan,
            train.pixels,
            train.labels,
            validation=(validation.pixels, validation.labels) if len(validation) else None,
            prepare=standardised,
            objective=objective,
            seed=context.seed,
            device=context.device,
            what="train asnani:attribution",
            progress=context.progress,
        )

    def _fit_parser(
        self, plan: TrainingPlan, train: ImageSet, validation: ImageSet, context: FitContext
    ) -> None:
        from fpbench.compute.probe import Probe
        from fpbench_methods.asnani.heads import ParsingPair
        from fpbench_methods.asnani.parsing import train_parser

        assert isinstance(self._net, ParsingPair)  # noqa: S101
        train_parser(
            self._net,
            plan,
            self._table,
            train,
            validation,
            context,
            batch_max=self.batch_max,
            fixed_window=self.fixed_window,
        )
        held_out = validation if len(validation) else train
        self._probe = Probe().fit(
            self.embed(train),
            train.labels,
            self.embed(held_out),
            held_out.labels,
            classes=len(self._sources),
            seed=context.seed,
            device=context.device,
            progress=context.progress,
        )

    def _build(self) -> AttributionPair | ParsingPair:
        from fpbench_methods.asnani.estimation import EstimationNetwork
        from fpbench_methods.asnani.heads import AttributionPair, ParsingHead, ParsingPair

        estimation = EstimationNetwork(*self._shape)
        if self.head == "attribution":
            return AttributionPair(estimation, len(self._sources), self._size, self.sigmoid)
        table = self._table
        return ParsingPair(estimation, ParsingHead(table.groups, table.classes, self._size))

    def _infer(self, images: ImageSet, member: str) -> NDArray[np.float32]:
        from fpbench.compute.inference import predict
        from fpbench_methods.asnani.preparation import standardised

        network = self._fitted()
        if images.size != self._size:
            raise ValueError(
                f"asnani was fitted on images of {self._size[0]}x{self._size[1]}, not "
                f"{images.size[0]}x{images.size[1]}"
            )
        forward = network
        for part in member.split("."):
            forward = getattr(forward, part)
        return predict(
            network, images.pixels, prepare=standardised, forward=forward, device=self._device
        )

    def embed(self, images: ImageSet) -> NDArray[np.float32]:
        """The 512 features before the last layer (of parsing: before the branches): (N, 512)."""
        return self._infer(images, "embed")

    def predict_proba(self, images: ImageSet) -> NDArray[np.float32]:
        """Probabilities of the sources, shape (N, K); for parsing by the common probe."""
        if self._probe is not None:
            return self._probe.predict_proba(self.embed(images))
        return softmax(self._infer(images, "forward"))

    def predict_design(self, images: ImageSet) -> dict[str, NDArray[np.float32]]:
        """Probabilities (N, C) of each design attribute's values, in the order of `design`.

        Raises:
            NotImplementedError: For the attribution head, which predicts none.
        """
        from fpbench_methods.asnani.heads import ParsingPair
        from fpbench_methods.asnani.parsing import split_attributes

        network = self._fitted()
        if not isinstance(network, ParsingPair):
            raise NotImplementedError("asnani:attribution predicts no design; asnani:parsing does")
        logits = self._infer(images, "forward")
        parts = split_attributes(logits, network.head.order, self._table.classes)
        return {attribute: softmax(part) for attribute, part in sorted(parts.items())}

    @property
    def design(self) -> DesignTable:
        """Values of the design attributes, and which most training images had."""
        return self._table

    def residual(self, images: ImageSet) -> NDArray[np.float32]:
        """The estimated fingerprints, in grey levels: shape (N, H, W, 3)."""
        from fpbench_methods.asnani.preparation import grey_levels

        estimated = self._infer(images, "estimation.forward")
        return np.ascontiguousarray(grey_levels(estimated).transpose(0, 2, 3, 1))

    def _fitted(self) -> AttributionPair | ParsingPair:
        if self._net is None:
            raise ValueError("asnani is not fitted; call fit first")
        return self._net

    def parameter_count(self) -> int | None:
        """Parameters of estimation network and head; the probe of parsing is not counted."""
        from fpbench_methods.nn.attributor import count_parameters

        return None if self._net is None else count_parameters(self._net)

    def save(self, folder: Path) -> None:
        """Write weights, parameters, design values and, for parsing, the probe."""
        from fpbench_methods.nn.weights import weights_to_arrays

        depth, width = self._shape
        facts = {
            "params": {
                "head": self.head,
                "sigmoid": self.sigmoid,
                "batch_max": self.batch_max,
                "fixed_window": self.fixed_window,
                "depth": depth,
                "width": width,
            },
            "size": list(self._size),
            "values": {key: list(known) for key, known in self._table.values.items()},
            "majority": dict(self._table.majority),
        }
        save_state(folder, "asnani", weights_to_arrays(self._fitted()), facts, self._sources)
        if self._probe is not None:
            self._probe.save(folder / _PROBE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; runs on the CPU."""
        from fpbench.compute.probe import Probe
        from fpbench_methods.nn.weights import weights_from_arrays

        arrays, facts, sources = load_state(folder, "asnani")
        method = cls(**facts["params"])
        height, width = facts["size"]
        method._size = (height, width)
        method._shape = (facts["params"]["depth"], facts["params"]["width"])
        method._sources = sources
        method._table = DesignTable(
            {key: tuple(known) for key, known in facts["values"].items()}, facts["majority"]
        )
        method._net = method._build()
        weights_from_arrays(method._net, arrays)
        if method.head == "parsing":
            method._probe = Probe.load(folder / _PROBE)
        return method
