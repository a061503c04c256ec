"""What every method must satisfy, checked on small images whose sources are known."""

from fpbench.conformance.result import CheckResult
from fpbench.conformance.runner import CHECKS, BoundCheck, Check, check_method, checks_for

__all__ = ["CHECKS", "BoundCheck", "Check", "CheckResult", "check_method", "checks_for"]
