"""The common head: what every method without a classifier of its own is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch import nn

from fpbench.compute.classification import train_classifier
from fpbench.compute.device import seeded
from fpbench.compute.inference import predict
from fpbench.compute.training import TrainingLog
from fpbench.compute.training_plan import TrainingPlan
from fpbench.errors import BadInput
from fpbench.files import write_bytes
from fpbench.method import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

PROBE_PLAN = TrainingPlan(epochs=100, batch=256, optimiser="adam", lr=1e-3, patience=10)
"""Adam at 1e-3, batches of 256, at most 100 epochs, stopped by validation cross-entropy."""


WIDEST = 65_536
"""Dimensions up to which the first layer reads embeddings themselves."""

_BLOCK = 8192


class Probe:
    """Three fully connected layers, D → 256 → 128 → K with ReLU, on frozen embeddings.

    Each dimension is first standardised with the mean and standard deviation of the training
    embeddings (a dimension that is constant there becomes zero); nothing else of the embeddings
    is touched. Embeddings of more than 65,536 dimensions are first told by their components along
    the training embeddings, which lose nothing of how those lie to each other and take the first
    layer from gigabytes to megabytes.

    Args:
        plan: How the layers are trained.
    """

    def __init__(self, plan: TrainingPlan = PROBE_PLAN) -> None:
        self._plan = plan
        self._network: nn.Sequential | None = None
        self._mean = np.zeros(0, np.float32)
        self._scale = np.zeros(0, np.float32)
        self._device = "cpu"
        self._span: Span | None = None
        self.log: TrainingLog | None = None

    def fit(
        self,
        embeddings: NDArray[np.floating],
        labels: NDArray[np.int64],
        validation_embeddings: NDArray[np.floating],
        validation_labels: NDArray[np.int64],
        *,
        classes: int | None = None,
        seed: int = 0,
        device: str = "cpu",
        what: str = "training the probe",
        progress: Progress | None = None,
    ) -> Self:
        """Train the layers.

        Args:
            embeddings: Shape (N, D).
            labels: Integers of shape (N,) from 0 to K - 1.
            validation_embeddings: Shape (M, D).
            validation_labels: Integers of shape (M,).
            classes: K, or None for one more than the largest label.
            seed: Initial weights and order derive from it.
            device: A torch device string.
            what: What to call this in progress reports.
            progress: Called as ``progress(what, done, total)``.

        Returns:
            Itself.

        Raises:
            ValueError: If shapes or labels do not fit together, or embeddings are not finite.
        """
        train = _checked(embeddings, "training")
        held_out = _checked(validation_embeddings, "validation", train.shape[1])
        if len(train) == 0 or len(held_out) == 0:
            raise ValueError("the probe needs training and validation embeddings")
        known = int(max(np.max(labels), np.max(validation_labels))) + 1
        classes = known if classes is None else classes
        if known > classes or min(np.min(labels), np.min(validation_labels)) < 0:
            raise ValueError(f"labels must be from 0 to {classes - 1}")
        self._mean = train.mean(axis=0, dtype=np.float64).astype(np.float32)
        self._scale = _inverse(train.std(axis=0, dtype=np.float64), self._mean)
        self._device = device
        self._span = None
        if train.shape[1] > WIDEST:
            self._span = Span.of(train, self._mean, self._scale)
        shown, judged = self._seen(train), self._seen(held_out)
        with seeded(seed, "probe", "weights"):
            network = _layers(shown.shape[1], classes)
        self.log = train_classifier(
            network,
            self._plan,
            shown,
            labels,
            validation=(judged, validation_labels),
            seed=seed,
            device=device,
            what=what,
            progress=progress,
        )
        self._network = network
        return self

    def predict_proba(
        self, embeddings: NDArray[np.floating], *, batch: int = 4096
    ) -> NDArray[np.float32]:
        """Probabilities of shape (N, K).

        Raises:
            ValueError: If embeddings are not finite or of another dimension.
            RuntimeError: If the probe is not fitted.
        """
        if self._network is None:
            raise RuntimeError("the probe is not fitted yet: call fit or load first")
        rows = _checked(embeddings, "test", len(self._mean))
        if len(rows) == 0:
            return np.empty((0, len(self._network.state_dict()["4.bias"])), np.float32)
        logits = predict(self._network, self._seen(rows), batch=batch, device=self._device)
        shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), np.float32)

    def save(self, path: Path) -> None:
        """Write the fitted probe into one safetensors file.

        Raises:
            RuntimeError: If the probe is not fitted.
            CannotWrite: If the disk is full or the folder cannot be written to.
        """
        from safetensors.torch import save

        if self._network is None:
            raise RuntimeError("the probe is not fitted yet: call fit or load first")
        tensors = {k: v.detach().cpu() for k, v in self._network.state_dict().items()}
        tensors["mean"] = torch.from_numpy(self._mean)
        tensors["scale"] = torch.from_numpy(self._scale)
        if self._span is not None:
            tensors["span.rows"] = torch.from_numpy(np.ascontiguousarray(self._span.rows))
            tensors["span.weights"] = torch.from_numpy(self._span.weights)
        write_bytes(path, save({k: v.contiguous() for k, v in tensors.items()}))

    @classmethod
    def load(cls, path: Path, device: str = "cpu") -> Self:
        """Read what `save` wrote.

        Raises:
            BadInput: If the file is no probe.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        probe = cls()
        try:
            tensors = load_file(path)
            probe._mean = tensors.pop("mean").numpy()
            probe._scale = tensors.pop("scale").numpy()
            if "span.rows" in tensors:
                rows, weights = (tensors.pop(f"span.{n}").numpy() for n in ("rows", "weights"))
                probe._span = Span(rows, probe._mean, probe._scale, weights)
            inputs = len(probe._mean) if probe._span is None else probe._span.weights.shape[1]
            network = _layers(inputs, len(tensors["4.bias"]))
            network.load_state_dict(tensors)
        except (SafetensorError, KeyError, RuntimeError) as error:
            raise BadInput(f"{path} holds no fitted probe ({error}).") from error
        probe._network = network.to(device).eval()
        probe._device = device
        return probe

    def _seen(self, embeddings: NDArray[np.float32]) -> NDArray[np.float32]:
        """What the layers are shown: standardised, of very long embeddings the components."""
        if self._span is not None:
            return self._span.components(embeddings)
        return (embeddings - self._mean) * self._scale


