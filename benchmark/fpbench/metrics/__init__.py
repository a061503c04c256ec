"""Scores: pure functions of arrays, which know no torch, no files and no methods."""
