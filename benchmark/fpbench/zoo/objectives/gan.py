"""Adversarial losses: two players, and the terms that keep the discriminator in bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from fpbench.zoo.generative import Generative
from fpbench.zoo.nets.blocks import LatentNetwork
from fpbench.zoo.nets.style import Growing, growth


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], points: Tensor, *, one_sided: bool = False
) -> Tensor:
    """Mean squared distance of the critic's gradient norm from one: a scalar.

    Gulrajani et al. 2017 (arXiv:1704.00028), equation 3; with `one_sided` only norms above one
    count (the Lipschitz penalty of Petzka et al. 2018, arXiv:1709.08894, equation 7).

    Args:
        critic: Maps points to one score each.
        points: Where the gradient is taken, of shape (B, ...).
        one_sided: Whether norms below one are free.
    """
    points = points.detach().requires_grad_(True)
    (gradient,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    excess: Tensor = gradient.float().flatten(1).norm(dim=1) - 1
    if one_sided:
        excess = functional.relu(excess)
    return excess.square().mean()


def interpolate(real: Tensor, fake: Tensor) -> Tensor:
    """One uniform point on each segment between a real and a made image."""
    share = torch.rand(len(real), 1, 1, 1, device=real.device)
    return share * real + (1 - share) * fake


class GAN(Generative):
    """Two players with the non-saturating minimax loss (Goodfellow et al. 2014, section 3).

    Subclasses change `score_loss` (what the discriminator minimises), `fool_loss` (what the
    generator minimises) and `regulariser`.

    Args:
        parts: ``generator`` and ``discriminator``.
        size: Height and width of the images.
        critic_steps: Moves of the discriminator per move of the generator.
    """

    players = ("discriminator", "generator")
    generator: LatentNetwork
    discriminator: nn.Module

    def __init__(self, parts: Mapping[str, nn.Module], *, size: int, critic_steps: int = 1) -> None:
        super().__init__(parts, size=size)
        self.critic_steps = critic_steps

    def turns(self, step: int) -> Sequence[str]:
        """The discriminator `critic_steps` times, then the generator."""
        return ("discriminator",) * self.critic_steps + ("generator",)

    def parameters_of(self, player: str) -> list[nn.Parameter]:
        """Parameters of the network of that name."""
        return list(self.get_submodule(player).parameters())

    def judge(self, images: Tensor) -> Tensor:
        """The discriminator's scores: float32 of shape (B,) or (B, outputs)."""
        scores: Tensor = self.discriminator(images)
        return scores.float().squeeze(1)

    def score_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Loss of the discriminator that gave these scores."""
        return functional.softplus(-real).mean() + functional.softplus(fake).mean()

    def fool_loss(self, fake: Tensor) -> Tensor:
        """Loss of the generator whose images got these scores."""
        return functional.softplus(-fake).mean()

    def regulariser(self, real: Tensor, fake: Tensor) -> Tensor | float:
        """What is added to the discriminator's loss, from images of shape (B, 3, H, W)."""
        return 0.0

    def loss(self, player: str, images: Tensor) -> Tensor:
        """Loss of either player; the generator's uses no real image but their number."""
        if player == "generator":
            return self.fool_loss(self.judge(self.draw(len(images))))
        with torch.no_grad():
            fake = self.draw(len(images)).float()
        scores = self.score_loss(self.judge(images), self.judge(fake))
        return scores + self.regulariser(images, fake)

    def draw(self, count: int) -> Tensor:
        """Images made from standard normal latents."""
        images: Tensor = self.generator(self.noise(count, self.generator.latent))
        return images


class LSGAN(GAN):
    """Least squares towards 1 for real and 0 for fake (Mao et al. 2017, equation 9)."""

    def score_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Half the squared distances from the targets."""
        return 0.5 * ((real - 1).square().mean() + fake.square().mean())

    def fool_loss(self, fake: Tensor) -> Tensor:
        """Half the squared distance from what real images should get."""
        return 0.5 * (fake - 1).square().mean()


class HingeGAN(GAN):
    """Hinge loss (Miyato et al. 2018, arXiv:1802.05957, equations 16 and 17)."""

    def score_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Scores of real images below 1 and of made ones above -1 cost."""
        return functional.relu(1 - real).mean() + functional.relu(1 + fake).mean()

    def fool_loss(self, fake: Tensor) -> Tensor:
        """Minus the mean score."""
        return -fake.mean()


