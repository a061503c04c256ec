"""What an audit says of a dataset's metadata-only baseline: shown, never part of a result."""

from __future__ import annotations

from pathlib import Path

from fpbench.datasets.layout import AUDIT
from fpbench.errors import BadInput
from fpbench.files import parse_json, read_limited
from fpbench.registry import card_folders


def audited_shortcut(name: str, content_hash: str, folder: Path | None = None) -> float | None:
    """Accuracy of the audit's metadata-only baseline, or None where no audit is of these images.

    It is read anew at every call. A copy that was built anew has no audit of its own; where it
    came out as the card's did, the card's says the same. A card has an audit for each recipe.

    Args:
        name: Name of the dataset's card.
        content_hash: Which images.
        folder: The dataset's own folder, whose audit comes first, or None.

    Raises:
        BadInput: If an audit cannot be read.
    """
    card = card_folders().get(name.partition(":")[0])
    stem, suffix = Path(AUDIT).stem, Path(AUDIT).suffix
    own = [] if folder is None else [folder / AUDIT]
    others = [] if card is None else sorted(card.glob(f"{stem}*{suffix}"))
    for path in (*own, *others):
        found = _accuracy(path, content_hash) if path.is_file() else None
        if found is not None:
            return found
    return None


def _accuracy(path: Path, content_hash: str) -> float | None:
    """Accuracy of the probe in an audit's report, or None where it is of other images."""
    report = parse_json(read_limited(path, "audit"), path, "audit")
    try:
        value = report["shortcut"]["accuracy"]
        current = report["dataset"]["content_hash"] == content_hash
        return float(value) if current and value is not None else None
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(
            f"{path}: its fields cannot be read; run `fpbench data audit` again."
        ) from error
