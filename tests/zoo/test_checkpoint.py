"""Checkpoints are whole or absent, and never pickle."""

import json
import os
import struct

import pytest
import torch

from fpbench.errors import BadInput
from fpbench.files import CannotWrite
from fpbench.zoo import checkpoint

TENSORS = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(True)}


def test_what_is_written_is_read(tmp_path):
    path = tmp_path / "new" / "model.safetensors"
    checkpoint.write(path, TENSORS, {"steps": 3, "name": "β"})
    tensors, facts = checkpoint.read(path)
    assert facts == {"steps": 3, "name": "β"} == checkpoint.read_facts(path)
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_the_file_is_plain_safetensors(tmp_path):
    path = tmp_path / "model.safetensors"
    checkpoint.write(path, TENSORS, {"steps": 3})
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    assert header["__metadata__"]["format"] == checkpoint.FORMAT
    assert header["a"]["shape"] == [2, 3] and header["a"]["dtype"] == "F32"


def test_a_write_that_fails_halfway_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.safetensors"
    checkpoint.write(path, TENSORS, {"steps": 1})

    def full_disk(descriptor):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(CannotWrite, match="no space"):
        checkpoint.write(path, TENSORS, {"steps": 2})
    assert checkpoint.read_facts(path) == {"steps": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("kept", [0, 7, 40, -1])
def test_a_cut_file_is_refused_by_name(tmp_path, kept):
    path = tmp_path / "model.safetensors"
    checkpoint.write(path, TENSORS, {"steps": 1})
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(BadInput, match=r"model\.safetensors is no readable checkpoint"):
        checkpoint.read(path)


def test_a_foreign_safetensors_file_is_refused(tmp_path):
    from safetensors.torch import save_file

    path = tmp_path / "other.safetensors"
    save_file({"a": torch.ones(1)}, path)
    with pytest.raises(BadInput, match="no checkpoint of format"):
        checkpoint.read(path)


def test_adam_goes_on_as_if_never_stopped():
    def problem():
        torch.manual_seed(0)
        layer = torch.nn.Linear(3, 2)
        return layer, torch.optim.Adam(layer.parameters(), lr=0.1)

    def step(layer, optimiser, index):
        optimiser.zero_grad()
        layer(torch.full((1, 3), float(index))).square().sum().backward()
        optimiser.step()

    straight, optimiser = problem()
    for index in range(4):
        step(straight, optimiser, index)
        if index == 1:
            packed = checkpoint.pack_optimiser("o", optimiser) | checkpoint.pack_module(
                "m", straight
            )
            packed = {name: tensor.clone() for name, tensor in packed.items()}
    resumed, optimiser = problem()
    checkpoint.unpack_module("m", resumed, packed)
    checkpoint.unpack_optimiser("o", optimiser, packed)
    for index in (2, 3):
        step(resumed, optimiser, index)
    assert torch.equal(resumed.weight, straight.weight)
