"""The Hub's errors are told as what they are, and it is not asked where it may not be."""

import os
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fpbench.errors import BadInput
from fpbench.hub import HubRefused, hub_errors, is_offline, offline


def answered(status: int) -> Exception:
    """The client's error for a status."""
    from huggingface_hub.errors import HfHubHTTPError

    # How it is made depends on the HTTP library beneath the client, which changes.
    error: Any = HfHubHTTPError.__new__(HfHubHTTPError, f"status {status}")
    error.response = SimpleNamespace(status_code=status)
    return cast(Exception, error)


@pytest.mark.parametrize("kind", ["dataset", "model", "Space"])
@pytest.mark.parametrize(
    ("status", "sentence"),
    [
        (401, "refuses access to me/mine .*hf auth login"),
        (403, "refuses access to me/mine .*HF_TOKEN"),
        (429, "asked too often .* wait some minutes"),
        (500, "is out of order and failed on me/mine .* try again later"),
        (503, "is out of order and failed on me/mine .* try again later"),
    ],
)
def test_a_status_is_told_as_what_it_is(kind: str, status: int, sentence: str) -> None:
    with pytest.raises(HubRefused, match=sentence) as told, hub_errors(kind, "me/mine"):
        raise answered(status)
    assert f"status {status}" in str(told.value) and "no network" not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_network_that_is_not_there_is_told_as_such() -> None:
    with pytest.raises(BadInput, match="cannot be reached for the model a/b"):
        with hub_errors("model", "a/b"):
            raise ConnectionRefusedError


def test_a_missing_file_of_ones_own_is_no_fault_of_the_hub() -> None:
    with pytest.raises(FileNotFoundError), hub_errors("model", "a/b"):
        raise FileNotFoundError("mine")


def test_offline_reaches_the_client_and_ends_with_its_block(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from huggingface_hub import constants

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with offline(False):
        assert not is_offline()
    with offline(True):
        assert is_offline() and os.environ["HF_HUB_OFFLINE"] == "1"
        assert constants.HF_HUB_OFFLINE is True
    assert not is_offline() and constants.HF_HUB_OFFLINE is False


def test_offline_asks_for_no_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    from fpbench_methods.nn import hub

    def refuse(*arguments: Any, **settings: Any) -> Any:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    with offline(True):
        with pytest.raises(OSError, match="may not be asked"):
            hub.hub_file("nobody/nothing", "model.safetensors")
        with pytest.raises(OSError, match="may not be asked"):
            hub.url_file("https://weights.invalid/nothing-12345678.pth", "12345678")


@pytest.mark.parametrize("status", [403, 429, 503])
def test_a_method_without_its_weights_says_why(
    status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fpbench.method import MethodDeclined
    from fpbench_methods.nn import hub, pretrained

    def refuse(*arguments: Any, **settings: Any) -> Any:
        raise answered(status)

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(hub, "check_connection", lambda address: None)
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *a, **k: None)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", refuse)
    with pytest.raises(MethodDeclined, match=rf"status {status}.*--set weights=FILE"):
        pretrained.create_timm("resnet50.a1_in1k", pretrained=True, num_classes=3)


def test_a_list_of_hosts_without_proxy_is_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    from fpbench_methods.nn import hub

    def refuse(*arguments: Any, **settings: Any) -> Any:
        raise ConnectionRefusedError("tried at once")

    monkeypatch.setattr("socket.create_connection", refuse)
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"no": "localhost"})
    with pytest.raises(ConnectionRefusedError, match="tried at once"):
        hub.check_connection("https://hub.invalid/x")
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "http://proxy:1"})
    hub.check_connection("https://hub.invalid/x")
