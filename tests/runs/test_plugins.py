"""Protocols and executors are found by name, and what is none is named."""

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from fpbench import registry
from fpbench.errors import BadInput
from fpbench.runs.executors.local import Local
from fpbench.runs.plugins import (
    EXECUTOR_GROUP,
    executor_class,
    executor_names,
    protocol_named,
    protocol_names,
)
from fpbench.runs.protocols.closed_set import ClosedSet
from fpbench.runs.protocols.transfer import Transfer
from fpbench.runs.run_plan import executor_named


def test_those_that_come_with_fpbench_are_there() -> None:
    assert {"closed-set", "transfer"} <= set(protocol_names())
    assert "local" in executor_names()
    assert isinstance(protocol_named("closed-set"), ClosedSet)
    assert isinstance(protocol_named("transfer"), Transfer)
    assert protocol_named("closed-set") is protocol_named("closed-set")
    assert executor_class("local") is Local and isinstance(executor_named("local"), Local)


def test_a_name_of_none_gets_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"no protocol 'transfers'\. Did you mean transfer"):
        protocol_named("transfers")
    with pytest.raises(BadInput, match=r"There is no executor 'locall'\. Did you mean local"):
        executor_named("locall")
    with pytest.raises(BadInput, match=r"no executor 'zzz'\. Known names: .*local"):
        executor_named("zzz")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        (["no_such_module:X"], "cannot be imported from no_such_module:X: ModuleNotFoundError"),
        (["json:nothing"], "cannot be imported from json:nothing: AttributeError"),
        (["json:JSONDecoder"], r"JSONDecoder is not a subclass of fpbench\.runs\.executors\.base"),
        (["json:dumps"], r"json:dumps is not a subclass of fpbench\.runs\.executors\.base\.Exec"),
        (["fpbench.runs.executors.local:Local", "json:loads"], "is registered by .*; uninstall"),
    ],
)
def test_a_plugin_that_is_no_executor_is_named(
    monkeypatch: pytest.MonkeyPatch, values: list[str], told: str
) -> None:
    entries = [EntryPoint("mine", value, EXECUTOR_GROUP) for value in values]
    monkeypatch.setattr(registry, "entry_points", lambda group: entries)
    with pytest.raises(BadInput, match=told):
        executor_class("mine")


def test_a_plugin_that_ends_the_process_on_import_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "ends_at_once.py").write_text("import sys\nsys.exit(3)\n")
    monkeypatch.syspath_prepend(tmp_path)
    entry = EntryPoint("mine", "ends_at_once:X", EXECUTOR_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [entry])
    with pytest.raises(BadInput, match="cannot be imported from ends_at_once:X: SystemExit: 3"):
        executor_class("mine")
