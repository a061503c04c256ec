"""Statistics of batch normalisation, computed anew on training examples.

In training a layer normalises by its batch; judged alone an image is normalised by running means,
which follow the weights with a delay of some ten steps. Where an epoch has few steps they are those
of other weights, and a network that has learned looks as if it had not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(network: nn.Module) -> list[_BatchNorm]:
    """The layers of batch normalisation that keep running statistics and are trained."""
    return [
        module
        for module in network.modules()
        if isinstance(module, _BatchNorm)
        and module.running_mean is not None
        and any(p.requires_grad for p in module.parameters())
    ]


def renew_statistics(
    network: nn.Module, forward: Callable[[Tensor], object], batches: Iterable[Tensor], most: int
) -> int:
    """Replace running means and variances by the plain mean over batches, without momentum.

    Everything but the layers of batch normalisation is in evaluation mode meanwhile, as when the
    network judges; weights do not move.

    Args:
        network: Whose layers.
        forward: Shows the network a batch of indices.
        batches: Indices of training examples.
        most: Examples to show at least, if there are so many; the batch that reaches this number
            is the last.

    Returns:
        Examples shown; 0 if the network has no such layer.
    """
    norms = batch_norms(network)
    if not norms:
        return 0
    modes = [(module, module.training) for module in network.modules()]
    momenta = [norm.momentum for norm in norms]
    shown = 0
    try:
        network.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # torch: the cumulative average
            norm.train()
        with torch.no_grad():
            for batch in batches:
                forward(batch)
                shown += batch.numel()
                if shown >= most:
                    break
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, training in modes:
            module.training = training
    return shown
