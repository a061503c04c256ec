"""Networks of ProGAN and StyleGAN2: equalised learning rates, growth, modulated convolutions."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from fpbench.zoo.nets.blocks import Blur, LatentNetwork, PixelNorm, levels

SLOPE = 0.2


def leaky(x: Tensor) -> Tensor:
    """LeakyReLU times √2, which keeps the variance."""
    return functional.leaky_relu(x, SLOPE) * math.sqrt(2)


class EqualisedLinear(nn.Module):
    """Linear layer scaled at run time, so that all weights learn equally fast (ProGAN, 4.1)."""

    def __init__(self, inputs: int, outputs: int, *, bias: float = 0.0, rate: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs) / rate)
        self.bias = nn.Parameter(torch.full((outputs,), bias / rate))
        self.scale = rate / math.sqrt(inputs)
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        """Vectors (B, inputs) to (B, outputs)."""
        return functional.linear(x, self.weight * self.scale, self.bias * self.rate)


class EqualisedConvolution(nn.Module):
    """Convolution of stride 1 with an equalised learning rate."""

    def __init__(self, width_in: int, width_out: int, kernel: int = 3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width_out, width_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(width_out))
        self.scale = 1 / math.sqrt(width_in * kernel**2)
        self.padding = kernel // 2

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, width_in, H, W) to (B, width_out, H, W)."""
        return functional.conv2d(x, self.weight * self.scale, self.bias, padding=self.padding)


