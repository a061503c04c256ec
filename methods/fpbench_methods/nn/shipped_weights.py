"""Weights that a Python package ships, under names of its own but in timm's order."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn

from fpbench.errors import BadInput
from fpbench.method import MethodDeclined
from fpbench_methods.nn.pretrained import create_timm, read_weights


def shipped_file(package: str, command: str) -> Path:
    """The one file of weights in a package, which is not imported.

    Args:
        package: The package's import name.
        command: What installs it, for the message.

    Raises:
        MethodDeclined: If it is not installed, or holds no such file.
    """
    spec = find_spec(package)
    folders = list(spec.submodule_search_locations or []) if spec is not None else []
    files = sorted(file for folder in folders for file in Path(folder).rglob("*.pth"))
    if len(files) != 1:
        raise MethodDeclined(
            f"The weights that the package {package} ships are not here; install them with: "
            f"{command}; or name a file that holds them with --set weights=FILE."
        )
    return files[0]


def create_in_order(name: str, path: Path, **options: Any) -> nn.Module:
    """A network of timm from a file whose tensors are those of timm, in order but renamed.

    A file under timm's own names is read as such.

    Args:
        name: timm's name.
        path: A safetensors or torch file.
        options: Further arguments of ``timm.create_model``.

    Raises:
        MethodDeclined: If there is no such file.
        BadInput: If it holds the weights of another network.
    """
    tensors = read_weights(path)
    with torch.device("meta"):
        bare = timm.create_model(name, pretrained=False).state_dict()
    if set(tensors) >= set(bare):
        return create_timm(name, pretrained=True, weights=str(path), **options)
    fits = len(tensors) == len(bare) and all(
        # The kind of tensor (weight, running_mean, ...) keeps its name in both.
        mine.rsplit(".", 1)[-1] == theirs.rsplit(".", 1)[-1] and value.shape == bare[mine].shape
        for mine, (theirs, value) in zip(bare, tensors.items(), strict=True)
    )
    if not fits:
        raise BadInput(
            f"{path} does not hold the weights of {name}: its {len(tensors)} tensors are not those "
            f"of the network ({len(bare)}), in order. Give the file that belongs to it."
        )
    network: nn.Module = timm.create_model(name, pretrained=False, **options)
    wanted = network.state_dict()
    named = dict(zip(bare, tensors.values(), strict=True))
    network.load_state_dict({key: named[key] for key in wanted})
    return network
