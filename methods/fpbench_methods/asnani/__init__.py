"""Reverse engineering of generative models: fingerprint estimation and parsing."""

from fpbench_methods.asnani.design import DesignScore, score_design
from fpbench_methods.asnani.method import Asnani
from fpbench_methods.asnani.parser import AsnaniParsing

__all__ = ["Asnani", "AsnaniParsing", "DesignScore", "score_design"]