class BatchSpread(nn.Module):
    """Appends one channel: the standard deviation over groups of images (ProGAN, section 3)."""

    def __init__(self, group: int = 4) -> None:
        super().__init__()
        self.group = group

    def forward(self, x: Tensor) -> Tensor:
        """Features (B, C, H, W) to (B, C + 1, H, W)."""
        count = len(x)
        group = self.group if count % self.group == 0 else 1
        spread = x.float().view(group, count // group, *x.shape[1:])
        spread = (spread.var(0, correction=0) + 1e-8).sqrt().mean((1, 2, 3))
        channel = spread.repeat(group).view(count, 1, 1, 1).expand(-1, 1, *x.shape[2:])
        return torch.cat([x, channel.to(x.dtype)], 1)


def stage_widths(count: int, width: int) -> list[int]:
    """Channels from 4x4 to full resolution: `width` at half of it, at most four times as many."""
    return [width * min(4, 2 ** max(0, count - 1 - level)) for level in range(count + 1)]


def growth(fraction: float, count: int, share: float) -> tuple[int, float]:
    """Which resolution is trained at a fraction of the budget, and how far it is faded in.

    Each of the `count` doublings takes an equal part of the first `share` of the training, fading
    in during the first half of its part.

    Returns:
        Number of doublings in place (at least 1), and the weight of the last in [0, 1].
    """
    if share <= 0:
        return count, 1.0
    place = fraction / share * count
    if place >= count:
        return count, 1.0
    doublings = int(place)
    if doublings == 0:
        return 1, 1.0
    return doublings + 1, min(1.0, 2 * (place - doublings))


class Growing(nn.Module):
    """A network that is trained from low to full resolution.

    Attributes:
        stage: Number of doublings from 4x4 in place.
        fade: Weight of the last of them, in [0, 1].
    """

    stage: Tensor
    fade: Tensor

    def __init__(self, count: int) -> None:
        super().__init__()
        self.count = count
        self.register_buffer("stage", torch.tensor(1))
        self.register_buffer("fade", torch.tensor(1.0))

    def grow(self, stage: int, fade: float) -> None:
        """Set stage and fade, never back to an earlier place."""
        if (stage, fade) > (int(self.stage), float(self.fade)):
            self.stage.fill_(stage)
            self.fade.fill_(fade)


class GrowingGenerator(Growing, LatentNetwork):
    """ProGAN's generator: nearest-neighbour upsampling, two convolutions, pixelwise normalisation.

    Whatever the stage, images leave at full size, enlarged by nearest neighbour.

    Args:
        size: Height and width of the images.
        latent: Dimension of the latent vector.
        width: Channels at half the full resolution.
    """

    def __init__(self, size: int, latent: int, width: int) -> None:
        super().__init__(levels(size))
        self.latent = latent
        widths = stage_widths(self.count, width)
        self.norm = PixelNorm()
        self.start = EqualisedLinear(latent, widths[0] * 16)
        self.first = EqualisedConvolution(widths[0], widths[0])
        self.blocks = nn.ModuleList(
            nn.ModuleList([EqualisedConvolution(a, b), EqualisedConvolution(b, b)])
            for a, b in itertools.pairwise(widths)
        )
        self.to_rgb = nn.ModuleList(EqualisedConvolution(w, 3, 1) for w in widths[1:])

    def forward(self, z: Tensor) -> Tensor:
        """Latents of shape (B, latent) to images of shape (B, 3, size, size)."""
        x = leaky(self.start(self.norm(z))).view(len(z), -1, 4, 4)
        x = self.norm(leaky(self.first(self.norm(x))))
        stage, fade = int(self.stage), float(self.fade)
        before: Tensor | None = None
        for level, block in enumerate(list(self.blocks)[:stage]):
            if level == stage - 1 and fade < 1 and level:
                before = enlarge(self.to_rgb[level - 1](x), 2)
            x = enlarge(x, 2)
            for convolution in block.children():
                x = self.norm(leaky(convolution(x)))
        image: Tensor = self.to_rgb[stage - 1](x)
        if before is not None:
            image = before + fade * (image - before)
        return enlarge(image, 2 ** (self.count - stage))


class GrowingCritic(Growing):
    """The mirror image of `GrowingGenerator`: convolutions and average pooling.

    Args:
        size: Height and width of the images.
        width: Channels at half the full resolution.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__(levels(size))
        widths = stage_widths(self.count, width)
        self.from_rgb = nn.ModuleList(EqualisedConvolution(3, w, 1) for w in widths[1:])
        self.blocks = nn.ModuleList(
            nn.ModuleList([EqualisedConvolution(b, b), EqualisedConvolution(b, a)])
            for a, b in itertools.pairwise(widths)
        )
        self.spread = BatchSpread()
        self.last = EqualisedConvolution(widths[0] + 1, widths[0])
        self.hidden = EqualisedLinear(widths[0] * 16, widths[0])
        self.end = EqualisedLinear(widths[0], 1)

    def forward(self, images: Tensor) -> Tensor:
        """Images of shape (B, 3, size, size) to scores of shape (B, 1)."""
        stage, fade = int(self.stage), float(self.fade)
        factor = 2 ** (self.count - stage)
        images = functional.avg_pool2d(images, factor) if factor > 1 else images
        x = leaky(self.from_rgb[stage - 1](images))
        for level in reversed(range(stage)):
            for convolution in list(self.blocks)[level].children():
                x = leaky(convolution(x))
            x = functional.avg_pool2d(x, 2)
            if level == stage - 1 and fade < 1 and level:
                small = functional.avg_pool2d(images, 2)
                before = leaky(self.from_rgb[level - 1](small))
                x = before + fade * (x - before)
        x = leaky(self.last(self.spread(x))).flatten(1)
        score: Tensor = self.end(leaky(self.hidden(x)))
        return score


def enlarge(x: Tensor, factor: int) -> Tensor:
    """Repeat every pixel `factor` times in both directions."""
    if factor == 1:
        return x
    return functional.interpolate(x, scale_factor=float(factor), mode="nearest")


class ModulatedConvolution(nn.Module):
    """Convolution whose input channels are scaled by a style (StyleGAN2, equations 1 to 3).

    Scaling the input and, for demodulation, the output is the same as scaling every image's
    weights, and needs no grouped convolution.

    Args:
        width_in: Channels of the input.
        width_out: Channels of the output.
        style: Dimension of the style vector.
        kernel: Height and width of the kernel.
        demodulate: Whether the output is scaled to unit expected variance.
    """

    def __init__(
        self, width_in: int, width_out: int, style: int, *, kernel: int = 3, demodulate: bool = True
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width_out, width_in, kernel, kernel))
        self.style = EqualisedLinear(style, width_in, bias=1.0)
        self.scale = 1 / math.sqrt(width_in * kernel**2)
        self.demodulate = demodulate
        self.padding = kernel // 2

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Features (B, width_in, H, W) under styles (B, style) to (B, width_out, H, W)."""
        style = self.style(w).float()
        weight = self.weight * self.scale
        y = functional.conv2d(x * style[:, :, None, None].to(x.dtype), weight, padding=self.padding)
        if self.demodulate:
            power = style.square() @ weight.square().sum((2, 3)).t()
            y = y * torch.rsqrt(power.float() + 1e-8)[:, :, None, None].to(y.dtype)
        return y


class StyledLayer(nn.Module):
    """Modulated convolution, noise of learnt strength, bias and LeakyReLU."""

    def __init__(self, width_in: int, width_out: int, style: int) -> None:
        super().__init__()
        self.convolution = ModulatedConvolution(width_in, width_out, style)
        self.strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(width_out, 1, 1))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """Features (B, width_in, H, W) under styles (B, style) to (B, width_out, H, W)."""
        y = self.convolution(x, w)
        noise = torch.randn(len(y), 1, *y.shape[2:], device=y.device)
        return leaky(y + self.strength * noise + self.bias)


