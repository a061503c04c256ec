"""Denoising diffusion and score matching: schedules, losses and samplers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

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
    (arXiv:2010.02502), equation 12, with clipped estimates of the image.

    The network's output is always read as a velocity v = √ᾱ ε - √(1-ᾱ) x₀ (Salimans & Ho 2022,
    arXiv:2202.00512, appendix D), from which noise and image follow: an untrained network then
    predicts no colour cast, where a noise read directly from the output needs long training to
    get global colours right. What `predicts` chooses is the quantity whose error is minimised.

    Args:
        parts: ``denoiser``, called with noised images and integer times of shape (B,).
        size: Height and width of the images.
        schedule: ``linear`` or ``cosine``.
        predicts: ``noise`` or ``velocity``.
        sampling_steps: Evaluations of the network per sample, at most: times are whole numbers.
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
        velocity: Tensor = self.denoiser(noised, times)
        if self.predicts == "velocity":
            wrong = velocity.float() - alpha.sqrt() * noise + (1 - alpha).sqrt() * clean
        else:
            wrong = alpha.sqrt() * velocity.float() + (1 - alpha).sqrt() * noised - noise
        return wrong.square().mean()

    def denoise(self, x: Tensor, time: int) -> tuple[Tensor, Tensor]:
        """Estimates of the clean image (clipped to [-1, 1]) and of the noise that fits it."""
        alpha = self.alphas[time]
        signal, sigma = alpha.sqrt(), (1 - alpha).sqrt()
        times = torch.full((len(x),), time, device=x.device)
        clean = self.bounded(signal * x - sigma * self.denoiser(x, times).float())
        return clean, (x - signal * clean) / sigma

    def bounded(self, clean: Tensor) -> Tensor:
        """The estimate of the clean image, kept where images can be."""
        return clean.clamp(-1, 1)

    def times(self) -> list[int]:
        """Times of the sampler, falling to 0, quadratically spaced (DDIM, appendix D.2)."""
        roots = torch.linspace((len(self.alphas) - 1) ** 0.5, 0, self.sampling_steps)
        return list(dict.fromkeys(int(t) for t in roots.square().round()))

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


class LatentDiffusion(Diffusion):
    """Diffusion of an autoencoder's latents (Rombach et al. 2022, arXiv:2112.10752).

    For the first `first_stage` of the training the autoencoder learns, with a slight divergence
    from the standard normal; then it is fixed and the denoiser learns on its latents, scaled to
    unit variance.

    Args:
        parts: ``encoder``, ``decoder`` and ``denoiser``.
        size: Height and width of the images.
        latent: Channels of the latents.
        first_stage: Share of the training that goes to the autoencoder.
        divergence: Weight of its divergence.
        schedule: See `Diffusion`.
        predicts: See `Diffusion`.
        sampling_steps: See `Diffusion`.
        eta: See `Diffusion`.
    """

    players = ("autoencoder", "denoiser")
    encoder: nn.Module
    decoder: nn.Module
    scale: Tensor
    shift: Tensor
    settled: Tensor

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        *,
        size: int,
        latent: int,
        first_stage: float = 0.4,
        divergence: float = 1e-4,
        schedule: str = "cosine",
        predicts: str = "velocity",
        sampling_steps: int = 50,
        eta: float = 0.0,
    ) -> None:
        super().__init__(
            parts,
            size=size,
            schedule=schedule,
            predicts=predicts,
            sampling_steps=sampling_steps,
            eta=eta,
        )
        self.latent = latent
        self.first_stage = first_stage
        self.divergence = divergence
        self.register_buffer("scale", torch.ones(1, latent, 1, 1))
        self.register_buffer("shift", torch.zeros(1, latent, 1, 1))
        self.register_buffer("settled", torch.tensor(False))

    def parameters_of(self, player: str) -> list[nn.Parameter]:
        """Those of the denoiser, or those of encoder and decoder."""
        if player == "denoiser":
            return list(self.denoiser.parameters())
        return [*self.encoder.parameters(), *self.decoder.parameters()]

    def turns(self, step: int) -> Sequence[str]:
        """First the autoencoder, later the denoiser; never back."""
        if self.fraction >= self.first_stage or bool(self.settled):
            return ("denoiser",)
        return ("autoencoder",)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latents."""
        mean, logvar = self.encoder(images).float().chunk(2, dim=1)
        return mean, logvar.clamp(-20, 5)

    def loss(self, player: str, images: Tensor) -> Tensor:
        """Reconstruction error and divergence, or the denoising loss on latents."""
        if player == "autoencoder":
            mean, logvar = self.encode(images)
            z = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
            wrong: Tensor = (self.decoder(z).float() - images).abs().mean()
            divergence = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
            return wrong + self.divergence * divergence
        with torch.no_grad():
            mean, logvar = self.encode(images)
            z = mean + torch.randn_like(mean) * (0.5 * logvar).exp()
            if not bool(self.settled):
                self.shift.copy_(z.mean((0, 2, 3), keepdim=True))
                self.scale.copy_(z.std((0, 2, 3), keepdim=True))
                self.settled.fill_(True)
        return self.denoising_loss((z - self.shift) / self.scale)

    def shape(self) -> tuple[int, int, int]:
        """Shape of the latents."""
        return self.latent, self.size // 4, self.size // 4

    def bounded(self, clean: Tensor) -> Tensor:
        """Latents have no bounds but what a standard normal hardly exceeds."""
        return clean.clamp(-4, 4)

    def draw(self, count: int) -> Tensor:
        """Denoised latents, decoded."""
        images: Tensor = self.decoder(self.denoised_draw(count) * self.scale + self.shift)
        return images