class WGAN(GAN):
    """Wasserstein loss with a gradient penalty between real and made images.

    Args:
        parts: ``generator`` and ``discriminator``.
        size: Height and width of the images.
        critic_steps: Moves of the critic per move of the generator.
        weight: Weight λ of the penalty.
        one_sided: Whether gradient norms below one are free (WGAN-LP).
        drift: Weight of the squared scores of real images (ProGAN, appendix A.1).
    """

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        *,
        size: int,
        critic_steps: int = 2,
        weight: float = 10.0,
        one_sided: bool = False,
        drift: float = 0.0,
    ) -> None:
        super().__init__(parts, size=size, critic_steps=critic_steps)
        self.weight = weight
        self.one_sided = one_sided
        self.drift = drift

    def score_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Mean score of made minus that of real images."""
        return fake.mean() - real.mean() + self.drift * real.square().mean()

    def fool_loss(self, fake: Tensor) -> Tensor:
        """Minus the mean score."""
        return -fake.mean()

    def regulariser(self, real: Tensor, fake: Tensor) -> Tensor:
        """The penalty at points between real and made images."""
        points = interpolate(real, fake)
        return self.weight * gradient_penalty(self.judge, points, one_sided=self.one_sided)


class DRAGAN(GAN):
    """Minimax loss with a gradient penalty around real images.

    Kodali et al. 2017 (arXiv:1705.07215), algorithm 1, with Gaussian noise of half the images'
    standard deviation.

    Args:
        parts: ``generator`` and ``discriminator``.
        size: Height and width of the images.
        critic_steps: Moves of the discriminator per move of the generator.
        weight: Weight λ of the penalty.
        one_sided: Whether gradient norms below one are free.
    """

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        *,
        size: int,
        critic_steps: int = 1,
        weight: float = 10.0,
        one_sided: bool = False,
    ) -> None:
        super().__init__(parts, size=size, critic_steps=critic_steps)
        self.weight = weight
        self.one_sided = one_sided

    def regulariser(self, real: Tensor, fake: Tensor) -> Tensor:
        """The penalty at noisy real images."""
        points = real + 0.5 * real.std() * torch.randn_like(real)
        return self.weight * gradient_penalty(self.judge, points, one_sided=self.one_sided)


class EBGAN(GAN):
    """The discriminator's score is an energy (Zhao et al. 2017, arXiv:1609.03126, eqs. 1 and 2).

    Args:
        parts: ``generator`` and ``discriminator``, whose scores are errors of an autoencoder.
        size: Height and width of the images.
        critic_steps: Moves of the discriminator per move of the generator.
        margin: Energy above which made images cost nothing.
    """

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        *,
        size: int,
        critic_steps: int = 1,
        margin: float = 0.1,
    ) -> None:
        super().__init__(parts, size=size, critic_steps=critic_steps)
        self.margin = margin

    def score_loss(self, real: Tensor, fake: Tensor) -> Tensor:
        """Energy of real images plus what made ones lack of the margin."""
        return real.mean() + functional.relu(self.margin - fake).mean()

    def fool_loss(self, fake: Tensor) -> Tensor:
        """Energy of made images."""
        return fake.mean()


class SmoothGAN(GAN):
    """Non-saturating loss with R1, the penalty of StyleGAN2.

    The squared gradient at real images (Mescheder et al. 2018, arXiv:1801.04406, equation 9),
    taken every `interval` moves and then weighted by as many (Karras et al. 2020, section 4.2).

    Args:
        parts: ``generator`` and ``discriminator``.
        size: Height and width of the images.
        weight: Weight γ of the penalty.
        interval: Moves of the discriminator per penalty.
    """

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        *,
        size: int,
        weight: float = 1.0,
        interval: int = 8,
    ) -> None:
        super().__init__(parts, size=size)
        self.weight = weight
        self.interval = interval
        self.penalised = True

    def turns(self, step: int) -> Sequence[str]:
        """Discriminator, generator; notes whether this step takes the penalty."""
        self.penalised = step % self.interval == 0
        return super().turns(step)

    def regulariser(self, real: Tensor, fake: Tensor) -> Tensor | float:
        """γ/2 times the mean squared gradient at real images, in every `interval`-th step."""
        if not self.penalised:
            return 0.0
        points = real.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(self.judge(points).sum(), points, create_graph=True)
        squared = gradient.float().square().flatten(1).sum(1).mean()
        return self.interval * self.weight / 2 * squared


class GrowingWGAN(WGAN):
    """WGAN-GP whose two networks grow from 8x8 to full size (ProGAN, arXiv:1710.10196).

    Args:
        parts: ``generator`` and ``discriminator``, each a `fpbench.zoo.nets.style.Growing`.
        size: Height and width of the images.
        critic_steps: Moves of the critic per move of the generator.
        weight: Weight λ of the penalty.
        drift: Weight of the squared scores of real images.
        growing: Share of the training over which resolutions are added.
    """

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        *,
        size: int,
        critic_steps: int = 1,
        weight: float = 10.0,
        drift: float = 1e-3,
        growing: float = 0.5,
    ) -> None:
        super().__init__(parts, size=size, critic_steps=critic_steps, weight=weight, drift=drift)
        self.growing = growing

    def turns(self, step: int) -> Sequence[str]:
        """Grow both networks to where the training is, then as in `GAN`."""
        for network in (self.generator, self.discriminator):
            if isinstance(network, Growing):
                network.grow(*growth(self.fraction, network.count, self.growing))
        return super().turns(step)
