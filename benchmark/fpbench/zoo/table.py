"""The table of generative models: one row per architecture, loss and design. Imports no torch."""

from __future__ import annotations

from fpbench.errors import BadInput, suggest
from fpbench.zoo.model import DESIGN_KEYS, Training, ZooModel
from fpbench.zoo.rows import flow, gan, score, vae

__all__ = ["DESIGN_KEYS", "Training", "ZooModel", "model", "models"]


def models() -> dict[str, ZooModel]:
    """All rows of the table by name, families together."""
    return {row.name: row for row in (*vae.ROWS, *gan.ROWS, *flow.ROWS, *score.ROWS)}


def model(name: str) -> ZooModel:
    """The row called `name`.

    Raises:
        BadInput: If there is none.
    """
    rows = models()
    if name not in rows:
        raise BadInput(f"The zoo has no model {name!r}. {suggest(name, rows)}")
    return rows[name]
