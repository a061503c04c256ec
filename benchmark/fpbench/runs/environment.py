"""Where a job runs: versions, machine, commit, and what decides the last digits of sums."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import fpbench
from fpbench.compute.device import chosen_precision, device_name
from fpbench.runs.machine import ArithmeticEntry, EnvironmentEntry

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

_VECTORS = re.compile(
    r"sse4_[12]|f16c|fma|avx\w*|amx\w*|asimd\w*|neon|sve\w*|sme2?|bf16|i8mm|v(?:sx|mx)"
)
"""Names, in /proc/cpuinfo, of the instruction sets that kernels for numbers are chosen by."""

_ONEDNN = re.compile(r"(?:MKL-DNN|oneDNN) v([\w.]+)")
_MKL = re.compile(r"Math Kernel Library Version (.+?)(?: for |$)", re.MULTILINE)
_CAPABILITY = re.compile(r"CPU capability usage: (\S+)")


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


def describe_environment(executor: str | None = None, device: str = "cpu") -> EnvironmentEntry:
    """Versions of fpbench and of what it stands on, the machine, and the commit if any.

    The commit is that of fpbench's own checkout; from an installed wheel it is null, even when
    the wheel lies inside somebody else's repository.

    Args:
        executor: What runs the job.
        device: The torch device that it runs on.
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
    torch = sys.modules.get("torch")
    return EnvironmentEntry(
        python=platform.python_version(),
        platform=f"{platform.system()}-{platform.machine()}",
        cores=len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1,
        threads=None if torch is None else torch.get_num_threads(),
        executor=executor,
        packages=packages,
        git_commit=commit,
        git_dirty=None if commit is None or status is None else bool(status),
        arithmetic=_arithmetic(torch, device),
    )


def _arithmetic(torch: Any, device: str) -> ArithmeticEntry:
    """What decides how numbers are added here; of what is loaded, so that nothing is loaded."""
    from threadpoolctl import threadpool_info  # type: ignore[import-untyped]

    libraries: dict[str, str] = {}
    threads: dict[str, int] = {}
    for pool in threadpool_info():
        # The package that brings the library, and never the path, which tells of the machine.
        package = Path(pool["filepath"]).parent.name.partition(".")[0]
        owner = "torch" if package == "lib" else package
        name = f"{pool['internal_api']} of {owner}"
        told = (pool["version"], pool.get("architecture"), pool.get("threading_layer"))
        libraries[name] = ", ".join(str(x) for x in told if x) or pool["prefix"]
        threads[name] = pool["num_threads"]
    precision: dict[str, str] = {}
    if torch is not None:
        libraries |= _torch_libraries(torch)
        precision["matrix products in float32"] = torch.get_float32_matmul_precision()
        precision["training"] = chosen_precision("auto", device)
        if device.startswith("cuda"):
            tf32 = torch.backends.cudnn.allow_tf32
            precision["convolutions in float32"] = "tf32" if tf32 else "ieee"
    processor, instructions = processor_facts()
    return ArithmeticEntry(
        processor=processor,
        accelerator=device_name(device) if device.startswith("cuda") else None,
        instructions=instructions,
        precision=precision,
        libraries=dict(sorted(libraries.items())),
        threads=dict(sorted(threads.items())),
    )


def _torch_libraries(torch: Any) -> dict[str, str]:
    """The libraries that torch's kernels come from, and the instructions it chose."""
    built = torch.__config__.show()
    told = {"MKL of torch": _MKL, "oneDNN of torch": _ONEDNN, "kernels of torch": _CAPABILITY}
    found = {name: match[1] for name, pattern in told.items() if (match := pattern.search(built))}
    if torch.version.cuda is not None and torch.cuda.is_available():
        found["CUDA of torch"] = torch.version.cuda
        found["cuDNN of torch"] = str(torch.backends.cudnn.version())
    return found


def processor_facts(info: Path = Path("/proc/cpuinfo")) -> tuple[str, list[str]]:
    """Name of the processor with its numbers, and its instruction sets for vectors, sorted.

    A virtual machine often names no more than the maker; family, model and stepping tell which
    processor it is. Elsewhere than on Linux the name alone is known.

    Args:
        info: Linux's description of the processors.
    """
    if not info.is_file():
        return device_name("cpu"), []
    first = info.read_text(encoding="utf-8", errors="replace").strip().split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    facts = {name.strip(): value.strip() for name, _, value in pairs}
    numbers = ("cpu family", "model", "stepping", "CPU implementer", "CPU part", "CPU revision")
    told = [f"{name.removeprefix('cpu ')} {facts[name]}" for name in numbers if name in facts]
    flags = facts.get("flags", facts.get("Features", "")).split()
    named = ", ".join([facts.get("model name") or platform.machine(), *told])
    return named, sorted(flag for flag in flags if _VECTORS.fullmatch(flag))


def environment_differences(recorded: EnvironmentEntry, here: EnvironmentEntry) -> list[str]:
    """Sentences on what two runs were computed by, where it differs and may move the last digits.

    Args:
        recorded: Of the record.
        here: Of the run here.
    """
    found = _differing(
        {"Python": recorded.python, "platform": recorded.platform} | recorded.packages,
        {"Python": here.python, "platform": here.platform} | here.packages,
    )
    if recorded.threads is not None and here.threads is not None:
        found += _differing({"threads": recorded.threads}, {"threads": here.threads})
    a, b = recorded.arithmetic, here.arithmetic
    if a is None or b is None:
        return [*found, "The record is of before processor and libraries were noted."]
    found += _differing(
        {"processor": a.processor, "accelerator": a.accelerator},
        {"processor": b.processor, "accelerator": b.accelerator},
    )
    there, now = set(a.instructions), set(b.instructions)
    for names, where in ((there - now, "where the record was made"), (now - there, "here")):
        if names:
            found.append(f"instruction sets only {where}: {', '.join(sorted(names))}")
    found += _differing(a.precision, b.precision)
    # A library that one of the two had not loaded has added nothing there.
    found += _differing(*_shared(a.libraries, b.libraries))
    return found + _differing(*_shared(a.threads, b.threads), "threads of ")


def _shared(
    first: Mapping[str, object], second: Mapping[str, object]
) -> tuple[dict[str, object], dict[str, object]]:
    """Both without the names that one of them lacks."""
    return (
        {name: first[name] for name in first if name in second},
        {name: second[name] for name in second if name in first},
    )


def _differing(
    recorded: Mapping[str, object], here: Mapping[str, object], before: str = ""
) -> list[str]:
    pairs = ((name, recorded.get(name), here.get(name)) for name in sorted({*recorded, *here}))
    return [
        f"{before}{name}: {first or 'none'} in the record, {second or 'none'} here"
        for name, first, second in pairs
        if first != second
    ]
