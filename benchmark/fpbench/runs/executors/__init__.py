"""Executors: where the jobs of a plan run, one file each; found by entry point like methods."""
