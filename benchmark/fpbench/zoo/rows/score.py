"""Diffusion and score-based models of the zoo."""

from fpbench.zoo.model import Training, ZooModel, design

_UNET = "fpbench.zoo.nets.unet:denoising_unet"
_LOSSES = "fpbench.zoo.objectives.score"

ROWS = (
    ZooModel(
        name="ddpm-small",
        family="Score",
        architecture="DDPM",
        summary="diffusers' UNet2DModel without attention, linear schedule of 1,000 times, error "
        "of the noise, which is read from the output as a velocity; sampled by DDIM in 25 steps.",
        citation="Ho et al. 2020, arXiv:2006.11239; Song et al. 2020, arXiv:2010.02502",
        design=design(
            up="nearest",
            down="strided convolution",
            norm="group",
            nonlinearity="silu",
            skip="concatenation",
            loss="noise prediction",
        ),
        network="fpbench.zoo.nets.unet:ddpm_unet",
        objective=f"{_LOSSES}:Diffusion",
        network_options={"widths": (16, 32, 64), "layers": 1},
        objective_options={"schedule": "linear", "predicts": "noise", "sampling_steps": 25},
        training=Training(batch=32, rate=1e-3, ema=0.995, clip=1.0, channels_last=False),
    ),
    ZooModel(
        name="ncsn-small",
        family="Score",
        architecture="NCSN",
        summary="Variance-exploding score matching at noise levels from 0.01 to 20; sampled by "
        "20 probability flow steps, each with one Langevin correction.",
        citation="Song & Ermon 2019, arXiv:1907.05600; Song et al. 2020, arXiv:2011.13456",
        design=design(
            up="bilinear",
            down="average pooling",
            norm="layer",
            nonlinearity="elu",
            skip="concatenation",
            loss="denoising score matching",
        ),
        network=_UNET,
        objective=f"{_LOSSES}:NoiseConditionalScore",
        network_options={"widths": (16, 32, 64), "blocks": 1},
        objective_options={"sampling_steps": 20, "snr": 0.2},
        training=Training(batch=32, rate=1e-3, ema=0.995, clip=1.0, channels_last=False),
    ),
    ZooModel(
        name="adm-small",
        family="Score",
        architecture="ADM",
        summary="U-Net told the time by scale and shift, attention at the lowest resolution, "
        "cosine schedule, error of the velocity; no classifier guidance; 25 steps half way "
        "between DDIM and ancestral sampling.",
        citation="Dhariwal & Nichol 2021, arXiv:2105.05233; Nichol & Dhariwal 2021, "
        "arXiv:2102.09672",
        design=design(
            up="pixel shuffle",
            down="space to depth",
            norm="group",
            nonlinearity="silu",
            skip="concatenation",
            loss="velocity prediction",
        ),
        network=_UNET,
        objective=f"{_LOSSES}:Diffusion",
        network_options={
            "widths": (16, 32, 64),
            "blocks": 1,
            "attention": True,
            "scale_shift": True,
        },
        objective_options={
            "schedule": "cosine",
            "predicts": "velocity",
            "sampling_steps": 25,
            "eta": 0.5,
        },
        training=Training(batch=32, rate=1e-3, ema=0.995, clip=1.0, channels_last=False),
    ),
    ZooModel(
        name="iddpm-small",
        family="Score",
        architecture="Improved DDPM",
        summary="Cosine schedule and error of the noise, without the paper's learnt variances; "
        "U-Net without attention, its output read as a velocity; 25 ancestral steps.",
        citation="Nichol & Dhariwal 2021, arXiv:2102.09672",
        design=design(
            up="transposed convolution",
            down="strided convolution",
            norm="group",
            nonlinearity="gelu",
            skip="concatenation",
            loss="noise prediction, cosine schedule",
        ),
        network=_UNET,
        objective=f"{_LOSSES}:Diffusion",
        network_options={"widths": (16, 32, 64), "blocks": 1},
        objective_options={
            "schedule": "cosine",
            "predicts": "noise",
            "sampling_steps": 25,
            "eta": 1.0,
        },
        training=Training(batch=32, rate=1e-3, ema=0.995, clip=1.0, channels_last=False),
    ),
    ZooModel(
        name="ldm-small",
        family="Score",
        architecture="LDM",
        summary="Autoencoder to a quarter of the resolution (mean absolute error and a slight "
        "divergence; no adversary and no perceptual loss), trained for 40 % of the time, then "
        "diffusion of its latents; sampled by DDIM in 50 steps.",
        citation="Rombach et al. 2021, arXiv:2112.10752",
        design=design(
            up="transposed convolution",
            down="strided convolution",
            norm="group",
            nonlinearity="leaky-relu",
            loss="latent velocity prediction",
        ),
        network="fpbench.zoo.nets.unet:latent_diffusion",
        objective=f"{_LOSSES}:LatentDiffusion",
        network_options={"latent": 4, "coder_width": 32, "widths": (48, 64), "blocks": 1},
        objective_options={"latent": 4, "sampling_steps": 50},
        training=Training(rate=1e-3, ema=0.995, clip=1.0, channels_last=False),
    ),
)
