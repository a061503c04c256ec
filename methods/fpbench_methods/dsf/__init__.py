"""Set-based artificial fingerprints: bags of images, encoded together (Song, AbdAlmageed 2022)."""

from fpbench_methods.dsf.method import DSF

__all__ = ["DSF"]
