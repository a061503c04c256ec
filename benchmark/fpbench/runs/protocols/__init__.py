"""Protocols: what is asked of a method, one file each; found by entry point like methods."""
