"""The variant parsing: design choices, read from the estimated fingerprint itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fpbench.images import ImageSet
from fpbench.method import Budget, FitContext, MethodDeclined
from fpbench_methods.asnani.design import DesignTable
from fpbench_methods.asnani.estimating import EstimatingMethod
from fpbench_methods.bases.calibration import softmax
from fpbench_methods.bases.saved import Arrays, Facts

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import nn

    from fpbench_methods.asnani.heads import ParsingPair


class AsnaniParsing(EstimatingMethod["ParsingPair"]):
    """Estimates a fingerprint under four constraints and reads design choices from it.

    Sources are named by the common probe on the 512 features before the branches.
    """

    # The constraints weigh more than attribution's, and at 1e-3 they win before anything is read:
    # on gm-mini the validation loss stayed at that of guessing for all epochs.
    rates: ClassVar[Mapping[Budget, float]] = {"smoke": 1e-3, "small": 1e-4, "full": 1e-4}
    budget_epochs: ClassVar[Mapping[Budget, int]] = {"smoke": 1, "small": 20, "full": 20}

    _table = DesignTable({}, {})

    @property
    def design(self) -> DesignTable:
        """Values of the design attributes, and which most training images had."""
        return self._table

    def look_at(self, train: ImageSet, reference: ImageSet, context: FitContext) -> None:
        """Collect the design choices.

        Raises:
            MethodDeclined: If none tells two sources apart.
        """
        self._table = DesignTable.of(train)
        if max(self._table.classes.values(), default=0) < 2:
            raise MethodDeclined(
                "asnani:parsing learns design choices, but no two sources of these images "
                "state different ones; add them to sources.yaml, or use asnani:attribution."
            )

    def build(self, classes: int, *, initial: bool) -> ParsingPair:
        """Estimation network and parsing head."""
        from fpbench_methods.asnani.heads import ParsingHead, ParsingPair

        table = self._table
        estimation = self.estimation()
        return ParsingPair(estimation, ParsingHead(table.groups, table.classes, self._size))

    def learn(
        self,
        trained: nn.Module,
        train: ImageSet,
        reference: ImageSet,
        validation: ImageSet,
        context: FitContext,
    ) -> None:
        """Train both networks end to end, then the probe on the features."""
        from fpbench.compute.probe import Probe
        from fpbench_methods.asnani.parsing import train_parser

        train_parser(
            self.fitted(self._network),
            self.chosen_plan(context.budget, len(train)),
            self._table,
            train,
            validation,
            context,
            batch_max=self.batch_max,
            fixed_window=self.fixed_window,
            crop=self._crop,
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

    def predict_design(self, images: ImageSet) -> dict[str, NDArray[np.float32]]:
        """Probabilities (N, C) of each design attribute's values, in the order of `design`."""
        from fpbench_methods.asnani.parsing import split_attributes

        order = self.fitted(self._network).head.order
        parts = split_attributes(self.infer(images), order, self._table.classes)
        return {attribute: softmax(part) for attribute, part in sorted(parts.items())}

    def extra_facts(self) -> Facts:
        """The design choices' values."""
        return {
            "values": {key: list(known) for key, known in self._table.values.items()},
            "majority": dict(self._table.majority),
        }

    def restore_extra(self, arrays: Arrays, facts: Facts) -> None:
        """The design choices' values again."""
        self._table = DesignTable(
            {key: tuple(known) for key, known in facts["values"].items()}, facts["majority"]
        )
