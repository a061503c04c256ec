"""fpbench: the benchmark suite for fingerprints of generative models.

What the command line does, a notebook can::

    import fpbench

    (record,) = fpbench.run("prnu", "gm-mini")
    record.scores["accuracy"].value

The functions live in `fpbench.library` and are imported when they are first used, so that
``import fpbench`` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fpbench.library import ablate, fit, load_dataset, read_record, run, transfer

__version__ = "0.1.0"

__all__ = ["__version__", "ablate", "fit", "load_dataset", "read_record", "run", "transfer"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from fpbench import library

        return getattr(library, name)
    raise AttributeError(f"module 'fpbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
