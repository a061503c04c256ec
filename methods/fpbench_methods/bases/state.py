"""Saving and loading fitted methods: safetensors for arrays, JSON for the rest, never pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fpbench.errors import BadInput
from fpbench.images import Source

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_ARRAYS = "state.safetensors"
_FACTS = "state.json"


def save_state(
    folder: Path,
    method: str,
    arrays: Mapping[str, NDArray[np.generic]],
    facts: Mapping[str, Any],
    sources: tuple[Source, ...],
) -> None:
    """Write a method's arrays, JSON facts and sources into `folder`."""
    import numpy as np
    from safetensors.numpy import save

    folder.mkdir(parents=True, exist_ok=True)
    # `save_file` makes files that their owner alone can read.
    content = save({key: np.ascontiguousarray(value) for key, value in arrays.items()})
    (folder / _ARRAYS).write_bytes(content)
    document = {
        "method": method,
        "facts": dict(facts),
        "sources": [
            {
                "name": source.name,
                "family": source.family,
                "architecture": source.architecture,
                "design": dict(source.design),
            }
            for source in sources
        ],
    }
    (folder / _FACTS).write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def load_state(
    folder: Path, method: str
) -> tuple[dict[str, NDArray[Any]], dict[str, Any], tuple[Source, ...]]:
    """Read what `save_state` wrote.

    Raises:
        BadInput: If the folder holds no saved method, or another one.
    """
    from safetensors.numpy import load_file

    if not (folder / _FACTS).is_file() or not (folder / _ARRAYS).is_file():
        raise BadInput(f"{folder} holds no saved method ({_FACTS} and {_ARRAYS} are missing).")
    document = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
    if document["method"] != method:
        raise BadInput(f"{folder} holds the method {document['method']!r}, not {method!r}.")
    sources = tuple(Source(**source) for source in document["sources"])
    return load_file(folder / _ARRAYS), document["facts"], sources
