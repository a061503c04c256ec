"""Where a job runs: versions, machine, commit."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import fpbench
from fpbench.runs.record import EnvironmentEntry

_PACKAGES = (
    "datasets",
    "faiss-cpu",
    "numpy",
    "pillow",
    "scikit-learn",
    "scipy",
    "timm",
    "torch",
    "torchvision",
)


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603  (fixed arguments)
            ["git", "-C", str(folder), *arguments],  # noqa: S607  (git is found on the path)
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def describe_environment(executor: str | None = None) -> EnvironmentEntry:
    """Versions of fpbench and of what it stands on, the machine, and the commit if any.

    The commit is that of fpbench's own checkout; from an installed wheel it is null, even when
    the wheel lies inside somebody else's repository.

    Args:
        executor: What runs the job.
    """
    packages = {"fpbench": fpbench.__version__}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    package = Path(fpbench.__file__).resolve().parent
    checkout = package.parents[1]
    commit = status = None
    if (checkout / "pyproject.toml").is_file() and package.parent.name == "benchmark":
        commit = _git(checkout, "rev-parse", "HEAD")
        status = _git(checkout, "status", "--porcelain", "--untracked-files=no")
    return EnvironmentEntry(
        python=platform.python_version(),
        platform=f"{platform.system()}-{platform.machine()}",
        cores=len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1,
        threads=sys.modules["torch"].get_num_threads() if "torch" in sys.modules else None,
        executor=executor,
        packages=packages,
        git_commit=commit,
        git_dirty=None if commit is None or status is None else bool(status),
    )
