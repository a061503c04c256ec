"""Protocols and executors by name, found by entry point as methods are."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from fpbench import registry

if TYPE_CHECKING:
    from fpbench.runs.executors.base import Executor
    from fpbench.runs.protocols.base import Protocol

PROTOCOL_GROUP = "fpbench.protocols"
EXECUTOR_GROUP = "fpbench.executors"


def protocol_names() -> list[str]:
    """Names of all registered protocols, sorted."""
    return registry.plugin_names(PROTOCOL_GROUP)


def executor_names() -> list[str]:
    """Names of all registered executors, sorted."""
    return registry.plugin_names(EXECUTOR_GROUP)


@cache
def protocol_named(name: str) -> Protocol:
    """The protocol registered under a name.

    Raises:
        BadInput: If there is none, with the nearest names, or it cannot be used.
    """
    from fpbench.runs.protocols.base import Protocol

    found: type[Protocol] = registry.plugin_class(PROTOCOL_GROUP, name, Protocol, "protocol")
    return found()


def executor_class(name: str) -> type[Executor]:
    """The executor registered under a name.

    Raises:
        BadInput: If there is none, with the nearest names, or it cannot be used.
    """
    from fpbench.runs.executors.base import Executor

    found: type[Executor] = registry.plugin_class(EXECUTOR_GROUP, name, Executor, "executor")
    return found
