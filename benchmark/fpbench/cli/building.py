"""What the command line says and asks before a dataset that is not here is built."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from fpbench.cli.progress import paused

if TYPE_CHECKING:
    from fpbench.datasets.named import Consent, Work


def consent(agreed: bool) -> Consent:
    """Says what a build takes; then it is made if it is light, agreed to, or answered yes to.

    Args:
        agreed: Whether ``--build`` was given. Without it, only a terminal is asked, and never
            where ``--json`` was given.
    """

    def asked(work: Work) -> bool:
        with paused():
            click.echo(f"Note: {work}", err=True)
            if agreed or work.is_light:
                return True
            context = click.get_current_context(silent=True)
            silent = context is not None and context.params.get("as_json")
            if silent or not (sys.stdin.isatty() and sys.stderr.isatty()):
                return False
            return click.confirm("Download and build it?", default=True, err=True)

    return asked
