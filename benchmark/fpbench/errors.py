"""Errors that are told to the user in one sentence, without a traceback."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class BadInput(Exception):
    """What the user asked for cannot be done; the message says why and what to do instead.

    The command line prints the message and ends with exit code 2.
    """


def suggest(name: str, known: Iterable[str]) -> str:
    """A sentence that names the nearest of the `known` names, or lists them all.

    >>> suggest("manifptt", ["manifpt", "prnu"])
    'Did you mean manifpt?'
    >>> suggest("xyz", ["manifpt", "prnu"])
    'Known names: manifpt, prnu.'
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
    if near:
        return f"Did you mean {' or '.join(near)}?"
    return f"Known names: {', '.join(names) or 'none'}."
