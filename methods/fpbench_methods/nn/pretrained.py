"""Networks of timm with weights from the Hub or from a file, or the reason why not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from fpbench.compute.weights import note_weights
from fpbench.errors import BadInput
from fpbench.hub import HubRefused
from fpbench.method import MethodDeclined
from fpbench_methods.nn.hub import hub_file, url_file
from fpbench_methods.nn.pins import pin_of

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

_FILE = "model.safetensors"


def create_timm(
    name: str,
    *,
    pretrained: bool,
    weights: str | None = None,
    scratch: str = "; or train from scratch with --set pretrained=false",
    **options: Any,
) -> nn.Module:
    """A network of timm.

    Args:
        name: timm's name, e.g. ``resnet50.a1_in1k``.
        pretrained: Start from trained weights: those of `weights`, else those on the Hub.
        weights: A safetensors or torch file with timm's weights of `name`; a head of another
            size is left out.
        scratch: What the message offers besides the weights.
        options: Further arguments of ``timm.create_model``, e.g. ``num_classes``.

    Raises:
        MethodDeclined: If the weights are not available.
        BadInput: If the file holds the weights of another network.
    """
    if not pretrained:
        untrained: nn.Module = timm.create_model(name, pretrained=False, **options)
        return untrained
    if weights is not None:
        return _with_weights(name, Path(weights), options)
    cfg = timm.get_pretrained_cfg(name)
    repository, address = getattr(cfg, "hf_hub_id", None), getattr(cfg, "url", None)
    if repository:
        commit = pin_of(str(repository)).commit
        at = f" --revision {commit}" if commit else ""
        command = f"hf download {repository} {_FILE}{at}"
    elif address:
        command = f"curl --location --output FILE {address}"
    else:
        raise BadInput(f"timm knows no weights of {name}; name a file with --set weights=FILE.")
    try:
        path = (
            hub_file(str(repository), _FILE)
            if repository
            else url_file(str(address), _digest(str(address)))
        )
    except (OSError, HubRefused) as error:
        raise declined(name, error, command, scratch) from error
    return _with_weights(name, path, options)


def declined(
    name: str, error: OSError | HubRefused, command: str, otherwise: str = ""
) -> MethodDeclined:
    """What to tell a user whose machine cannot fetch the weights of `name`."""
    reason = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    return MethodDeclined(
        f"The weights of {name} are not available offline ({reason}). With a connection, run: "
        f"{command}; or name a file that holds them with --set weights=FILE{otherwise}."
    )


def _digest(address: str) -> str:
    """The beginning of the hash that torch's convention puts at the end of a file's name."""
    return address.rsplit("-", 1)[-1].partition(".")[0]


def _with_weights(name: str, path: Path, options: dict[str, Any]) -> nn.Module:
    tensors = read_weights(path)
    with torch.device("meta"):
        bare: Any = timm.create_model(name, pretrained=False)
    heads = bare.default_cfg.get("classifier", "")
    heads = (heads,) if isinstance(heads, str) else tuple(heads)
    for key, value in bare.state_dict().items():
        if key.endswith("num_batches_tracked"):  # older files lack it, and torch allows that
            continue
        if any(head and key.startswith(f"{head}.") for head in heads):
            continue
        if key not in tensors or tensors[key].shape != value.shape:
            found = f"has shape {tuple(tensors[key].shape)}" if key in tensors else "is missing"
            raise BadInput(
                f"{path} does not hold the weights of {name}: {key} of shape "
                f"{tuple(value.shape)} {found}. Give the file that belongs to this network."
            )
    created: nn.Module = timm.create_model(
        name, pretrained=True, pretrained_cfg_overlay={"state_dict": dict(tensors)}, **options
    )
    return created


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors or torch file, read without running any code of its own.

    Raises:
        MethodDeclined: If there is no such file.
        BadInput: If it holds no weights.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise MethodDeclined(f"There is no file of weights {path}; --set weights=FILE names one.")
    note_weights(path)
    if path.suffix == ".safetensors":
        try:
            tensors: dict[str, Tensor] = load_file(path)
        except SafetensorError as error:
            raise BadInput(f"{path} is no safetensors file ({error}).") from error
        return tensors
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    # torch.load raises from pickle, zipfile and its own checks; all mean the same to a user.
    except Exception as error:
        raise BadInput(
            f"{path} cannot be read as weights ({type(error).__name__}); give a safetensors file "
            "or a state dict saved by torch."
        ) from error
    held = loaded.get("state_dict", loaded) if isinstance(loaded, dict) else loaded
    if not isinstance(held, dict) or not all(isinstance(v, Tensor) for v in held.values()):
        raise BadInput(f"{path} holds no state dict; give a file of named tensors.")
    return held


def standardised(
    batch: Tensor,
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    std: tuple[float, float, float] = IMAGENET_STD,
) -> Tensor:
    """Grey levels 0 to 255 as float32 in [0, 1], less `mean`, over `std`, by channel."""
    shift = torch.tensor(mean, device=batch.device).view(1, 3, 1, 1)
    scale = torch.tensor(std, device=batch.device).view(1, 3, 1, 1)
    return (batch.float() / 255.0 - shift) / scale
