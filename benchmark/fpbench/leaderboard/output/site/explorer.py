"""Single test images: which rows attribute each correctly, and small pictures of the hardest."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fpbench.leaderboard.output.markdown import plain
from fpbench.leaderboard.ranking.boards import Board
from fpbench.leaderboard.ranking.rows import Row

THUMBNAILS = 48
"""Pictures of a dataset's hardest images, at most."""


def explorer_data(board: Board) -> tuple[dict[str, Any] | None, list[str]]:
    """What the page's script needs to list images, and the ids of the hardest.

    A row attributes an image correctly if more than half of its runs do. Of each row there is one
    bit an image, packed and in base64; images are those that most rows judged.

    Returns:
        The data, or None where fewer than two rows judged the same images; and up to
        `THUMBNAILS` ids, those that fewest rows attribute correctly first.
    """
    section = board.sections[0] if board.sections else None
    known: list[tuple[int, Row]] = []
    first = None
    for position, row in enumerate([] if section is None else section.rows):
        if row.judged is None:
            continue
        first = row.judged if first is None else first
        if row.judged.images == first.images:
            known.append((position, row))
    if first is None or len(known) < 2:
        return None, []
    right = np.array([_right(row) for _, row in known])
    names = [plain(s.name) for s in board.dataset.sources if s.family != "Real"]
    order = np.argsort(right.sum(axis=0), kind="stable")
    data = {
        "ids": [plain(name) for name in first.ids.tolist()],
        "sources": [names[k] for k in np.unique(first.labels).tolist()],
        "labels": np.unique(first.labels, return_inverse=True)[1].tolist(),
        "rows": [position for position, _ in known],
        "right": [b64encode(np.packbits(own).tobytes()).decode("ascii") for own in right],
    }
    return data, [str(first.ids[k]) for k in order[:THUMBNAILS].tolist()]


def _right(row: Row) -> NDArray[np.bool_]:
    assert row.judged is not None  # noqa: S101  (only rows with predictions come here)
    right: NDArray[np.bool_] = row.judged.summary.correct > 0.5
    return right


def thumbnails(card: Path | None, wanted: list[str]) -> dict[str, bytes]:
    """PNG images of a card's own test images by id: those that lie in the card may be shown.

    Args:
        card: Folder of a card whose images are those of the board, or None.
        wanted: Ids.
    """
    if card is None or not (card / "data" / "test").is_dir():
        return {}
    import pyarrow as pa
    import pyarrow.parquet as pq

    asked, found = set(wanted), {}
    try:
        for path in sorted((card / "data" / "test").glob("*.parquet")):
            ids = pq.read_table(path, columns=["id"])["id"].to_pylist()
            places = [k for k, name in enumerate(ids) if name in asked]
            if not places:
                continue
            images = pq.read_table(path, columns=["image"])["image"].take(places).to_pylist()
            for place, image in zip(places, images, strict=True):
                content = image.get("bytes") if isinstance(image, dict) else None
                if isinstance(content, bytes) and content.startswith(b"\x89PNG\r\n\x1a\n"):
                    found[ids[place]] = content
    except (OSError, KeyError, ValueError, pa.ArrowException):
        # Pictures are an extra: the list of images stands without them.
        return {}
    return found
