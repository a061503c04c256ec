"""Submitting, checking, verifying and rescoring records."""
