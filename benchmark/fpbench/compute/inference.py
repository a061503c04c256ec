"""Arrays fetched in batches onto a device, and networks applied to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from fpbench.compute.device import Precision, autocast
from fpbench.method import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray


def unit_range(batch: Tensor) -> Tensor:
    """Grey levels 0 to 255 (uint8) as float32 in [0, 1]; floating-point input as it is."""
    return batch.float().div_(255.0) if batch.dtype == torch.uint8 else batch.float()


def signed_range(batch: Tensor) -> Tensor:
    """Grey levels 0 to 255 (uint8) as float32 in [-1, 1]; floating-point input as it is."""
    return batch.float().div_(127.5).sub_(1.0) if batch.dtype == torch.uint8 else batch.float()


class ArrayOnDevice:
    """Rows of an array, memory-mapped or not, fetched in batches onto a device.

    On a GPU the whole array is moved there once if it takes at most a third of the free memory.

    Args:
        array: Shape (N, ...); images as (N, H, W, C).
        device: A torch device string.
    """

    def __init__(self, array: NDArray[Any], device: str = "cpu") -> None:
        self._array = array
        self._device = device
        self._resident: Tensor | None = None
        if device.startswith("cuda"):
            free, _ = torch.cuda.mem_get_info(device)
            if array.nbytes <= free // 3:
                self._resident = torch.from_numpy(np.array(array)).to(device)

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """Rows as a tensor on the device; images as (B, C, H, W), channels-last in memory."""
        if self._resident is not None:
            index = rows if isinstance(rows, slice) else rows.to(self._device)
            fetched = self._resident[index]
        else:
            # A copy of the batch alone: torch takes no read-only memory.
            chosen = self._array[rows if isinstance(rows, slice) else rows.cpu().numpy()]
            fetched = torch.from_numpy(np.array(chosen, order="C")).to(self._device)
        return fetched.permute(0, 3, 1, 2) if fetched.ndim == 4 else fetched


def predict(
    network: nn.Module,
    array: NDArray[Any] | ArrayOnDevice,
    *,
    batch: int = 256,
    prepare: Callable[[Tensor], Tensor] = unit_range,
    forward: Callable[[Tensor], Tensor] | None = None,
    device: str = "cpu",
    precision: Precision = "fp32",
    what: str = "predicting",
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Apply a network in evaluation mode to every row, in batches.

    Args:
        network: Moved to `device`; its training mode is restored afterwards.
        array: Shape (N, ...), images as uint8 (N, H, W, C), which reach `prepare` as
            (B, C, H, W).
        batch: Rows at a time; memory grows with it, results agree to rounding.
        prepare: From a batch as stored to the network's input.
        forward: What to call instead of the network itself, e.g. a method that stops before
            its head.
        device: A torch device string.
        precision: ``fp32``, ``bf16`` or ``auto``.
        what: What to call this in progress reports.
        progress: Called as ``progress(what, done, total)`` in units of rows.

    Returns:
        float32 of shape (N, ...).

    Raises:
        ValueError: If there are no rows or `batch` is not positive.
    """
    if batch < 1:
        raise ValueError(f"a batch holds at least one row, not {batch}")
    if len(array) == 0:
        raise ValueError("there is nothing to predict: the array has no rows")
    rows = array if isinstance(array, ArrayOnDevice) else ArrayOnDevice(array, device)
    network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    was_training = network.training
    network.eval()
    call = network if forward is None else forward
    result: NDArray[np.float32] | None = None
    try:
        with torch.inference_mode():
            for start in range(0, len(rows), batch):
                stop = min(start + batch, len(rows))
                inputs = prepare(rows[slice(start, stop)])
                with autocast(precision, device):
                    outputs = call(inputs)
                if result is None:
                    result = np.empty((len(rows), *outputs.shape[1:]), np.float32)
                result[start:stop] = outputs.float().cpu().numpy()
                if progress is not None:
                    progress(what, stop, len(rows))
    finally:
        network.train(was_training)
    assert result is not None  # noqa: S101  (there are rows)
    return result
