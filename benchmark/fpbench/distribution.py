"""What fpbench is called where packages are installed from, and how to install more of it.

The command and the import are ``fpbench``; the distribution is not, because that name on the
Python Package Index is somebody else's package, which must never be installed in its place.
"""

from __future__ import annotations

import json
import shlex
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution

NAME = "fpbench-suite"
"""Name of the distribution."""

BEFORE = "fpbench"
"""What it was called in records and cards of before; it is not installed by this name."""


@cache
def _origin() -> tuple[str, bool]:
    """Where it was installed from (PEP 610), empty for an index, and whether as editable."""
    try:
        text = distribution(NAME).read_text("direct_url.json")
        found = json.loads(text) if text else {}
        url, vcs = str(found.get("url", "")), found.get("vcs_info", {}).get("vcs")
        return (f"{vcs}+{url}" if vcs else url), bool(found.get("dir_info", {}).get("editable"))
    except (PackageNotFoundError, OSError, ValueError, AttributeError):
        return "", False


def requirement(extra: str = "") -> str:
    """What another package writes to depend on this very installation.

    Args:
        extra: An extra, or empty.

    Returns:
        ``fpbench-suite[EXTRA]``, with a direct reference (``@ URL``) where it was installed from
        one, as it is until it is published.
    """
    url, _ = _origin()
    named = f"{NAME}[{extra}]" if extra else NAME
    return f"{named} @ {url}" if url else named


def install_command(extra: str) -> str:
    """The command that adds an extra to this very installation."""
    url, editable = _origin()
    if editable and url.startswith("file://"):
        folder = url.removeprefix("file://")
        return f"pip install -e {shlex.quote(f'{folder}[{extra}]')}"
    return f"pip install {shlex.quote(requirement(extra))}"


def renamed(package: str) -> str:
    """A package as records name it, with the name that fpbench's own has now.

    >>> renamed("fpbench 0.1.0"), renamed("fpbench-tile-mean 0.1.0")
    ('fpbench-suite 0.1.0', 'fpbench-tile-mean 0.1.0')
    """
    name, space, version = package.partition(" ")
    return f"{NAME if name == BEFORE else name}{space}{version}"
