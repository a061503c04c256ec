"""Losses and samplers of the zoo, one module per family."""
