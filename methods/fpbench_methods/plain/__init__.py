"""The plain-statistics baseline."""

from fpbench_methods.plain.method import Plain

__all__ = ["Plain"]
