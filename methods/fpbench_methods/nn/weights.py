"""Weights of networks as named arrays, as fitted methods are saved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from fpbench.errors import BadInput

if TYPE_CHECKING:
    from numpy.typing import NDArray


def weights_to_arrays(network: nn.Module, prefix: str = "network.") -> dict[str, NDArray[Any]]:
    """Weights and buffers of a network under ``prefix + name``, copied to the CPU."""
    return {
        f"{prefix}{name}": value.detach().cpu().numpy().copy()
        for name, value in network.state_dict().items()
    }


def weights_from_arrays(
    network: nn.Module, arrays: Mapping[str, NDArray[Any]], prefix: str = "network."
) -> None:
    """Give a network the weights under `prefix` and set it to evaluation mode.

    Raises:
        BadInput: If they are of another architecture.
    """
    tensors = {
        name.removeprefix(prefix): torch.from_numpy(value.copy())
        for name, value in arrays.items()
        if name.startswith(prefix)
    }
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise BadInput(
            f"The saved weights are of another architecture than {type(network).__name__} "
            f"({str(error).splitlines()[-1].strip()}); fit the method anew."
        ) from error
    network.eval()
