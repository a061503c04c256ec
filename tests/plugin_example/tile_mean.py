"""The method tile-mean."""

import json
from typing import Annotated

import numpy as np
from fpbench.method import Method, MethodCard, Range, Variant
from safetensors.numpy import load_file, save_file


class TileMean(Method):
    """Correlates an image's mean tile with those of the sources.

    Upsampling by transposed convolutions repeats with the stride, a power of two, so what it
    leaves behind shows in the mean of all tiles of 8×8: content averages out, the pattern stays.

    Args:
        period: Side of a tile in pixels.
    """

    card = MethodCard(
        name="tile-mean",
        title="Mean tiles: an example of a plugin",
        authors="The fpbench maintainers",
        year=2026,
        citation="@misc{tile_mean, title = {Mean tiles: an example of a plugin}, year = {2026}}",
        licence="MIT",
        version="1",
        variants={
            "eight": Variant("tiles of 8×8 pixels"),
            "four": Variant("tiles of 4×4 pixels", {"period": 4}),
        },
        min_size=8,
        faithful=("No paper's method: the folded residual that many papers begin from.",),
    )

    def __init__(self, *, period: Annotated[int, Range(1, 64)] = 8):
        self.period = period
        self._means = None
        self._sharpness = 1.0

    def fit(self, train, *, reference, validation, context):
        """Average the tiles of each source; choose the softmax's sharpness on validation."""
        found = self.embed(train)
        self._means = np.zeros((len(train.sources), found.shape[1]), np.float32)
        for label in np.unique(train.labels):
            self._means[label] = found[train.labels == label].mean(axis=0)
        context.progress("average tiles", 1, 2)
        if len(validation):
            rows = np.arange(len(validation))
            losses = {}
            for self._sharpness in (1.0, 3.0, 10.0, 30.0, 100.0):
                named = self.predict_proba(validation)[rows, validation.labels]
                losses[self._sharpness] = -np.log(np.maximum(named, 1e-12)).mean()
            self._sharpness = min(losses, key=losses.get)
        context.progress("average tiles", 2, 2)
        return self

    def embed(self, images):
        """Mean tile of the deviation from the neighbours, unit length: (N, 3·period²)."""
        return np.concatenate([self._tiles(batch) for batch in images.batches(256)])

    def _tiles(self, pixels):
        x = pixels.astype(np.float32)
        around = sum(np.roll(x, step, axis) for axis in (1, 2) for step in (-1, 1)) / 4
        n, h, w, c = x.shape
        p, rows, columns = self.period, h // self.period, w // self.period
        if not rows or not columns:
            raise ValueError(f"images of {h}x{w} hold no tile of {p}x{p}; use a smaller period")
        kept = (x - around)[:, : rows * p, : columns * p]
        flat = kept.reshape(n, rows, p, columns, p, c).mean(axis=(1, 3)).reshape(n, -1)
        return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)

    def predict_proba(self, images):
        """Softmax of the correlations with the sources' mean tiles, shape (N, K)."""
        scores = self._sharpness * self.embed(images) @ self._means.T
        weights = np.exp(scores - scores.max(axis=1, keepdims=True))
        return weights / weights.sum(axis=1, keepdims=True)

    def save(self, folder):
        """Write the mean tiles and the two numbers."""
        save_file({"means": self._means}, folder / "means.safetensors")
        facts = {"period": self.period, "sharpness": self._sharpness}
        (folder / "facts.json").write_text(json.dumps(facts), encoding="utf-8")

    @classmethod
    def load(cls, folder):
        """Read what `save` wrote."""
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        method = cls(period=facts["period"])
        method._means = load_file(folder / "means.safetensors")["means"]
        method._sharpness = facts["sharpness"]
        return method
