"""PRNU-style fingerprints of generators (Marra et al., MIPR 2019)."""

from fpbench_methods.prnu.method import PRNU

__all__ = ["PRNU"]
