"""Reverse engineering of generative models: fingerprint estimation and parsing."""

from fpbench_methods.asnani.design import DesignScore, score_design
from fpbench_methods.asnani.method import Asnani

__all__ = ["Asnani", "DesignScore", "score_design"]
