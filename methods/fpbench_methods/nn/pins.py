"""Which trained weights are meant: a repository by its commit, a file by its SHA-256."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fpbench.compute.weights import check_weights


@dataclass(frozen=True)
class Pin:
    """The weights that a method was written for.

    Attributes:
        commit: Commit of the Hub repository, 40 hexadecimal digits, or None where it is not known:
            then what ``main`` holds is taken, and the record says which commit that was.
        sha256: Of the file, 64 digits or the beginning of them, or None where it is not known.
    """

    commit: str | None = None
    sha256: str | None = None

    def check(self, path: Path, what: str) -> Path:
        """The file, if it is the one that is meant.

        Args:
            path: The file.
            what: What it is called in messages.

        Raises:
            OSError: If its content is another.
        """
        if self.sha256 is not None:
            check_weights(path, self.sha256, what)
        return path


PINS: Mapping[str, Pin] = {
    "timm/resnet50.tv_in1k": Pin(
        "78f3ecfdb38e06d9b8397f662e7ab8fee96026fa",
        "5d061a3c593d795bfe682d9b152bafbcf550579873492def3515b46db1189888",
    ),
    "timm/resnet50.a1_in1k": Pin(
        "767268603ca0cb0bfe326fa87277f19c419566ef",
        "773525d5821de224f8f30c33377b7a795d7863e08522698200d3217d3f2a41bb",
    ),
    "timm/vit_base_patch16_clip_224.laion2b": Pin(),
    "timm/vit_base_patch14_dinov2.lvd142m": Pin(),
    "timm/vit_small_patch16_224.dino": Pin(),
}
"""By repository on the Hub: those that built-in methods read.

Commit and hash of the first two are of ``model.safetensors`` as others publish them; of the last
three none was to be had.
"""


def pin_of(repository: str) -> Pin:
    """The pin of a repository on the Hub; an empty one of a network that a user chose."""
    return PINS.get(repository, Pin())
