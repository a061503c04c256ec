"""The Riemannian fingerprints' plugin: artifacts and an attribution network on them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from fpbench.errors import BadInput
from fpbench.method import MethodCard, Range
from fpbench_methods.bases.artifacts import Attributor
from fpbench_methods.bases.saved import Arrays, Facts
from fpbench_methods.riemann.card import RIEMANN_CARD
from fpbench_methods.riemann.projecting import ProjectionMethod


class Riemann(ProjectionMethod):
    """Artifacts a(x) = x − x* with x* decoded from a centre of mass of real neighbours.

    A variational autoencoder of the reference images gives its latent space the metric of its
    stochastic decoder. The k reference images nearest to an image by geodesic length have a
    Riemannian centre of mass; what it decodes to is the image's projection (after Song and Itti,
    ICCV 2025). The network of `manifpt` reads the artifacts.

    Args:
        k: Number of neighbours; None lets the budget decide: 5, 10 and 10.
        latent: Latent dimensions; None means 32, or 128 for images of more than 64 pixels.
        attributor: ``resnet20``, ``resnet50`` (from timm), or ``auto``: resnet50 for budget
            full, else resnet20.
        pretrained: Start resnet50 from ImageNet weights.
        options: `rate` and `epochs`, see `NetworkMethod`.
    """

    card: ClassVar[MethodCard] = RIEMANN_CARD
    residual_names = ("projection onto real images", "artifact")
    any_size = False  # an autoencoder fixes the size

    def __init__(
        self,
        *,
        k: Annotated[int | None, Range(1, 10_000)] = None,
        latent: Annotated[int | None, Range(1, 4096)] = None,
        attributor: Attributor = "auto",
        pretrained: bool = True,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.k = k
        self.latent = latent
        self.attributor = attributor
        self.pretrained = pretrained

    @classmethod
    def upgraded(cls, arrays: Arrays, facts: Facts) -> tuple[Arrays, Facts]:
        """What was saved when the controls of `resnet20` were variants of this method."""
        params = dict(facts.get("params", {}))
        projection = params.pop("projection", "centre")
        params.pop("sigma", None)
        if projection != "centre":
            raise BadInput(
                f"This riemann was saved with projection={projection}, which is the method "
                "resnet20 now; fit that one."
            )
        return arrays, facts | {"params": params}
