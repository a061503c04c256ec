"""Devices, seeds and the cost of computing."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from fpbench.compute import device
from fpbench.errors import BadInput


def test_picks_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device.pick_device("cpu") == device.pick_device(" CPU ") == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.pick_device("auto") == "cpu"
    with pytest.raises(BadInput, match="no CUDA GPU"):
        device.pick_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert device.pick_device("auto") == "cuda"
    assert device.pick_device("cuda:1") == "cuda:1"
    with pytest.raises(BadInput, match="cuda:0 to cuda:1"):
        device.pick_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cpu:0", "cuda-1"])
def test_unknown_devices_are_refused(name: str) -> None:
    with pytest.raises(BadInput, match="use auto, cpu, cuda"):
        device.pick_device(name)


def test_seeds_repeat_and_purposes_differ() -> None:
    first = device.numpy_generator(1, "order").random(4)
    np.testing.assert_array_equal(first, device.numpy_generator(1, "order").random(4))
    assert not np.array_equal(first, device.numpy_generator(1, "noise").random(4))
    assert not np.array_equal(first, device.numpy_generator(2, "order").random(4))
    one = torch.rand(4, generator=device.torch_generator(1, "order"))
    assert torch.equal(one, torch.rand(4, generator=device.torch_generator(1, "order")))
    seeds = {device.derive_seed(seed, name) for seed in range(50) for name in "abc"}
    assert len(seeds) == 150 and all(0 <= seed < 2**63 for seed in seeds)
    assert device.derive_seed(1, 23) != device.derive_seed(12, 3)


def test_seeded_restores_the_global_generator() -> None:
    torch.manual_seed(0)
    expected = torch.rand(2)
    torch.manual_seed(0)
    with device.seeded(9):
        inside = torch.rand(2)
    assert torch.equal(torch.rand(2), expected)
    with device.seeded(9):
        assert torch.equal(torch.rand(2), inside)


def test_seed_everything_seeds_all_three() -> None:
    import random

    draws = []
    for _ in range(2):
        device.seed_everything(2**40 + 7)
        draws.append((random.random(), np.random.random(), float(torch.rand(()))))  # noqa: S311
    assert draws[0] == draws[1]


def test_names_and_memory() -> None:
    assert device.device_name("cpu")
    before = device.peak_memory_bytes()
    block = np.ones(2**24)
    assert device.peak_memory_bytes() >= before
    assert device.peak_memory_bytes() > block.nbytes
    device.reset_peak_memory("cpu")


def test_memory_on_windows_which_has_no_module_resource() -> None:
    """Its kernel is played: it is given a structure of 72 bytes and writes the peak at byte 8."""
    script = """
import ctypes, pathlib, sys
sys.modules["resource"] = None
sys.platform = "win32"

def read(process, pointer, size):
    assert (process, size) == (7, 72)
    ctypes.c_size_t.from_address(ctypes.addressof(pointer._obj) + 8).value = 12345
    return 1

class Function:
    def __init__(self, call):
        self.call = call
    def __call__(self, *arguments):
        return self.call(*arguments)

class Kernel:
    GetCurrentProcess = Function(lambda: 7)
    K32GetProcessMemoryInfo = Function(read)

ctypes.WinDLL = lambda name, **options: Kernel
from fpbench.compute import device
pathlib.Path.is_file = lambda path: False
print(device.peak_memory_bytes())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "12345"


def test_precision_on_a_cpu_is_chosen_by_name_alone() -> None:
    assert device.chosen_precision("auto", "cpu") == "fp32"
    assert device.chosen_precision("bf16", "cpu") == "bf16"
    with device.autocast("auto", "cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
    with device.autocast("bf16", "cpu"):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.bfloat16


def test_choosing_a_cpu_does_not_import_torch() -> None:
    code = (
        "import sys; from fpbench.compute import device, cooccurrence; device.pick_device('cpu');"
        "assert not {'torch', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
