"""Figures from arrays: each function draws one and writes it as PNG."""
