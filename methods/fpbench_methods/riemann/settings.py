"""What each budget spends on the model of real images and on its geometry."""

from __future__ import annotations

from dataclasses import dataclass

from fpbench.method import Budget
from fpbench_methods.riemann.geometry import GeodesicPlan
from fpbench_methods.riemann.vae import Shape


@dataclass(frozen=True)
class Settings:
    """Sizes, step counts and rates; none is the paper's, whose own could not be established.

    Attributes:
        shape: Of the variational autoencoder and the precision network.
        epochs: Of the autoencoder.
        precision_epochs: Of the precision network.
        most: Reference images that are used at most, or None.
        pool: Nearest codes that are ranked by geodesic length.
        k: Neighbours whose centre of mass is the projection.
        ranking: How the geodesics that rank are sought.
        averaging: The same in each iteration of the centre of mass.
        iterations: Of the centre of mass.
    """

    shape: Shape
    epochs: int
    precision_epochs: int
    most: int | None
    pool: int
    k: int
    ranking: GeodesicPlan
    averaging: GeodesicPlan
    iterations: int


def settings_for(
    budget: Budget, size: tuple[int, int], *, k: int | None = None, latent: int | None = None
) -> Settings:
    """Settings of a budget for images of a height and width.

    Args:
        budget: Which.
        size: Height and width.
        k: Neighbours, instead of the budget's.
        latent: Latent dimensions, instead of 32, or 128 above 64 pixels.
    """
    dimensions = latent or (32 if min(size) <= 64 else 128)
    if budget == "full":
        return Settings(
            Shape(size, dimensions, width=32, hidden=(512, 256), centres=64),
            epochs=200, precision_epochs=200, most=None, pool=100, k=k or 10,
            ranking=GeodesicPlan(15, 50), averaging=GeodesicPlan(15, 50), iterations=20,
        )  # fmt: skip
    shape = Shape(size, dimensions, width=16, hidden=(128, 64), centres=32)
    if budget == "small":
        return Settings(
            shape, epochs=60, precision_epochs=60, most=None, pool=20, k=k or 10,
            ranking=GeodesicPlan(6, 5), averaging=GeodesicPlan(6, 4), iterations=4,
        )  # fmt: skip
    return Settings(
        shape, epochs=10, precision_epochs=20, most=256, pool=10, k=k or 5,
        ranking=GeodesicPlan(4, 3), averaging=GeodesicPlan(4, 2), iterations=2,
    )  # fmt: skip