class NoiseConditionalScore(Generative):
    """Score matching at geometrically spaced noise levels (NCSN, arXiv:1907.05600).

    The denoiser is told the level and estimates the noise, which is minus σ times the score
    (Song & Ermon 2020, arXiv:2006.09011, technique 3). Samples follow the probability flow of the
    variance-exploding process, one Euler step per level, with Langevin corrections (Song et al.
    2021, arXiv:2011.13456, equation 13 and algorithm 4), and end with one denoising step.

    Args:
        parts: ``denoiser``, called with images and times of shape (B,).
        size: Height and width of the images.
        smallest: Smallest noise level, in units of [-1, 1].
        largest: Largest noise level.
        sampling_steps: Noise levels of the sampler; with a correction each costs two evaluations.
        snr: Signal-to-noise ratio of the Langevin corrections; 0 for none.
    """

    denoiser: nn.Module

    def __init__(
        self,
        parts: Mapping[str, nn.Module],
        *,
        size: int,
        smallest: float = 0.01,
        largest: float = 20.0,
        sampling_steps: int = 25,
        snr: float = 0.2,
    ) -> None:
        super().__init__(parts, size=size)
        self.smallest, self.largest = smallest, largest
        self.sampling_steps = sampling_steps
        self.snr = snr

    def levels(self, place: Tensor) -> Tensor:
        """Noise level at places in [0, 1], geometrically from the smallest to the largest."""
        return self.smallest * (self.largest / self.smallest) ** place

    def estimate(self, noised: Tensor, place: Tensor) -> Tensor:
        """The clean image's estimate.

        A network that says nothing gives the image shrunk as unit-variance data ask for; its
        output corrects that on the scale of what is uncertain (Karras et al. 2022,
        arXiv:2206.00364, equation 7, with unit data variance).
        """
        sigma = self.levels(place).view(-1, 1, 1, 1)
        total = 1 + sigma.square()
        out: Tensor = self.denoiser(noised / total.sqrt(), 1000 * place)
        return noised / total + out.float() * sigma / total.sqrt()

    def loss(self, player: str, images: Tensor) -> Tensor:
        """Squared error of the estimate, weighted so that the network's output has unit target."""
        place = torch.rand(len(images), device=images.device)
        sigma = self.levels(place).view(-1, 1, 1, 1)
        noised = images + sigma * torch.randn_like(images)
        wrong = self.estimate(noised, place) - images
        return (wrong.square() * (1 + sigma.square()) / sigma.square()).mean()

    def draw(self, count: int) -> Tensor:
        """Samples of the reverse process."""
        places = torch.linspace(1, 0, self.sampling_steps).tolist()
        x = self.largest * self.noise(count, 3, self.size, self.size)
        for now, following in zip(places, [*places[1:], None], strict=True):
            place = torch.full((count,), now, device=x.device)
            sigma = self.levels(place[:1]).view(1, 1, 1, 1)
            clean = self.estimate(x, place).clamp(-1, 1)
            if following is None:
                return clean
            lower = self.levels(torch.full_like(place[:1], following)).view(1, 1, 1, 1)
            x = clean + lower / sigma * (x - clean)
            if self.snr:
                x = self.correct(x, torch.full_like(place, following), lower)
        return x

    def correct(self, x: Tensor, place: Tensor, sigma: Tensor) -> Tensor:
        """One Langevin step at a noise level (arXiv:2011.13456, algorithm 4)."""
        score = (self.estimate(x, place).clamp(-1, 1) - x) / sigma.square()
        # The expected norm of the score of noise alone is its root dimension over σ.
        rate = 2 * (self.snr * sigma).square()
        return x + rate * score + (2 * rate).sqrt() * torch.randn_like(x)
