"""Training checkpoints: one safetensors file whose header carries the JSON facts. Never pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from fpbench.errors import BadInput
from fpbench.files import writing_file

FORMAT = "fpbench-zoo-1"


def write(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write a checkpoint so that readers see all of it or nothing, even after a power cut.

    Args:
        path: Where; folders are made as needed.
        tensors: By name.
        facts: JSON values.

    Raises:
        CannotWrite: If the disk is full or the folder cannot be written to.
    """
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = {"format": FORMAT, "facts": json.dumps(facts, sort_keys=True)}
    with writing_file(path) as scratch, scratch.open("wb") as stream:
        stream.write(save(whole, header))
        stream.flush()
        os.fsync(stream.fileno())


def read_facts(path: Path) -> dict[str, Any]:
    """The JSON facts of a checkpoint, without its tensors.

    Raises:
        BadInput: If the file is no checkpoint of this format.
    """
    return _read(path, with_tensors=False)[1]


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and JSON facts of a checkpoint.

    Raises:
        BadInput: If the file is no checkpoint of this format.
    """
    return _read(path, with_tensors=True)


def _read(path: Path, *, with_tensors: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors: dict[str, Tensor] = {}
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") == FORMAT and with_tensors:
                tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise BadInput(
            f"{path} is no readable checkpoint ({error}); delete it to train anew."
        ) from error
    if header.get("format") != FORMAT:
        raise BadInput(
            f"{path} is a safetensors file but no checkpoint of format {FORMAT}; "
            "choose another path or delete it to train anew."
        )
    facts: dict[str, Any] = json.loads(header["facts"])
    return tensors, facts


def pack_module(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    """State of `module` under names that start with `prefix`."""
    return {f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()}


def unpack_module(prefix: str, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load into `module` what `pack_module` packed."""
    start = len(prefix) + 1
    state = {name[start:]: t for name, t in tensors.items() if name.startswith(f"{prefix}.")}
    module.load_state_dict(state)


def pack_optimiser(prefix: str, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """State tensors of `optimiser` under names that start with `prefix`."""
    state: dict[int, dict[str, Any]] = optimiser.state_dict()["state"]
    return {
        f"{prefix}.{index}.{key}": torch.as_tensor(value)
        for index, entries in state.items()
        for key, value in entries.items()
    }


def unpack_optimiser(
    prefix: str, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]
) -> None:
    """Load into `optimiser` what `pack_optimiser` packed; its groups stay as they are."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        if name.startswith(f"{prefix}."):
            index, key = name[len(prefix) + 1 :].split(".", 1)
            state.setdefault(int(index), {})[key] = tensor
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
