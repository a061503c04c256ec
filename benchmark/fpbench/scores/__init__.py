"""Scores: what each asks, what it is computed from, and the families that compute them."""
