"""Attributing fake images to GANs: learned fingerprints (Yu et al., ICCV 2019)."""

from fpbench_methods.yu.method import Yu
from fpbench_methods.yu.visnet import YuVisualisation

__all__ = ["Yu", "YuVisualisation"]
