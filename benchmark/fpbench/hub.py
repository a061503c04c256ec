"""The Hugging Face Hub: its client's errors as sentences, and keeping from asking it."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fpbench.errors import BadInput

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

_OFFLINE = "HF_HUB_OFFLINE"

_OF_THE_DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO,
}  # fmt: skip

_OF_FILES = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)
"""What the network never raises: a fault of whoever reads or writes files of their own."""

_LOGIN = "log in with `hf auth login`, or set HF_TOKEN to a token that may read or write it"


class HubRefused(BadInput):
    """The Hub cannot be asked, or does not give what it is asked for."""


@contextmanager
def hub_errors(
    kind: str, repository: str, revision: str | None = None, *, instead: str = "", pull: str = ""
) -> Iterator[None]:
    """Turn the Hub client's errors into sentences that name the repository and the remedy.

    Args:
        kind: What the repository is: ``dataset``, ``model`` or ``Space``.
        repository: ``OWNER/NAME``.
        revision: The revision asked for, or None.
        instead: A sentence on what to do without the Hub, or empty.
        pull: The command that puts it into the local cache, or empty.

    Raises:
        HubRefused: Instead of any error of the Hub or of the network.
    """
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    what = f"{repository} at revision {revision}" if revision else repository
    instead = f" {instead}" if instead else ""
    try:
        yield
    except GatedRepoError as error:
        raise HubRefused(
            f"The Hub {kind} {repository} is gated: accept its terms on its page, then log in "
            "with `hf auth login` or set HF_TOKEN."
        ) from error
    except RepositoryNotFoundError as error:
        raise HubRefused(
            f"The Hub has no {kind} {repository}, or it is private and no valid token was given "
            f"(`hf auth login`, or HF_TOKEN).{instead}"
        ) from error
    except RevisionNotFoundError as error:
        raise HubRefused(
            f"The Hub {kind} {repository} has no revision {revision!r}; leave it out for the "
            "newest, or take a commit from its page."
        ) from error
    except LocalEntryNotFoundError as error:
        if isinstance(error.__cause__, HfHubHTTPError):
            raise HubRefused(_told_status(error.__cause__, what) + instead) from error
        pulled = f" Pull it once while online (`{pull}`)." if pull else ""
        raise HubRefused(
            f"The Hub {kind} {what} is not in the local cache and the Hub cannot be "
            f"reached (no network, or offline mode).{pulled}{instead}"
        ) from error
    except OfflineModeIsEnabled as error:
        raise HubRefused(
            f"The Hub may not be asked for {what}: {_OFFLINE} is set, or --offline given. Unset "
            f"it{', or pass a folder' if kind == 'dataset' else ''}."
        ) from error
    except HFValidationError as error:
        raise HubRefused(f"{repository!r} is no id of a Hub {kind}; write OWNER/NAME.") from error
    except HfHubHTTPError as error:
        raise HubRefused(_told_status(error, what) + instead) from error
    except _of_the_network() as error:
        # Files that the caller reads or writes may fail, too.
        if isinstance(error, OSError) and error.errno in _OF_THE_DISK:
            raise HubRefused(
                f"The files of {what} cannot be written to the Hub's cache "
                f"({error.strerror}): free space there, or set HF_HOME to another folder."
            ) from error
        if isinstance(error, _OF_FILES):
            raise
        raise HubRefused(
            f"The Hub cannot be reached for the {kind} {what} ({type(error).__name__}).{instead}"
        ) from error


def _told_status(error: HfHubHTTPError, what: str) -> str:
    status = getattr(error.response, "status_code", None)
    if status in (401, 403):
        return f"The Hub refuses access to {what} (status {status}): {_LOGIN}."
    if status == 429:
        return (
            f"The Hub was asked too often and does not answer for {what} (status 429): "
            "wait some minutes, or log in (`hf auth login`), which lets you ask more often."
        )
    failed = "is out of order and failed" if status is None or status >= 500 else "failed"
    return f"The Hub {failed} on {what} (status {status}): try again later."


def _of_the_network() -> tuple[type[BaseException], ...]:
    """What the HTTP library beneath the client raises; which one that is depends on its version."""
    found: list[type[BaseException]] = [OSError]
    for module, name in (("httpx2", "TransportError"), ("httpx", "TransportError"),
                         ("requests", "RequestException")):  # fmt: skip
        error = getattr(sys.modules.get(module), name, None)
        if isinstance(error, type) and issubclass(error, Exception):
            found.append(error)
    return tuple(found)


def is_offline() -> bool:
    """Whether the Hub may not be asked, by ``HF_HUB_OFFLINE`` or within `offline`."""
    return os.environ.get(_OFFLINE, "").upper() in {"1", "ON", "YES", "TRUE"}


@contextmanager
def offline(wanted: bool) -> Iterator[None]:
    """Keep everything in the block from asking the Hub, the client of the Hub itself included.

    Args:
        wanted: False changes nothing.
    """
    if not wanted:
        yield
        return
    before = os.environ.get(_OFFLINE)
    os.environ[_OFFLINE] = "1"
    # The client reads the variable once, when it is imported.
    constants = sys.modules.get("huggingface_hub.constants")
    known = getattr(constants, _OFFLINE, None)
    if constants is not None:
        setattr(constants, _OFFLINE, True)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(_OFFLINE, None)
        else:
            os.environ[_OFFLINE] = before
        constants = sys.modules.get("huggingface_hub.constants")
        if constants is not None:
            setattr(constants, _OFFLINE, is_offline() if known is None else known)
