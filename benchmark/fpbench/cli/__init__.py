"""The command line: one file per command group, thin, and quick to start."""
