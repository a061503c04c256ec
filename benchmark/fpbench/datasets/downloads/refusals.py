"""What a server, a proxy or the network said, as sentences that name the address and the remedy."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies

from fpbench.errors import BadInput

BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses after which the same question may be answered later."""

_INSTEAD = (
    "a copy will do: name a mirror with FPBENCH_MIRROR, or a folder that holds the files with "
    "FPBENCH_FILES"
)


class Refused(BadInput):
    """A file is not available; others of the same host may."""


class HostFails(Refused):
    """A host cannot be asked at all, so none of its files can be had for now."""


class Changed(Refused):
    """What was had is not the file that was asked for."""


class EndsEarly(Changed):
    """An answer ended before all bytes had come, without an error."""


def of_status(url: str, status: int, tries: int) -> Refused:
    """What a status means that no further question will change."""
    host = urlsplit(url).netloc
    if status in (401, 403):
        return Refused(
            f"{host} refuses {url} (status {status}): it asks for a login or a licence to be "
            f"accepted, or its owner closed it; {_INSTEAD}."
        )
    if status in (404, 410):
        return Refused(
            f"{url} is not there (status {status}): it was moved or removed; {_INSTEAD}."
        )
    if status == 429:
        return HostFails(
            f"{host} was asked too often and still refuses {url} (status 429) after {tries} "
            "tries: wait some minutes and run the same command again; what is here is kept."
        )
    if status in BUSY:
        return HostFails(
            f"{host} is out of order and failed on {url} (status {status}) {tries} times: try "
            "again later; what is here is kept."
        )
    return Refused(f"{host} answered {url} with status {status}, which gives no file; {_INSTEAD}.")


def of_web_page(url: str) -> Refused:
    """A page for people came in the place of a file."""
    return Refused(
        f"{urlsplit(url).netloc} answered {url} with a web page (HTML) in the place of the file: "
        "a login, a notice, or the page of a network that wants one first; open it in a browser."
    )


def of_pointer(url: str) -> Refused:
    """A note of Git LFS came in the place of a file."""
    return Refused(
        f"{url} holds a pointer of Git LFS in the place of the file; give the address that the "
        "pointer stands for."
    )


def of_size(url: str, found: int | str, expected: int) -> Changed:
    """Another number of bytes than was said."""
    return Changed(
        f"{url} is not the file that was meant: it has {found} bytes, not {expected}; it was "
        f"changed since, or the list of files is wrong. If it was changed, {_INSTEAD}."
    )


def ends_early(url: str, found: int, expected: int) -> EndsEarly:
    """Fewer bytes than was said, though the host took its answer for complete."""
    return EndsEarly(
        f"The download of {url} ended after {found} of {expected} bytes each time: it was cut, or "
        f"the file was changed since. What is here is kept; if it was changed, {_INSTEAD}."
    )


def of_hash(url: str, found: str, expected: str) -> Changed:
    """Other bytes than was said."""
    return Changed(
        f"{url} is not the file that was meant: its SHA-256 is {found[:12]}…, not "
        f"{expected[:12]}…; it was changed since, or the list of files is wrong. If it was "
        f"changed, {_INSTEAD}."
    )


def of_network(url: str, error: Exception, tries: int) -> HostFails:
    """No answer, or an answer that ends too early, each time."""
    host = urlsplit(url).netloc
    name = type(error).__name__
    kept = "What is here is kept; run the same command again."
    if name == "ProxyError":
        return HostFails(
            f"The proxy {_proxy(url)} does not let {url} through ({_brief(error)}): correct the "
            "variable, or exempt the host with NO_PROXY."
        )
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return HostFails(
            f"The certificate of {host} cannot be verified for {url}: where a proxy has one of "
            "its own, name its file with SSL_CERT_FILE."
        )
    if "Timeout" in name:
        return HostFails(f"{host} gave no answer to {url} in time, {tries} times. {kept}")
    through = f" through the proxy {_proxy(url)}" if _has_proxy(url) else ""
    if name == "RemoteProtocolError" or name == "ReadError":
        return HostFails(
            f"The download of {url}{through} was cut {tries} times ({_brief(error)}). {kept}"
        )
    return HostFails(
        f"{host} cannot be reached for {url}{through} ({_brief(error)}): no network, or the host "
        f"is down. {kept}"
    )


def seconds_asked(header: str | None) -> float | None:
    """Seconds that a server's ``Retry-After`` asks to wait: a number, or a date in HTTP's form."""
    if header is None:
        return None
    text = header.strip()
    if text.isdigit():
        return float(text)
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, TypeError):
        return None
    # A date without a zone is in UTC.
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def _has_proxy(url: str) -> bool:
    from urllib.request import proxy_bypass

    scheme = urlsplit(url).scheme
    known = getproxies()
    host = urlsplit(url).hostname or ""
    return bool(known.get(scheme) or known.get("all")) and not proxy_bypass(host)


def _proxy(url: str) -> str:
    """The proxy and the variable that names it, without a login."""
    scheme = urlsplit(url).scheme
    for variable in (f"{scheme}_proxy", "all_proxy"):
        for name in (variable, variable.upper()):
            value = os.environ.get(name)
            if value:
                return f"{urlsplit(value).netloc.rpartition('@')[2] or 'set'} ({name})"
    return "of this system"


def _brief(error: Any) -> str:
    text = " ".join(str(error).split())
    return text[:120] or type(error).__name__
