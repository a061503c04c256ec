"""The Hub client's errors as sentences for people who publish or submit."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from fpbench.errors import BadInput

_LOGIN = "log in with `hf auth login`, or set HF_TOKEN to a token that may write"


@contextmanager
def hub_errors(kind: str, repository: str) -> Iterator[None]:
    """Turn errors of the Hub and of the network into one sentence with a remedy.

    Args:
        kind: ``Space`` or ``dataset``.
        repository: ``OWNER/NAME``.

    Raises:
        BadInput: Instead of them.
    """
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        yield
    except HFValidationError as error:
        raise BadInput(f"{repository!r} is no id of a Hub {kind}; write OWNER/NAME.") from error
    except RepositoryNotFoundError as error:
        raise BadInput(
            f"The Hub has no {kind} {repository}, or hides it from you; make it, or {_LOGIN}."
        ) from error
    except OfflineModeIsEnabled as error:
        raise BadInput("The Hub is switched off by HF_HUB_OFFLINE; unset it to publish.") from error
    except HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise BadInput(
                f"The Hub does not let you write to the {kind} {repository}; {_LOGIN}."
            ) from error
        raise BadInput(
            f"The Hub failed on the {kind} {repository} (status {status}); try again later."
        ) from error
    except _transport_errors() as error:
        raise BadInput(
            f"The Hub cannot be reached for the {kind} {repository} ({type(error).__name__}); "
            "check the network and try again."
        ) from error


def _transport_errors() -> tuple[type[Exception], ...]:
    """What the HTTP library beneath the client raises; which one that is depends on its version."""
    found: list[type[Exception]] = [ConnectionError, TimeoutError]
    for module, name in (("httpx2", "TransportError"), ("httpx", "TransportError"),
                         ("requests", "RequestException")):  # fmt: skip
        error = getattr(sys.modules.get(module), name, None)
        if isinstance(error, type) and issubclass(error, Exception):
            found.append(error)
    return tuple(found)
