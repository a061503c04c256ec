"""Normalising flows of the zoo."""

from fpbench.zoo.model import Training, ZooModel, design

_LOSS = "fpbench.zoo.objectives.flow:FlowLikelihood"

ROWS = (
    ZooModel(
        name="glow-small",
        family="Flow",
        architecture="Glow",
        summary="Activation normalisation, invertible 1x1 convolution and affine coupling on "
        "three scales, log-scales bounded; sampled at temperature 0.9.",
        citation="Kingma & Dhariwal 2018, arXiv:1807.03039",
        design=design(
            up="depth to space",
            down="space to depth",
            norm="act",
            nonlinearity="relu",
            loss="likelihood",
        ),
        network="fpbench.zoo.nets.flow:glow",
        objective=_LOSS,
        network_options={"levels": 3, "depth": 4, "width": 48},
        objective_options={"temperature": 0.9},
        training=Training(rate=1e-3, clip=50.0),
    ),
    ZooModel(
        name="coupling-flow-small",
        family="Flow",
        architecture="Real NVP",
        summary="Checkerboard couplings at full size, channel-wise ones on two lower scales, with "
        "residual nets; it stands where ManiFPT has MaCow. Sampled at temperature 0.9.",
        citation="Dinh et al. 2016, arXiv:1605.08803",
        design=design(
            up="depth to space",
            down="space to depth",
            norm="act",
            nonlinearity="silu",
            skip="residual",
            loss="likelihood",
        ),
        network="fpbench.zoo.nets.flow:checkerboard_flow",
        objective=_LOSS,
        network_options={"levels": 2, "depth": 4, "width": 24, "residual": 2},
        objective_options={"temperature": 0.9},
        training=Training(batch=32, rate=1e-3, clip=50.0),
    ),
    ZooModel(
        name="nice-small",
        family="Flow",
        architecture="NICE",
        summary="Couplings that only shift, on two scales of channels instead of on flattened "
        "pixels, with activation normalisation for the paper's one diagonal scaling. Sampled at "
        "temperature 0.9.",
        citation="Dinh et al. 2014, arXiv:1410.8516",
        design=design(
            up="depth to space",
            down="space to depth",
            norm="act",
            nonlinearity="leaky-relu",
            loss="likelihood",
        ),
        network="fpbench.zoo.nets.flow:additive_flow",
        objective=_LOSS,
        network_options={"levels": 2, "depth": 6, "width": 64},
        objective_options={"temperature": 0.9},
        training=Training(batch=32, rate=1e-3, clip=50.0),
    ),
)
