"""The plugin of Asnani et al. (TPAMI 2023): attribution by the estimated fingerprint's spectrum."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from fpbench.method import Budget, MethodCard
from fpbench_methods.asnani.card import ASNANI_CARD
from fpbench_methods.asnani.estimating import EstimatingMethod

if TYPE_CHECKING:
    from torch import Tensor, nn

    from fpbench_methods.asnani.heads import AttributionPair


class Asnani(EstimatingMethod["AttributionPair"]):
    """Estimates a fingerprint under four constraints and reads its source from the spectrum.

    The fingerprint of an image is the 512 features before the last layer.

    Args:
        sigmoid: Put the logits through a sigmoid before the cross-entropy (released code).
        common: See `EstimatingMethod`.
    """

    card: ClassVar[MethodCard] = ASNANI_CARD
    rates: ClassVar[Mapping[Budget, float]] = {"smoke": 1e-3, "small": 1e-3, "full": 1e-4}
    budget_epochs: ClassVar[Mapping[Budget, int]] = {"smoke": 2, "small": 12}
    images_shown = 1_000_000  # two epochs of five times 100,000 images

    def __init__(self, *, sigmoid: bool = False, **common: Any) -> None:
        super().__init__(**common)
        self.sigmoid = sigmoid

    def build(self, classes: int, *, initial: bool) -> AttributionPair:
        """Estimation network and attribution head."""
        from fpbench_methods.asnani.heads import AttributionPair

        return AttributionPair(self.estimation(), classes, self._size, self.sigmoid)

    def objective(self, trained: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
        """Cross-entropy of the sources, and the four constraints on the fingerprints."""
        from torch.nn.functional import cross_entropy

        from fpbench_methods.asnani.estimation import ATTRIBUTION_WEIGHTS, constraints

        pair = self.fitted(self._network)

        def loss(images: Tensor, labels: Tensor) -> Tensor:
            fingerprints = pair.estimation(images)
            task = cross_entropy(pair.judge(fingerprints).float(), labels)
            terms = constraints(
                fingerprints, batch_max=self.batch_max, fixed_window=self.fixed_window
            )
            return ATTRIBUTION_WEIGHTS.task * task + terms.weighted(ATTRIBUTION_WEIGHTS)

        return loss
