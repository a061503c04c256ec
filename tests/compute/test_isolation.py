"""Whatever a block does to global state is named and undone."""

import io
import os
import random
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import threadpoolctl
import torch

from fpbench.compute.isolation import isolated


def blas() -> Any:
    return threadpoolctl.ThreadpoolController().select(user_api="blas").lib_controllers


def one_thread_more() -> None:
    for library in blas():
        library.set_num_threads(library.num_threads + 1)


def state() -> dict[str, Any]:
    """Everything that `isolated` promises to put back, read independently of it."""
    return {
        "cwd": os.getcwd(),  # noqa: PTH109
        "environ": dict(os.environ),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "filters": list(warnings.filters),
        "random": random.getstate(),
        "numpy random": str(np.random.get_state()),
        "errstate": np.geterr(),
        "blas": [library.num_threads for library in blas()],
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "grad": torch.is_grad_enabled(),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "warn only": torch.is_deterministic_algorithms_warn_only_enabled(),
        "benchmark": torch.backends.cudnn.benchmark,
        "cudnn deterministic": torch.backends.cudnn.deterministic,
        "cudnn": torch.backends.cudnn.enabled,
        "precision": torch.get_float32_matmul_precision(),
        "anomaly": torch.is_anomaly_enabled(),
        "torch random": torch.get_rng_state().tolist(),
    }


def mixed_precision() -> None:
    torch.set_float32_matmul_precision("high")


MISDEEDS: dict[str, tuple[Callable[[], object], str]] = {
    "chdir": (lambda: os.chdir("/"), "the working directory is /"),
    "setenv": (lambda: os.environ.update(FPBENCH_X="secret"), "hold another FPBENCH_X instead"),
    "unsetenv": (lambda: os.environ.pop("PATH"), "hold another PATH"),
    "stdout": (lambda: setattr(sys, "stdout", io.StringIO()), "sys.stdout is StringIO"),
    "stderr": (lambda: setattr(sys, "stderr", None), "sys.stderr is NoneType"),
    "warnings": (lambda: warnings.simplefilter("ignore"), "filters of warnings"),
    "random": (random.random, "Python's random state"),
    "numpy": (lambda: np.random.normal(), "NumPy's random state"),
    "errstate": (lambda: np.seterr(all="raise"), "floating-point errors is {'divide': 'raise'"),
    "blas": (one_thread_more, "number of BLAS threads is"),
    "dtype": (lambda: torch.set_default_dtype(torch.float64), "dtype is torch.float64 instead of"),
    "device": (lambda: torch.set_default_device("meta"), "default device is meta instead of cpu"),
    "grad": (lambda: torch.set_grad_enabled(False), "grad mode is False instead of True"),
    "threads": (lambda: torch.set_num_threads(torch.get_num_threads() + 1), "number of threads is"),
    "deterministic": (
        lambda: torch.use_deterministic_algorithms(True, warn_only=True),
        "is True, warn only instead of False",
    ),
    "benchmark": (lambda: setattr(torch.backends.cudnn, "benchmark", True), "benchmark is True"),
    "precision": (mixed_precision, "precision of float32 products is high instead of highest"),
    "anomaly": (lambda: torch.autograd.set_detect_anomaly(True), "anomalies is True"),
    "seed": (lambda: torch.manual_seed(7), "torch's random state"),
    "draw": (lambda: torch.rand(3), "torch's random state has another state"),
}


@pytest.mark.parametrize("name", MISDEEDS)
def test_a_misdeed_is_named_and_undone(name: str) -> None:
    misdeed, told = MISDEEDS[name]
    before = state()
    with isolated() as isolation:
        assert isolation.changes() == []
        misdeed()
        during = [str(change) for change in isolation.changes()]
    assert state() == before
    assert [str(change) for change in isolation.changes()] == during
    assert any(told in sentence for sentence in during), during
    assert "secret" not in " ".join(during)
    assert all(change.cure for change in isolation.changes())


def test_nothing_changed_is_nothing_named() -> None:
    with isolated() as isolation:
        np.random.default_rng(0).normal()
        torch.rand(3, generator=torch.Generator().manual_seed(1))
        with np.errstate(all="ignore"), torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
    assert isolation.changes() == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_state_is_put_back_whatever_ends_the_block(error: type[BaseException]) -> None:
    before = state()
    with pytest.raises(error), isolated():
        for misdeed, _ in MISDEEDS.values():
            misdeed()
        raise error
    assert state() == before


def test_a_working_directory_that_is_gone_is_no_failure(tmp_path: Path) -> None:
    here = Path.cwd()
    gone = tmp_path / "gone"
    gone.mkdir()
    try:
        with isolated():
            os.chdir(gone)
            gone.rmdir()
            with isolated() as inner:
                os.chdir(here)
        assert [change.what for change in inner.changes()] == ["the working directory"]
        assert Path.cwd() == here
    finally:
        os.chdir(here)


WITHOUT_TORCH = """
import os, sys
os.environ["OMP_NUM_THREADS"] = "1"
from fpbench.compute.isolation import isolated
with isolated() as isolation:
    pass
assert "torch" not in sys.modules
assert isolation.changes() == [], isolation.changes()
with isolated() as isolation:
    import torch
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_num_threads(3)
    torch.manual_seed(3)
named = {change.what for change in isolation.changes()}
wanted = {"torch's default dtype", "torch's grad mode", "torch's number of threads"}
assert wanted <= named, named
assert "torch's default device" not in named, named
assert torch.get_default_dtype() == torch.float32
assert torch.is_grad_enabled()
assert torch.get_num_threads() == 1
assert torch.initial_seed() != 3
"""


def test_torch_is_not_loaded_and_is_put_back_where_the_block_loads_it() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_TORCH], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
