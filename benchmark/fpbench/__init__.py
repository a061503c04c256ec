"""fpbench: the benchmark suite for fingerprints of generative models."""

__version__ = "0.1.0"
