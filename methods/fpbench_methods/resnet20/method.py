"""A baseline: the network that reads artifacts, shown images that no theory has prepared."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from fpbench.method import MethodCard, Range, Variant
from fpbench_methods.riemann.projecting import Projection, ProjectionMethod

Input = Literal["image", "highpass", "vae-residual"]

_PROJECTIONS: dict[Input, Projection] = {
    "image": "none",
    "highpass": "blur",
    "vae-residual": "reconstruction",
}
_PICTURED = {
    "image": ("nothing", "the image itself"),
    "highpass": ("image after a Gaussian blur", "what the blur takes away"),
    "vae-residual": ("reconstruction", "what the autoencoder takes away"),
}


class ResNet20(ProjectionMethod):
    """The attribution network of `manifpt:rgb`, with its training, on other inputs.

    What a method that shows this network artifacts gains over ``image`` it owes to its artifacts;
    what it gains over ``highpass`` it does not owe to taking content away; what `riemann` gains
    over ``vae-residual`` it owes to neighbours and geometry.

    Args:
        input: ``image`` (x), ``highpass`` (x less a Gaussian blur of x) or ``vae-residual``
            (x − dec(enc(x)) of a variational autoencoder of the reference images).
        sigma: Standard deviation in pixels of the Gaussian of ``highpass``.
        latent: Latent dimensions of the autoencoder; None means 32, or 128 for images of more
            than 64 pixels.
        options: `rate` and `epochs`, see `NetworkMethod`.
    """

    card: ClassVar[MethodCard] = MethodCard(
        name="resnet20",
        title="Baseline: a residual network on the image, or what a step leaves of it",
        authors="The fpbench maintainers",
        year=2026,
        citation=(
            "@misc{fpbench,\n"
            "  title = {fpbench: a benchmark suite for fingerprints of generative models},\n"
            "  author = {{The fpbench maintainers}},\n"
            "  year = {2026}\n"
            "}"
        ),
        licence="MIT",
        version="1",
        variants={
            "image": Variant("x itself: the network alone", {"input": "image"}),
            "highpass": Variant(
                "x − a Gaussian blur of x: no real image is asked", {"input": "highpass"}
            ),
            "vae-residual": Variant(
                "x − dec(enc(x)): riemann's autoencoder without neighbours and geometry",
                {"input": "vae-residual"},
                remark="the ablation of riemann",
            ),
        },
        min_size=8,
        baseline=True,
        faithful=(
            "No paper's method: controls beside which manifpt and riemann are to be judged.",
            "Network and training are those of manifpt:rgb, the autoencoder that of riemann.",
        ),
        different=(
            "ResNet-20 at every budget; manifpt and riemann use ResNet-50 at full.",
            "Budgets smoke and small train on random 64×64 crops of larger images and judge them "
            "whole; vae-residual does as riemann does.",
        ),
    )

    def __init__(
        self,
        *,
        input: Input = "image",
        sigma: Annotated[float, Range(above=0, most=1000)] = 2.0,
        latent: Annotated[int | None, Range(1, 4096)] = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.input = input
        self.projection = _PROJECTIONS[input]
        self.residual_names = _PICTURED[input]
        self.any_size = input != "vae-residual"  # an autoencoder fixes the size
        self.sigma = sigma
        self.latent = latent
        self.attributor = "resnet20"
