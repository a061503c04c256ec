"""Riemannian fingerprints: deviations from a geodesic centre of mass (ICCV 2025, unofficial)."""

from fpbench_methods.riemann.method import Riemann

__all__ = ["Riemann"]
