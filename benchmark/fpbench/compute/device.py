"""Where computation runs, how it is seeded, and what it cost."""

from __future__ import annotations

import hashlib
import platform
import re
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from fpbench.errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    import torch

Precision = Literal["fp32", "bf16", "auto"]


def check_device(device: str) -> str:
    """The name of a device in lower case, if it is one, whether there or not. Needs no torch.

    Args:
        device: As of `pick_device`.

    Raises:
        BadInput: If it is none.
    """
    wanted = device.strip().lower()
    if not re.fullmatch(r"auto|cpu|cuda(:[0-9]{1,4})?", wanted):
        raise BadInput(f"There is no device {device!r}; use auto, cpu, cuda or cuda:N.")
    return wanted


def pick_device(device: str = "auto") -> str:
    """A torch device string that can be used here.

    Args:
        device: ``auto`` (CUDA where there is one, else CPU), ``cpu``, ``cuda`` or ``cuda:1``.

    Raises:
        BadInput: If the device is none of these, or not there.
    """
    wanted = check_device(device)
    if wanted == "cpu":
        return "cpu"
    number = wanted.partition(":")[2]
    import torch

    available = torch.cuda.is_available()
    if wanted == "auto":
        return "cuda" if available else "cpu"
    if not available:
        raise BadInput(
            f"Device {device!r} was asked for, but torch {torch.__version__} finds no CUDA GPU; "
            "use --device cpu, or install a driver and a CUDA build of torch."
        )
    if number and int(number) >= torch.cuda.device_count():
        raise BadInput(
            f"Device {device!r} was asked for, but the GPUs here are cuda:0 to "
            f"cuda:{torch.cuda.device_count() - 1}."
        )
    return wanted


def device_name(device: str = "cpu") -> str:
    """The name of the hardware behind a torch device string, e.g. ``NVIDIA H100``."""
    if device.startswith("cuda"):
        import torch

        return str(torch.cuda.get_device_name(device))
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or "unknown CPU"


def derive_seed(seed: int, *names: object) -> int:
    """A seed of 63 bits for one purpose, so that purposes never share a random stream.

    >>> derive_seed(0, "init") == derive_seed(0, "init") != derive_seed(0, "order", 1)
    True
    """
    text = "\x1f".join(str(part) for part in (seed, *names))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little") >> 1


def numpy_generator(seed: int, *names: object) -> np.random.Generator:
    """A NumPy generator whose stream depends on `seed` and on what it is for."""
    import numpy as np

    return np.random.default_rng(derive_seed(seed, *names))


def torch_generator(seed: int, *names: object, device: str = "cpu") -> torch.Generator:
    """A torch generator whose stream depends on `seed` and on what it is for."""
    import torch

    return torch.Generator(device=device).manual_seed(derive_seed(seed, *names))


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch (all devices)."""
    import random

    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@contextmanager
def seeded(seed: int, *names: object, device: str = "cpu") -> Iterator[None]:
    """Seed torch's global generators inside the block and restore them after it.

    Use it around the construction of a network, so that its initial weights depend on the seed
    alone and not on what ran before.
    """
    import torch

    devices = [torch.device(device)] if device.startswith("cuda") else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(derive_seed(seed, *names))
        yield


def peak_memory_bytes(device: str = "cpu") -> int:
    """Most memory held so far, in bytes.

    On a GPU what torch allocated there since `reset_peak_memory`; on a CPU the largest resident
    set of this process since it started, which cannot be reset.
    """
    if device.startswith("cuda"):
        import torch

        return int(torch.cuda.max_memory_allocated(device))
    status = Path("/proc/self/status")
    if status.is_file():
        # Not ru_maxrss, which a child inherits on Linux: a small job of a large parent looks large.
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        return _peak_working_set()
    import resource  # which Windows lacks

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if sys.platform == "darwin" else int(peak) * 1024


if sys.platform == "win32":

    def _peak_working_set() -> int:
        """Most physical memory that this process held, in bytes, as Windows counts it."""
        import ctypes

        class Counters(ctypes.Structure):
            _fields_ = (
                ("size", ctypes.c_uint32),
                ("page_faults", ctypes.c_uint32),
                ("peak_working_set", ctypes.c_size_t),
                ("others", ctypes.c_size_t * 7),
            )

        counters = Counters(size=ctypes.sizeof(Counters))
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.GetCurrentProcess.restype = ctypes.c_void_p
        read = kernel.K32GetProcessMemoryInfo
        read.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32)
        if not read(kernel.GetCurrentProcess(), ctypes.byref(counters), counters.size):
            raise ctypes.WinError(ctypes.get_last_error())
        return int(counters.peak_working_set)


def reset_peak_memory(device: str = "cpu") -> None:
    """Start a new peak for `peak_memory_bytes` on a GPU; nothing to do on a CPU."""
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats(device)


def has_bf16_units(device: str) -> bool:
    """Whether a device multiplies bfloat16 matrices in units made for it.

    GPUs of compute capability 8.0 and later; processors with AMX, where torch can tell.
    """
    import torch

    if device.startswith("cuda"):
        return torch.cuda.get_device_capability(device)[0] >= 8
    # torch offers no public question for this; without the answer, float32 is the safe choice.
    asked = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(asked and asked())


def chosen_precision(precision: Precision, device: str) -> Literal["fp32", "bf16"]:
    """The precision that ``auto`` means on a device.

    bfloat16 on GPUs with the hardware for it (compute capability 8.0 and later); float32
    elsewhere. On a CPU bfloat16 was measured faster for some networks (a DCGAN) and slower for
    others (ResNets at 32×32), and a choice by stopwatch would make results irreproducible, so
    there it must be asked for by name.
    """
    if precision != "auto":
        return precision
    if not device.startswith("cuda"):
        return "fp32"
    return "bf16" if has_bf16_units(device) else "fp32"


def autocast(precision: Precision, device: str) -> AbstractContextManager[Any]:
    """The context in which a forward pass runs at a precision."""
    if chosen_precision(precision, device) == "fp32":
        return nullcontext()
    import torch

    return torch.autocast(device.partition(":")[0], dtype=torch.bfloat16)
