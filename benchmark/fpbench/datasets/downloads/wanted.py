"""What is to be downloaded: a URL, and what is known of the bytes behind it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from fpbench.errors import BadInput

MIRROR_VARIABLE = "FPBENCH_MIRROR"
"""Environment variable with pairs ``PREFIX=PREFIX``, separated by spaces: where a URL begins with
the first, the second is asked instead. What is had is checked all the same."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Wanted:
    """One file to be had.

    Attributes:
        url: Its address, ``https://`` or ``http://``, without login.
        sha256: SHA-256 of its bytes in hexadecimal digits, or None where nobody says. Without
            it the address must be one behind which the bytes never change, e.g. of a commit.
        size: Its bytes, or None where nobody says.
        headers: Sent with the question, e.g. a token; never to another host that it is sent on to.

    Raises:
        BadInput: If address, hash or size cannot be right.
    """

    url: str
    sha256: str | None = None
    size: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        check_url(self.url)
        if self.sha256 is not None and not _SHA256.fullmatch(self.sha256):
            raise BadInput(f"{self.sha256!r} is no SHA-256 of {self.url}: 64 hexadecimal digits.")
        if self.size is not None and self.size < 1:
            raise BadInput(f"{self.url} cannot have {self.size} bytes.")

    @property
    def address(self) -> str:
        """The URL that is asked: that of a mirror where one is set."""
        return mirrored(self.url)

    @property
    def host(self) -> str:
        """Who is asked, with the port where one is given."""
        return urlsplit(self.address).netloc


def check_url(url: str) -> None:
    """Refuse what is no plain address of a file.

    Raises:
        BadInput: If it is no HTTP address, holds a login, or its path leads upward.
    """
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname)
    except ValueError:
        named = False
    if not named or parts.scheme not in ("https", "http") or re.search(r"[\s\x00-\x1f]", url):
        raise BadInput(f"{url!r} is no address of a file; write https://HOST/PATH.")
    if "@" in parts.netloc:
        raise BadInput(f"The address of {parts.hostname} holds a login; leave it out.")
    if any(step in ("..", ".") for step in re.split(r"[/\\]", unquote(unquote(parts.path)))):
        raise BadInput(
            f"The path of {url!r} leads out of its folder ('..'); write where the file is."
        )


def mirrored(url: str) -> str:
    """A URL as `MIRROR_VARIABLE` rewrites it; the longest prefix that fits counts.

    Raises:
        BadInput: If the variable holds no pairs of addresses.
    """
    fitting = [pair for pair in _mirrors() if url.startswith(pair[0])]
    if not fitting:
        return url
    prefix, instead = max(fitting, key=lambda pair: len(pair[0]))
    return instead + url.removeprefix(prefix)


def _mirrors() -> list[tuple[str, str]]:
    found = []
    for pair in os.environ.get(MIRROR_VARIABLE, "").split():
        prefix, equals, instead = pair.partition("=")
        if not equals or not prefix or not instead:
            raise BadInput(
                f"{MIRROR_VARIABLE} holds {pair!r}, which is no pair PREFIX=PREFIX of addresses."
            )
        check_url(instead)
        found.append((prefix, instead))
    return found


def told_bytes(count: int) -> str:
    """A number of bytes as people say it, in decimal units.

    >>> told_bytes(812), told_bytes(48_155), told_bytes(162_900_000), told_bytes(3_200_000_000)
    ('812 bytes', '48 kB', '163 MB', '3.2 GB')
    """
    if count < 1000:
        return f"{count} bytes"
    size = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        if size < 999.5 or unit == "TB":
            break
    return f"{size:.1f} {unit}" if size < 9.95 else f"{size:.0f} {unit}"
