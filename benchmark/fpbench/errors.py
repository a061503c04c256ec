"""Errors that are told to the user in one sentence, without a traceback."""

from __future__ import annotations

import difflib
import unicodedata
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


def visible(text: str) -> str:
    r"""A text without characters that steer a terminal or turn the direction of a line.

    Line feeds and tabs stay. Names of sources, folders and plugins are other people's.

    >>> visible("a\u202eb\x1b[31m")
    'a\ufffdb\ufffd[31m'
    """
    return "".join(
        "\N{REPLACEMENT CHARACTER}"
        if c not in "\n\t" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co")
        else c
        for c in text
    )
