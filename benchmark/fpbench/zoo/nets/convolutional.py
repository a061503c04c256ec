"""Plain convolutional stacks: the image makers and readers of VAEs and DCGAN-like GANs."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from fpbench.zoo.nets.blocks import (
    LatentNetwork,
    activation,
    downsampling,
    levels,
    normalisation,
    upsampling,
)


class Decoder(LatentNetwork):
    """Latent vector to image: a linear layer to 4x4, then one upsampling per level.

    Args:
        size: Height and width of the images.
        latent: Dimension of the latent vector.
        width: Channels at half the full resolution; they double with every level below, up to
            four times `width`.
        up: Kind of upsampling, see `fpbench.zoo.nets.blocks.UPSAMPLINGS`.
        norm: Kind of normalisation.
        nonlinearity: Kind of activation.
        squash: Whether a tanh bounds the output to [-1, 1].
        refine: Convolutions of stride 1 after each upsampling but the last.
    """

    def __init__(
        self,
        size: int,
        latent: int,
        width: int,
        *,
        up: str,
        norm: str,
        nonlinearity: str,
        squash: bool = True,
        refine: int = 0,
    ) -> None:
        super().__init__()
        self.latent = latent
        count = levels(size)
        widths = [min(4, 2**level) * width for level in reversed(range(count))]
        self.start = nn.Linear(latent, widths[0] * 16)
        body: list[nn.Module] = [normalisation(norm, widths[0]), activation(nonlinearity)]
        for wide, narrow in zip(widths, [*widths[1:], None], strict=True):
            if narrow is None:
                body.append(upsampling(up, wide, 3))
                break
            body += [upsampling(up, wide, narrow)]
            body += [normalisation(norm, narrow), activation(nonlinearity)]
            for _ in range(refine):
                body += [nn.Conv2d(narrow, narrow, 3, padding=1)]
                body += [normalisation(norm, narrow), activation(nonlinearity)]
        if squash:
            body.append(nn.Tanh())
        self.body = nn.Sequential(*body)

    def forward(self, z: Tensor) -> Tensor:
        """Latents of shape (B, latent) to images of shape (B, 3, size, size)."""
        hidden: Tensor = self.start(z).view(len(z), -1, 4, 4)
        image: Tensor = self.body(hidden)
        return image


class Encoder(nn.Module):
    """Image to vector: one downsampling per level to 4x4, then a linear layer.

    Args:
        size: Height and width of the images.
        outputs: Dimension of the vector.
        width: Channels at half the full resolution; they double with every level below, up to
            four times `width`.
        down: Kind of downsampling, see `fpbench.zoo.nets.blocks.DOWNSAMPLINGS`.
        norm: Kind of normalisation, applied from the second level on as in DCGAN.
        nonlinearity: Kind of activation.
        dropout: Probability of zeroing a channel after each level.
    """

    def __init__(
        self,
        size: int,
        outputs: int,
        width: int,
        *,
        down: str,
        norm: str,
        nonlinearity: str,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        body: list[nn.Module] = []
        before = 3
        for level in range(levels(size)):
            after = min(4, 2**level) * width
            body.append(downsampling(down, before, after))
            body.append(normalisation(norm if level else "none", after))
            body.append(activation(nonlinearity))
            if dropout:
                body.append(nn.Dropout2d(dropout))
            before = after
        self.body = nn.Sequential(*body)
        self.end = nn.Linear(before * 16, outputs)

    def features(self, images: Tensor) -> Tensor:
        """Feature maps of shape (B, C, 4, 4)."""
        maps: Tensor = self.body(images)
        return maps

    def forward(self, images: Tensor) -> Tensor:
        """Images of shape (B, 3, size, size) to vectors of shape (B, outputs)."""
        vector: Tensor = self.end(self.features(images).flatten(1))
        return vector


def autoencoder(
    size: int,
    design: Mapping[str, str],
    *,
    latent: int = 64,
    width: int = 32,
    squash: bool = True,
    refine: int = 0,
) -> dict[str, nn.Module]:
    """Encoder (to mean and log-variance) and decoder of a VAE, both as `design` says."""
    norm, nonlinearity = design["normalisation"], design["nonlinearity"]
    return {
        "encoder": Encoder(
            size,
            2 * latent,
            width,
            down=design["downsampling"],
            norm=norm,
            nonlinearity=nonlinearity,
        ),
        "decoder": Decoder(
            size,
            latent,
            width,
            up=design["upsampling"],
            norm=norm,
            nonlinearity=nonlinearity,
            squash=squash,
            refine=refine,
        ),
    }


def factor_autoencoder(
    size: int,
    design: Mapping[str, str],
    *,
    latent: int = 64,
    width: int = 32,
    hidden: int = 256,
) -> dict[str, nn.Module]:
    """Encoder and decoder as `autoencoder` makes them, and FactorVAE's classifier of latents."""
    layers: list[nn.Module] = []
    before = latent
    for _ in range(3):
        layers += [nn.Linear(before, hidden), nn.LeakyReLU(0.2)]
        before = hidden
    discriminator = nn.Sequential(*layers, nn.Linear(before, 2))
    parts = autoencoder(size, design, latent=latent, width=width)
    return parts | {"discriminator": discriminator}


