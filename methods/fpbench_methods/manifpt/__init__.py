"""ManiFPT: artifacts as deviations from an estimated data manifold (CVPR 2024)."""

from fpbench_methods.manifpt.method import ManiFPT

__all__ = ["ManiFPT"]
