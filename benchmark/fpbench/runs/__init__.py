"""Runs: a plan becomes jobs, a job becomes a folder with a record."""
