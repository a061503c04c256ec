"""Adversarial losses on feature vectors: kernel discrepancy and contrast of local with global."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional

from fpbench.zoo.nets.residual import ContrastiveCritic
from fpbench.zoo.objectives.discrepancy import rational_quadratic, squared_mmd
from fpbench.zoo.objectives.gan import GAN, HingeGAN, gradient_penalty, interpolate

SCALES = (0.2, 0.5, 1.0, 2.0, 5.0)
"""Scales of the kernel, as in the MMD GAN paper."""


class MMDGAN(GAN):
    """The generator closes, the critic opens a kernel discrepancy between feature vectors.

    Bińkowski et al. 2018 (arXiv:1801.01401), section 2.1, with the gradient penalty on the
    witness function.

    Args:
        parts: ``generator`` and ``discriminator`` (images to feature vectors).
        size: Height and width of the images.
        critic_steps: Moves of the critic per move of the generator.
        weight: Weight of the penalty.
    """

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        *,
        size: int,
        critic_steps: int = 2,
        weight: float = 1.0,
    ) -> None:
        super().__init__(parts, size=size, critic_steps=critic_steps)
        self.weight = weight

    def loss(self, player: str, images: Tensor) -> Tensor:
        """The discrepancy, or minus it with the penalty."""
        if player == "generator":
            with torch.no_grad():
                real = self.judge(images)
            return squared_mmd(real, self.judge(self.draw(len(images))), SCALES)
        with torch.no_grad():
            made = self.draw(len(images)).float()
        real, fake = self.judge(images), self.judge(made)

        def witness(points: Tensor) -> Tensor:
            features = self.judge(points)
            towards_real = rational_quadratic(features, real, SCALES).mean(1)
            return towards_real - rational_quadratic(features, fake, SCALES).mean(1)

        penalty = gradient_penalty(witness, interpolate(images, made))
        return self.weight * penalty - squared_mmd(real, fake, SCALES)


def info_nce(local: Tensor, whole: Tensor) -> Tensor:
    """Cross-entropy of finding the image that a local feature belongs to: a scalar.

    InfoMax-GAN (arXiv:2007.04589), equation 6: a local feature is paired with the global feature
    of its own image, against those of the other images of the batch.

    Args:
        local: Features of shape (B, D, H, W).
        whole: Features of shape (B, D).
    """
    count = len(local)
    places = functional.normalize(local.flatten(2), dim=1)
    logits = torch.einsum("bdp,cd->bpc", places, functional.normalize(whole, dim=1)) * 10
    truth = torch.arange(count, device=local.device)[:, None].expand(-1, logits.shape[1])
    return functional.cross_entropy(logits.flatten(0, 1), truth.flatten())


class InfoMaxGAN(HingeGAN):
    """Hinge loss plus contrast of local with global features, for both players.

    Lee et al. 2021 (arXiv:2007.04589), equations 9 and 10.

    Args:
        parts: ``generator`` and ``discriminator``, a `ContrastiveCritic`.
        size: Height and width of the images.
        critic_steps: Moves of the discriminator per move of the generator.
        weight: Weight of the contrast for both players.
    """

    discriminator: ContrastiveCritic

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        *,
        size: int,
        critic_steps: int = 1,
        weight: float = 0.2,
    ) -> None:
        super().__init__(parts, size=size, critic_steps=critic_steps)
        self.weight = weight

    def loss(self, player: str, images: Tensor) -> Tensor:
        """Hinge loss plus contrast: of real images for the discriminator, of made ones else."""
        if player == "generator":
            score, local, whole = self.discriminator.contrast(self.draw(len(images)))
            adversarial = self.fool_loss(score.float().squeeze(1))
        else:
            with torch.no_grad():
                made = self.draw(len(images)).float()
            score, local, whole = self.discriminator.contrast(images)
            adversarial = self.score_loss(score.float().squeeze(1), self.judge(made))
        return adversarial + self.weight * info_nce(local.float(), whole.float())