@dataclass(frozen=True)
class Span:
    """Components of long vectors along the principal axes of some rows, which are not formed.

    With standardised rows S = U·diag(s)·Vᵀ, the components x·V of a standardised x are
    (x·Sᵀ)·U·diag(1/s): products with the rows themselves, in blocks of dimensions.

    Attributes:
        rows: The rows, not standardised, shape (N, D).
        mean: Subtracted from each dimension, shape (D,).
        scale: Then multiplied with it, shape (D,).
        weights: U·diag(1/s) times a number that gives the rows' components a mean square of 1,
            shape (N, r).
    """

    rows: NDArray[np.float32]
    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    weights: NDArray[np.float32]

    @classmethod
    def of(
        cls, rows: NDArray[np.float32], mean: NDArray[np.float32], scale: NDArray[np.float32]
    ) -> Self:
        """The span of rows (N, D)."""
        bare = cls(rows, mean, scale, np.zeros((0, 0), np.float32))
        values, vectors = np.linalg.eigh(bare._products(rows))
        kept = values > 1e-6 * values[-1]
        lengths = np.sqrt(values[kept])
        root = np.sqrt(kept.sum() * len(rows) / values[kept].sum())
        return cls(rows, mean, scale, (root * vectors[:, kept] / lengths).astype(np.float32))

    def components(self, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Components (M, r) of vectors (M, D)."""
        found: NDArray[np.float32] = self._products(vectors).astype(np.float32) @ self.weights
        return found

    def _products(self, vectors: NDArray[np.float32]) -> NDArray[np.float64]:
        total = np.zeros((len(vectors), len(self.rows)))
        for start in range(0, self.rows.shape[1], _BLOCK):
            block = slice(start, start + _BLOCK)
            mean, scale = self.mean[block], self.scale[block]
            standardised = (self.rows[:, block] - mean) * scale
            total += ((vectors[:, block] - mean) * scale) @ standardised.T
        return total


def _layers(dimension: int, classes: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(dimension, 256),
        nn.ReLU(),
        nn.Linear(256, 128),
        nn.ReLU(),
        nn.Linear(128, classes),
    )


def _inverse(deviation: NDArray[np.float64], mean: NDArray[np.float32]) -> NDArray[np.float32]:
    """1/deviation, and 0 where the deviation is no more than rounding of the mean."""
    constant = deviation <= 1e-6 * np.abs(mean) + 1e-30
    return np.where(constant, 0.0, 1.0 / np.where(constant, 1.0, deviation)).astype(np.float32)


def _checked(
    embeddings: NDArray[np.floating], which: str, dimension: int | None = None
) -> NDArray[np.float32]:
    rows = np.asarray(embeddings, np.float32)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise ValueError(f"{which} embeddings must have shape (N, D), not {rows.shape}")
    if dimension is not None and rows.shape[1] != dimension:
        raise ValueError(f"{which} embeddings have {rows.shape[1]} dimensions, not {dimension}")
    if not np.isfinite(rows).all():
        raise ValueError(f"{which} embeddings contain values that are infinite or not a number")
    return rows
