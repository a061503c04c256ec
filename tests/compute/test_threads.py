"""The number of threads that a block, a library loaded in it or a process is given."""

import os
import subprocess
import sys

import numpy as np  # noqa: F401  (brings the BLAS that is limited)
import pytest
import torch
from threadpoolctl import threadpool_info

from fpbench.compute.threads import (
    limited_threads,
    thread_count,
    thread_environment,
    thread_variables,
)


def pools() -> dict[str, int]:
    return {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}


def test_all_pools_are_limited_inside_the_block_and_as_before_after_it() -> None:
    before, torch_before = pools(), torch.get_num_threads()
    assert before
    with limited_threads(1):
        assert set(pools().values()) == {1}
        assert torch.get_num_threads() == 1 and thread_count() == 1
    assert pools() == before and torch.get_num_threads() == torch_before


def test_a_library_loaded_inside_the_block_is_limited() -> None:
    script = (
        "import os\n"
        "from fpbench.compute.threads import limited_threads\n"
        "from threadpoolctl import threadpool_info\n"
        "before = {pool['filepath'] for pool in threadpool_info()}\n"
        "with limited_threads(1):\n"
        "    import scipy.linalg, sklearn.cluster\n"
        "    late = [p for p in threadpool_info() if p['filepath'] not in before]\n"
        "    assert late and {p['num_threads'] for p in late} == {1}, late\n"
    )
    free = {key: value for key, value in os.environ.items() if key not in thread_variables(1)}
    done = subprocess.run([sys.executable, "-c", script], env=free, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_environment_is_as_before_after_the_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with thread_environment(3):
        for name in thread_variables(3):
            assert os.environ[name] == "3"
    assert os.environ["OMP_NUM_THREADS"] == "5" and "MKL_NUM_THREADS" not in os.environ
