"""DNA-Det: architecture attribution by transformation pretraining and patches (AAAI 2022)."""

from fpbench_methods.dnadet.method import DNADet

__all__ = ["DNADet"]