def adversaries(
    size: int,
    design: Mapping[str, str],
    *,
    latent: int = 64,
    width: int = 32,
    critic_width: int = 32,
    critic_norm: str = "none",
    critic_outputs: int = 1,
    dropout: float = 0.0,
    refine: int = 0,
) -> dict[str, nn.Module]:
    """Generator as `design` says, and a discriminator that reads with LeakyReLU.

    ``design["downsampling"]`` is the discriminator's, the only part of a GAN that has any.
    """
    generator = Decoder(
        size,
        latent,
        width,
        up=design["upsampling"],
        norm=design["normalisation"],
        nonlinearity=design["nonlinearity"],
        refine=refine,
    )
    discriminator = Encoder(
        size,
        critic_outputs,
        critic_width,
        down=design["downsampling"],
        norm=critic_norm,
        nonlinearity="leaky-relu",
        dropout=dropout,
    )
    if design["normalisation"] == "none":
        _keep_variance(generator)
        _keep_variance(discriminator)
    return {"generator": generator, "discriminator": discriminator}


def _keep_variance(network: nn.Module) -> None:
    # torch's own start shrinks signals layer by layer, and nothing here normalises them again.
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")


class AutoencodingCritic(nn.Module):
    """EBGAN's discriminator: an autoencoder whose error is the energy (arXiv:1609.03126)."""

    def __init__(self, size: int, code: int, width: int, *, down: str, up: str) -> None:
        super().__init__()
        self.encoder = Encoder(
            size, code, width, down=down, norm="batch", nonlinearity="leaky-relu"
        )
        self.decoder = Decoder(size, code, width, up=up, norm="batch", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Mean squared reconstruction errors of images (B, 3, size, size): shape (B, 1)."""
        code = self.encoder(images)
        decoded: Tensor = self.decoder(code).float()
        return (images - decoded).square().flatten(1).mean(1, keepdim=True)


def autoencoding_adversaries(
    size: int,
    design: Mapping[str, str],
    *,
    latent: int = 64,
    width: int = 32,
    code: int = 64,
    critic_width: int = 24,
) -> dict[str, nn.Module]:
    """Generator as `design` says, and an autoencoder that judges by its error."""
    generator = Decoder(
        size,
        latent,
        width,
        up=design["upsampling"],
        norm=design["normalisation"],
        nonlinearity=design["nonlinearity"],
    )
    critic = AutoencodingCritic(
        size, code, critic_width, down=design["downsampling"], up=design["upsampling"]
    )
    return {"generator": generator, "discriminator": critic}
