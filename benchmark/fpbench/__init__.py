"""fpbench: the benchmark suite for fingerprints of generative models.

What the command line does, a notebook can::

    import fpbench

    (record,) = fpbench.run("prnu", "gm-mini")
    record.scores["accuracy"].value

The functions live in `fpbench.library` and `fpbench.attribution` and are imported when they are
first used, so that ``import fpbench`` costs nothing.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from fpbench.version import __version__

if TYPE_CHECKING:
    from fpbench.attribution.fitting import fit_model
    from fpbench.attribution.judging import attribute, attribute_bag
    from fpbench.attribution.model import load_model
    from fpbench.library import ablate, fit, load_dataset, read_record, run, transfer

# Torch's threads spin while they wait for each other, which on a machine that does something else
# as well makes training 10 to 25 times slower: the one waited for does not get the core. They
# shall sleep after a short spin instead. OpenMP reads this once, when torch loads it, so it is set
# here, before anything of fpbench can import torch, and only where the user has not decided.
if "OMP_WAIT_POLICY" not in os.environ and "GOMP_SPINCOUNT" not in os.environ:
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    os.environ["GOMP_SPINCOUNT"] = "1000"
    os.environ.setdefault("KMP_BLOCKTIME", "0")

__all__ = [
    "__version__",
    "ablate",
    "attribute",
    "attribute_bag",
    "fit",
    "fit_model",
    "load_dataset",
    "load_model",
    "read_record",
    "run",
    "transfer",
]

_ELSEWHERE = {
    "attribute": "fpbench.attribution.judging",
    "attribute_bag": "fpbench.attribution.judging",
    "fit_model": "fpbench.attribution.fitting",
    "load_model": "fpbench.attribution.model",
}


def __getattr__(name: str) -> Any:
    if name in __all__:
        import importlib

        return getattr(importlib.import_module(_ELSEWHERE.get(name, "fpbench.library")), name)
    raise AttributeError(f"module 'fpbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
