"""The manifold of real images: where an image is projected, and what that leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch

from fpbench_methods.riemann.geometry import centre_of_mass, geodesics, length, straight
from fpbench_methods.riemann.settings import Settings
from fpbench_methods.riemann.vae import VAE, Precision, StochasticImmersion

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray
    from torch import Tensor

    from fpbench.method import FitContext

_QUERIES = 32  # whose curves fit a processor's cache


class RealManifold:
    """Codes of real reference images, and the geometry that the decoder gives their space.

    Args:
        vae: Trained on the reference images.
        precision: Its decoder's deviation.
        codes: Posterior means of the reference images, float32 of shape (R, d).
        identities: `identities_of` the reference images, shape (R,).
        settings: How neighbours and centres of mass are found.
        geometric: Whether images are projected onto centres of mass; else they are
            reconstructed.
        device: A torch device string.

    Raises:
        ValueError: If fewer than k different reference images would be left for one of them.
    """

    def __init__(
        self,
        vae: VAE,
        precision: Precision,
        codes: NDArray[np.float32],
        identities: NDArray[np.void],
        settings: Settings,
        *,
        geometric: bool = True,
        device: str = "cpu",
    ) -> None:
        from fpbench.compute.neighbors import ExactNeighbors
        from fpbench.compute.shared import digest

        self.vae = vae.to(device).eval().requires_grad_(False)
        self.precision = precision.to(device).eval().requires_grad_(False)
        self.models = (self.vae, self.precision)
        self.codes, self.identities = codes, identities
        self.settings, self.geometric, self.device = settings, geometric, device
        self._copies = int(np.unique(identities, return_counts=True)[1].max(initial=0))
        self._pool = min(settings.pool, len(codes) - self._copies)
        if geometric and self._pool < settings.k:
            raise ValueError(
                f"k={settings.k} neighbours cannot be found among {len(codes)} reference images, "
                "none of which may be its own neighbour"
            )
        self._neighbors = ExactNeighbors(codes)
        self._immersion = StochasticImmersion(self.vae, self.precision)
        state = tuple(digest(value) for _, value in sorted(self.arrays().items()))
        self._kind = ("riemann projections", state, settings, geometric)

    @classmethod
    def learn(
        cls, reference: NDArray[np.uint8], settings: Settings, geometric: bool, context: FitContext
    ) -> Self:
        """Train the model on reference images (R, H, W, 3) and encode them.

        Raises:
            ValueError: If there are too few.
        """
        from fpbench.compute.device import derive_seed, seeded
        from fpbench.compute.inference import ArrayOnDevice, predict, unit_range
        from fpbench.compute.training import train
        from fpbench.compute.training_plan import TrainingPlan

        if len(reference) < 2:
            raise ValueError(
                f"riemann learns what real images are from reference images; {len(reference)} "
                "are too few"
            )
        with seeded(context.seed, "riemann", "model"):
            vae = VAE(settings.shape, reference.mean(axis=0, dtype=np.float64) / 255)
        images = ArrayOnDevice(reference, context.device)
        train(
            vae,
            TrainingPlan(epochs=settings.epochs, batch=64, lr=1e-3, schedule="cosine", clip=1.0),
            lambda batch: vae.loss(unit_range(images[batch])),
            examples=len(reference),
            seed=derive_seed(context.seed, "riemann", "model"),
            device=context.device,
            what="learn real images",
            progress=context.progress,
        )
        codes = _encode(vae, reference, context.device)
        shape = settings.shape
        centres = min(shape.centres, len(codes))
        precision = Precision(shape, centres)
        precision.place(codes, derive_seed(context.seed, "riemann", "centres"))
        known = torch.from_numpy(codes).to(context.device)
        errors = torch.from_numpy(
            predict(
                vae,
                images,
                forward=lambda x: precision.group_means((x - vae(x)).square()),
                device=context.device,
            )
        ).to(context.device)
        train(
            precision,
            TrainingPlan(
                epochs=settings.precision_epochs, batch=64, lr=0.05, schedule="cosine",
                precision="fp32",
            ),
            lambda batch: precision.loss(
                known[batch.to(context.device)], errors[batch.to(context.device)]
            ),
            examples=len(codes),
            seed=derive_seed(context.seed, "riemann", "precision"),
            device=context.device,
            what="learn the deviation of real images",
            progress=context.progress,
        )  # fmt: skip
        identities = identities_of(reference)
        return cls(
            vae, precision, codes, identities, settings, geometric=geometric, device=context.device
        )

    def artifacts(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Deviations x − x* of images (N, H, W, 3) from their projections, in units of [0, 1]."""
        from fpbench.compute.shared import SHARED

        projected = SHARED.rows(self._kind, pixels, self._project)
        deviations: NDArray[np.float32] = pixels.astype(np.float32) / np.float32(255) - projected
        return deviations

    def _project(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Projections x* of shape (N, H, W, 3)."""
        codes = _encode(self.vae, pixels, self.device)
        parts = []
        # Images are judged in inference mode, in which nothing can be differentiated.
        with torch.inference_mode(False), torch.enable_grad():
            for start in range(0, len(codes), _QUERIES):
                part = slice(start, start + _QUERIES)
                found = torch.from_numpy(codes[part].copy()).to(self.device)
                if self.geometric:
                    points = self.neighbours(found, identities_of(pixels[part]))
                    found = self.centres(points)
                decoded = self.vae.decode(found).permute(0, 2, 3, 1)
                parts.append(decoded.cpu().numpy())
        return np.ascontiguousarray(np.concatenate(parts), np.float32)

    def neighbours(self, codes: Tensor, identities: NDArray[np.void]) -> Tensor:
        """Codes (B, k, d) of the k reference images nearest by geodesic length.

        Args:
            codes: Codes (B, d) of the images asked about.
            identities: `identities_of` those images; none is its own neighbour.
        """
        wanted = self._pool + self._copies
        queries = codes.detach().cpu().numpy()
        _, candidates = self._neighbors.search(queries, k=min(wanted, len(self.codes)))
        own = self.identities[candidates] == identities[:, None]
        others = np.argsort(own, axis=1, kind="stable")[:, : self._pool]
        candidates = np.take_along_axis(candidates, others, axis=1)
        ends = torch.from_numpy(self.codes[candidates]).to(codes)
        pool, dimension = ends.shape[1:]
        plan = self.settings.ranking
        starts = codes.repeat_interleave(pool, dim=0)
        curves = straight(starts, ends.reshape(-1, dimension), plan.segments)
        curves = geodesics(self._immersion, curves, plan)
        with torch.no_grad():
            lengths = length(self._immersion, curves).reshape(len(codes), pool)
        chosen = lengths.argsort(dim=1, stable=True)[:, : self.settings.k]
        return ends.gather(1, chosen[:, :, None].expand(-1, -1, dimension))

    def centres(self, points: Tensor) -> Tensor:
        """Centres of mass (B, d) of codes (B, k, d)."""
        settings = self.settings
        return centre_of_mass(
            self._immersion, points, settings.averaging, iterations=settings.iterations
        )

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Weights, codes and identities, for saving."""
        from fpbench_methods.nn.weights import weights_to_arrays

        return {
            **weights_to_arrays(self.vae, "vae."),
            **weights_to_arrays(self.precision, "precision."),
            "codes": self.codes,
            "identities": np.frombuffer(self.identities.tobytes(), np.uint8).reshape(-1, 16),
        }

    @classmethod
    def restore(
        cls, arrays: Mapping[str, NDArray[Any]], settings: Settings, geometric: bool
    ) -> Self:
        """The manifold whose `arrays` these are, on the CPU."""
        from fpbench_methods.nn.weights import weights_from_arrays

        vae = VAE(settings.shape)
        precision = Precision(settings.shape, len(arrays["precision.centres"]))
        weights_from_arrays(vae, arrays, "vae.")
        weights_from_arrays(precision, arrays, "precision.")
        identities = np.frombuffer(arrays["identities"].tobytes(), "V16")
        return cls(vae, precision, arrays["codes"], identities, settings, geometric=geometric)


def identities_of(pixels: NDArray[np.uint8]) -> NDArray[np.void]:
    """What stands for the content of each image (N, H, W, 3), 16 bytes each, shape (N,)."""
    from fpbench.compute.shared import digest

    return np.frombuffer(b"".join(digest(image) for image in pixels), "V16")


def _encode(vae: VAE, pixels: NDArray[np.uint8], device: str) -> NDArray[np.float32]:
    from fpbench.compute.inference import predict

    return predict(vae, pixels, forward=lambda x: vae.encode(x)[0], device=device)