class StyleGenerator(LatentNetwork):
    """StyleGAN2's generator with skips to RGB: mapping network, constant start, styled layers.

    Upsampling is nearest neighbour followed by a binomial filter, for features and images alike.

    Args:
        size: Height and width of the images.
        latent: Dimension of latent vector and style.
        width: Channels at half the full resolution.
        depth: Layers of the mapping network.
    """

    def __init__(self, size: int, latent: int, width: int, depth: int) -> None:
        super().__init__()
        self.latent = latent
        widths = stage_widths(levels(size), width)
        self.norm = PixelNorm()
        self.mapping = nn.ModuleList(
            EqualisedLinear(latent, latent, rate=0.1) for _ in range(depth)
        )
        self.constant = nn.Parameter(torch.randn(1, widths[0], 4, 4))
        self.first = StyledLayer(widths[0], widths[0], latent)
        self.layers = nn.ModuleList(
            nn.ModuleList([StyledLayer(a, b, latent), StyledLayer(b, b, latent)])
            for a, b in itertools.pairwise(widths)
        )
        self.to_rgb = nn.ModuleList(
            ModulatedConvolution(w, 3, latent, kernel=1, demodulate=False) for w in widths
        )
        self.rgb_bias = nn.Parameter(torch.zeros(1, 3, 1, 1))
        self.blur = Blur()

    def forward(self, z: Tensor) -> Tensor:
        """Latents of shape (B, latent) to images of shape (B, 3, size, size), not squashed."""
        w = self.norm(z)
        for layer in self.mapping:
            w = leaky(layer(w))
        x = self.first(self.constant.expand(len(z), -1, -1, -1), w)
        image = self.to_rgb[0](x, w).float()
        for index, pair in enumerate(self.layers):
            first, second = pair.children()
            x = second(first(self.blur(enlarge(x, 2)), w), w)
            image = self.blur(enlarge(image, 2)) + self.to_rgb[index + 1](x, w).float()
        summed: Tensor = image + self.rgb_bias
        return summed


class StyleCritic(nn.Module):
    """StyleGAN2's residual discriminator: blurred, strided, with the spread over the batch.

    Args:
        size: Height and width of the images.
        width: Channels at half the full resolution.
    """

    def __init__(self, size: int, width: int) -> None:
        super().__init__()
        widths = stage_widths(levels(size), width)[::-1]
        self.from_rgb = EqualisedConvolution(3, widths[0], 1)
        self.blocks = nn.ModuleList(
            nn.ModuleList(
                [
                    EqualisedConvolution(a, a),
                    EqualisedConvolution(a, b),
                    EqualisedConvolution(a, b, 1),
                ]
            )
            for a, b in itertools.pairwise(widths)
        )
        self.spread = BatchSpread()
        self.last = EqualisedConvolution(widths[-1] + 1, widths[-1])
        self.hidden = EqualisedLinear(widths[-1] * 16, widths[-1])
        self.end = EqualisedLinear(widths[-1], 1)
        self.blur = Blur()

    def forward(self, images: Tensor) -> Tensor:
        """Images of shape (B, 3, size, size) to scores of shape (B, 1)."""
        x = leaky(self.from_rgb(images))
        for block in self.blocks:
            first, second, shortcut = block.children()
            straight = shortcut(self.blur(x)[:, :, ::2, ::2])
            x = leaky(second(self.blur(leaky(first(x)))[:, :, ::2, ::2]))
            x = (x + straight) / math.sqrt(2)
        x = leaky(self.last(self.spread(x))).flatten(1)
        score: Tensor = self.end(leaky(self.hidden(x)))
        return score


def _expect(design: Mapping[str, str], **fixed: str) -> None:
    for key, value in fixed.items():
        if design[key] != value:
            raise ValueError(f"this network's {key} is {value}, not {design[key]}")


def growing_adversaries(
    size: int,
    design: Mapping[str, str],
    *,
    latent: int = 64,
    width: int = 32,
    critic_width: int = 32,
) -> dict[str, nn.Module]:
    """ProGAN's pair; its design choices are fixed."""
    _expect(
        design,
        upsampling="nearest",
        downsampling="average pooling",
        normalisation="pixel",
        nonlinearity="leaky-relu",
        skip="none",
    )
    return {
        "generator": GrowingGenerator(size, latent, width),
        "discriminator": GrowingCritic(size, critic_width),
    }


def style_adversaries(
    size: int,
    design: Mapping[str, str],
    *,
    latent: int = 64,
    width: int = 32,
    critic_width: int = 32,
    depth: int = 4,
) -> dict[str, nn.Module]:
    """StyleGAN2's pair; its design choices are fixed."""
    _expect(
        design,
        upsampling="nearest and blur",
        downsampling="blur and stride",
        normalisation="demodulation",
        nonlinearity="leaky-relu",
        skip="RGB skips",
    )
    return {
        "generator": StyleGenerator(size, latent, width, depth),
        "discriminator": StyleCritic(size, critic_width),
    }
