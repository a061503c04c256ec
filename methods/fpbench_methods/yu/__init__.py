"""Attributing fake images to GANs: learned fingerprints (Yu et al., ICCV 2019)."""

from fpbench_methods.yu.method import Yu

__all__ = ["Yu"]
