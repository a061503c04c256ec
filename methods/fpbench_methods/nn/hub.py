"""Files of weights from the Hub's cache or the Hub, refused at once where neither is available."""

from __future__ import annotations

import socket
import urllib.parse
import urllib.request
from pathlib import Path

from fpbench.hub import hub_errors, is_offline
from fpbench_methods.nn.pins import Pin, pin_of


def hub_file(repository: str, name: str, pin: Pin | None = None) -> Path:
    """A file of a model repository, from the local cache where it is there.

    The client of the Hub repeats a failed look-up for most of a minute; a machine without a
    connection is told at once instead.

    Args:
        repository: E.g. ``timm/resnet50.a1_in1k``.
        name: E.g. ``model.safetensors``.
        pin: Its commit and SHA-256; `fpbench_methods.nn.pins.pin_of` where None.

    Raises:
        OSError: If the file is not in the cache and cannot be downloaded, or is another than the
            pin says.
        HubRefused: If the Hub does not give it, with the reason.
    """
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

    pin = pin_of(repository) if pin is None else pin
    cached = try_to_load_from_cache(repository, name, revision=pin.commit)
    if isinstance(cached, str):
        return pin.check(Path(cached), repository)
    _check_online()
    check_connection(constants.ENDPOINT)
    with hub_errors("model", repository, pin.commit):
        path = Path(hf_hub_download(repository, name, revision=pin.commit))
    return pin.check(path, repository)


def url_file(address: str, digest: str) -> Path:
    """A file at an https address, from torch's cache of downloads where it is there.

    Args:
        address: Where it is published.
        digest: Its SHA-256, or the beginning of it.

    Raises:
        OSError: If the file is not in the cache and cannot be downloaded, or is another.
    """
    import torch

    path = Path(torch.hub.get_dir()) / "checkpoints" / address.rsplit("/", 1)[-1]
    pin = Pin(sha256=digest)
    if path.is_file():
        return pin.check(path, address)
    _check_online()
    check_connection(address)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        torch.hub.download_url_to_file(address, str(path), digest, progress=False)
    except RuntimeError as error:  # another digest
        raise OSError(str(error)) from error
    return path


def _check_online() -> None:
    if is_offline():
        raise OSError("the Hub may not be asked (--offline, or HF_HUB_OFFLINE), and the file is "
                      "not in the cache")  # fmt: skip


def check_connection(address: str) -> None:
    """Raise at once if the host of a web address cannot be reached.

    Raises:
        OSError: If it cannot.
    """
    parts = urllib.parse.urlsplit(address)
    # NO_PROXY alone is no proxy.
    if {parts.scheme, "all"} & set(urllib.request.getproxies()):
        return  # behind a proxy only the proxy knows
    port = parts.port or (80 if parts.scheme == "http" else 443)
    socket.create_connection((parts.hostname or "", port), timeout=5).close()
