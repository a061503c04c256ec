"""Variational autoencoders of the zoo. Samples are always the likelihood's mean."""

from fpbench.zoo.model import Training, ZooModel, design

_NETWORK = "fpbench.zoo.nets.convolutional:autoencoder"
_LOSSES = "fpbench.zoo.objectives.vae"

ROWS = (
    ZooModel(
        name="beta-vae-small",
        family="VAE",
        architecture="β-VAE",
        summary="Convolutional VAE; Gaussian likelihood of fixed scale, β weighs the divergence.",
        citation="Higgins et al. 2017, ICLR (OpenReview Sy2fzU9gl)",
        design=design(
            up="transposed convolution",
            down="strided convolution",
            norm="none",
            nonlinearity="relu",
            loss="β-ELBO",
        ),
        network=_NETWORK,
        objective=f"{_LOSSES}:BetaVAE",
        network_options={"latent": 64, "width": 32},
        objective_options={"beta": 2.0, "sigma": 0.2},
        training=Training(rate=1e-3),
    ),
    ZooModel(
        name="dfc-vae-small",
        family="VAE",
        architecture="DFC-VAE",
        summary="Deep feature consistent VAE. The features are those of a fixed random "
        "convolutional network instead of the paper's pretrained VGG-19, averaged with the pixel "
        "error.",
        citation="Hou et al. 2016, arXiv:1610.00291",
        design=design(
            up="nearest",
            down="strided convolution",
            norm="batch",
            nonlinearity="leaky-relu",
            loss="ELBO on random features",
        ),
        network=_NETWORK,
        objective=f"{_LOSSES}:DFCVAE",
        network_options={"latent": 64, "width": 24},
        objective_options={"beta": 1.0, "sigma": 0.2, "widths": (16, 32, 32)},
        training=Training(rate=1e-3),
    ),
    ZooModel(
        name="factor-vae-small",
        family="VAE",
        architecture="FactorVAE",
        summary="VAE with a classifier of latents that penalises their total correlation; "
        "narrower than the paper's, at its weight γ = 10.",
        citation="Kim & Mnih 2018, arXiv:1802.05983",
        design=design(
            up="pixel shuffle",
            down="space to depth",
            norm="group",
            nonlinearity="silu",
            loss="ELBO and total correlation",
        ),
        network="fpbench.zoo.nets.convolutional:factor_autoencoder",
        objective=f"{_LOSSES}:FactorVAE",
        network_options={"latent": 48, "width": 24, "hidden": 256},
        objective_options={"sigma": 0.25, "gamma": 10.0},
        training=Training(rate=1e-3, rates={"discriminator": 1e-4}),
    ),
    ZooModel(
        name="info-vae-small",
        family="VAE",
        architecture="InfoVAE",
        summary="VAE with half the divergence and a maximum mean discrepancy (rational quadratic "
        "kernel) between all latents and the prior.",
        citation="Zhao et al. 2017, arXiv:1706.02262",
        design=design(
            up="bilinear",
            down="average pooling",
            norm="layer",
            nonlinearity="elu",
            loss="ELBO and maximum mean discrepancy",
        ),
        network=_NETWORK,
        objective=f"{_LOSSES}:InfoVAE",
        network_options={"latent": 64, "width": 24},
        objective_options={"beta": 0.5, "sigma": 0.2, "strength": 1000.0},
        training=Training(rate=1e-3),
    ),
    ZooModel(
        name="hvae-small",
        family="VAE",
        architecture="VDVAE",
        summary="Hierarchical VAE with latents at 4x4, 8x8 and 16x16 in the manner of VDVAE and "
        "NVAE; Gaussian likelihood of learnt scale instead of a mixture of logistics.",
        citation="Child 2020, arXiv:2011.10650; Vahdat & Kautz 2020, arXiv:2007.03898",
        design=design(
            up="nearest",
            down="average pooling",
            norm="none",
            nonlinearity="gelu",
            skip="residual",
            loss="hierarchical ELBO",
        ),
        network="fpbench.zoo.nets.hierarchical:ladder",
        objective=f"{_LOSSES}:HierarchicalVAE",
        network_options={"width": 32, "latent": 8, "rungs": (2, 2, 1, 0)},
        training=Training(batch=32, rate=1e-3, clip=5.0),
    ),
)
