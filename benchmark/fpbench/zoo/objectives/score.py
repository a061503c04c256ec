"""Denoising diffusion and score matching: schedules, losses and samplers."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from fpbench.zoo.generative import Generative


def linear_alphas(steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> Tensor:
    """Cumulative products ᾱ of DDPM's linear schedule, shape (steps,), float64 (section 4)."""
    return torch.cumprod(1 - torch.linspace(first, last, steps, dtype=torch.float64), 0)


def cosine_alphas(steps: int = 1000, offset: float = 0.008, ceiling: float = 0.999) -> Tensor:
    """Cumulative products ᾱ of the cosine schedule, shape (steps,), float64.

    Nichol & Dhariwal 2021 (arXiv:2102.09672), equation 17, with every β capped at `ceiling`.
    """
    t = torch.arange(steps + 1, dtype=torch.float64) / steps
    curve = torch.cos((t + offset) / (1 + offset) * math.pi / 2).square()
    betas = (1 - curve[1:] / curve[:-1]).clamp(max=ceiling)
    return torch.cumprod(1 - betas, 0)


SCHEDULES = {"linear": linear_alphas, "cosine": cosine_alphas}


class Diffusion(Generative):
    """Denoising diffusion in discrete time, sampled by DDIM or by ancestral steps.

    Ho et al. 2020 (arXiv:2006.11239), equation 14; sampling by Song et al. 2021
    (arXiv:2010.02502), equation 12, on evenly spaced times with clipped estimates of the image.

    Args:
        parts: ``denoiser``, called with noised images and integer times of shape (B,).
        size: Height and width of the images.
        schedule: ``linear`` or ``cosine``.
        predicts: ``noise`` or ``velocity`` (Salimans & Ho 2022, arXiv:2202.00512, appendix D).
        sampling_steps: Evaluations of the network per sample.
        eta: 0 for DDIM's deterministic path, 1 for ancestral noise.
    """

    denoiser: nn.Module
    alphas: Tensor

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        *,
        size: int,
        schedule: str = "linear",
        predicts: str = "noise",
        sampling_steps: int = 50,
        eta: float = 0.0,
    ) -> None:
        super().__init__(parts, size=size)
        if schedule not in SCHEDULES or predicts not in ("noise", "velocity"):
            raise ValueError(f"no schedule {schedule!r} that predicts {predicts!r}")
        self.register_buffer("alphas", SCHEDULES[schedule]().float())
        self.predicts = predicts
        self.sampling_steps = sampling_steps
        self.eta = eta

    def shape(self) -> tuple[int, int, int]:
        """Shape of what is noised and denoised."""
        return 3, self.size, self.size

    def loss(self, player: str, images: Tensor) -> Tensor:
        """Mean squared error of the predicted noise or velocity at uniform times."""
        return self.denoising_loss(images)

    def denoising_loss(self, clean: Tensor) -> Tensor:
        """The loss on what is noised, of shape (B, *shape)."""
        times = torch.randint(len(self.alphas), (len(clean),), device=clean.device)
        alpha = self.alphas[times].view(-1, 1, 1, 1)
        noise = torch.randn_like(clean)
        noised = alpha.sqrt() * clean + (1 - alpha).sqrt() * noise
        target = noise
        if self.predicts == "velocity":
            target = alpha.sqrt() * noise - (1 - alpha).sqrt() * clean
        predicted: Tensor = self.denoiser(noised, times)
        return (predicted.float() - target).square().mean()

    def denoise(self, x: Tensor, time: int) -> tuple[Tensor, Tensor]:
        """Estimates of the clean image (clipped to [-1, 1]) and of the noise that fits it."""
        alpha = self.alphas[time]
        signal, sigma = alpha.sqrt(), (1 - alpha).sqrt()
        times = torch.full((len(x),), time, device=x.device)
        predicted = self.denoiser(x, times).float()
        if self.predicts == "velocity":
            clean = signal * x - sigma * predicted
        else:
            clean = (x - sigma * predicted) / signal
        clean = self.bounded(clean)
        return clean, (x - signal * clean) / sigma

    def bounded(self, clean: Tensor) -> Tensor:
        """The estimate of the clean image, kept where images can be."""
        return clean.clamp(-1, 1)

    def times(self) -> list[int]:
        """Times of the sampler, falling, the last 0."""
        total = len(self.alphas)
        spaced = torch.linspace(total - 1, 0, self.sampling_steps).round().long()
        return [int(t) for t in spaced]

    def draw(self, count: int) -> Tensor:
        """Samples after `sampling_steps` evaluations of the denoiser."""
        return self.denoised_draw(count)

    def denoised_draw(self, count: int) -> Tensor:
        """Noise of shape (count, *shape), denoised."""
        x = torch.randn(count, *self.shape(), device=self.alphas.device)
        times = self.times()
        for now, following in zip(times, [*times[1:], None], strict=True):
            clean, noise = self.denoise(x, now)
            if following is None:
                return clean
            x = self.step(clean, noise, now, following)
        return x

    def step(self, clean: Tensor, noise: Tensor, now: int, following: int) -> Tensor:
        """From time `now` to the earlier time `following` (DDIM, equations 12 and 16)."""
        alpha, earlier = self.alphas[now], self.alphas[following]
        spread = self.eta * ((1 - earlier) / (1 - alpha) * (1 - alpha / earlier)).sqrt()
        x = earlier.sqrt() * clean + (1 - earlier - spread.square()).clamp(min=0).sqrt() * noise
        if self.eta:
            x = x + spread * torch.randn_like(x)
        return x
