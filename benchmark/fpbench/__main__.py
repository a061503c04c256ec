"""``python -m fpbench``."""

from fpbench.cli.main import entry

entry()
