"""Parameters move bit for bit as torch's optimiser classes move them, without torch's compiler."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from fpbench.compute.optimisers import SGD, Adam, Optimiser

SHAPES = ((), (7,), (5, 3), (4, 3, 3, 3), (300, 257))

PAIRS: dict[str, tuple[Callable[[Any], Optimiser], Callable[[Any], torch.optim.Optimizer]]] = {
    "adam": (lambda p: Adam(p, 1e-3), lambda p: torch.optim.Adam(p, 1e-3)),
    "adam, decay, betas, eps": (
        lambda p: Adam(p, 0.05, (0.8, 0.9), 1e-4, 0.1),
        lambda p: torch.optim.Adam(p, 0.05, (0.8, 0.9), 1e-4, 0.1),
    ),
    "adamw": (
        lambda p: Adam(p, 1e-2, weight_decay=0.05, decoupled=True),
        lambda p: torch.optim.AdamW(p, 1e-2, weight_decay=0.05),
    ),
    "sgd": (lambda p: SGD(p, 0.1), lambda p: torch.optim.SGD(p, 0.1)),
    "sgd, decay": (
        lambda p: SGD(p, 0.1, weight_decay=1e-3),
        lambda p: torch.optim.SGD(p, 0.1, weight_decay=1e-3),
    ),
    "sgd, momentum, decay": (
        lambda p: SGD(p, 0.1, 0.9, 1e-4),
        lambda p: torch.optim.SGD(p, 0.1, 0.9, weight_decay=1e-4),
    ),
}


def parameters(dtype: torch.dtype = torch.float32) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    made = [torch.randn(shape, generator=generator, dtype=dtype) for shape in SHAPES]
    made[3] = made[3].to(memory_format=torch.channels_last)
    return [tensor.requires_grad_() for tensor in made]


def give_gradients(step: int, *lists: list[Tensor]) -> None:
    """The same random gradients to all, none to one parameter that changes with the step."""
    generator = torch.Generator().manual_seed(100 + step)
    for number, same in enumerate(zip(*lists, strict=True)):
        gradient = torch.randn(same[0].shape, generator=generator, dtype=same[0].dtype)
        for tensor in same:
            without = number == step % 7 and step < 10
            tensor.grad = None if without else gradient.clone()


def rate(start: float, step: int) -> float:
    """Down like a cosine, then in steps, as schedules set it."""
    return start * (0.5 + 0.5 * float(torch.cos(torch.tensor(step / 20)))) * 0.2 ** (step // 25)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("name", PAIRS)
def test_updates_are_torchs_to_the_bit(name: str, dtype: torch.dtype) -> None:
    make, make_theirs = PAIRS[name]
    mine, theirs = parameters(dtype), parameters(dtype)
    ours, torchs = make(mine), make_theirs(theirs)
    start = ours.param_groups[0]["lr"]
    for step in range(60):
        give_gradients(step, mine, theirs)
        ours.param_groups[0]["lr"] = torchs.param_groups[0]["lr"] = rate(start, step)
        ours.step()
        torchs.step()
        assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))
    assert not torch.equal(mine[4], parameters(dtype)[4])


@pytest.mark.parametrize("name", PAIRS)
def test_groups_have_rates_of_their_own(name: str) -> None:
    make, make_theirs = PAIRS[name]
    mine, theirs = parameters(), parameters()
    ours, torchs = (
        of([{"params": tensors[:2]}, {"params": tensors[2:], "lr": 0.3}])
        for of, tensors in ((make, mine), (make_theirs, theirs))
    )
    for step in range(5):
        give_gradients(step, mine, theirs)
        ours.step()
        torchs.step()
    assert all(torch.equal(a, b) for a, b in zip(mine, theirs, strict=True))


@pytest.mark.parametrize("name", PAIRS)
def test_a_state_is_taken_up_and_named_as_torch_names_it(name: str) -> None:
    make, make_theirs = PAIRS[name]
    mine, theirs = parameters(), parameters()
    ours, torchs = make(mine), make_theirs(theirs)
    for step in range(4):
        give_gradients(step, mine, theirs)
        ours.step()
        torchs.step()
    state, expected = ours.state_dict(), torchs.state_dict()["state"]
    assert {k: sorted(v) for k, v in state.items()} == {
        k: sorted(v) for k, v in expected.items() if v
    }
    again = [tensor.detach().clone().requires_grad_() for tensor in mine]
    resumed = make(again)
    resumed.load_state_dict(state)
    for step in range(4, 8):
        give_gradients(step, mine, again)
        ours.step()
        resumed.step()
    assert all(torch.equal(a, b) for a, b in zip(mine, again, strict=True))


def test_zero_grad_forgets_gradients() -> None:
    tensors = parameters()
    give_gradients(20, tensors)
    SGD(tensors, 0.1).zero_grad()
    assert all(tensor.grad is None for tensor in tensors)


def test_refuses_what_it_cannot_move() -> None:
    one = torch.zeros(2, requires_grad=True)
    with pytest.raises(ValueError, match="no parameter"):
        Adam([], 0.1)
    with pytest.raises(ValueError, match="twice"):
        SGD([{"params": [one]}, {"params": [one]}], 0.1)
    with pytest.raises(ValueError, match="weight_decay"):
        SGD([{"params": [one], "weight_decay": 0.1}], 0.1)
    with pytest.raises(ValueError, match="shape"):
        Adam([one], 0.1).load_state_dict({0: {"exp_avg": torch.zeros(3)}})
    with pytest.raises(ValueError, match="more than 1"):
        Adam([one], 0.1).load_state_dict({1: {"exp_avg": torch.zeros(2)}})


def test_training_imports_no_compiler() -> None:
    """Importing torch._dynamo takes seconds, which is what this module is for."""
    program = (
        "import sys, torch\n"
        "from fpbench.compute.training import TrainingPlan, train\n"
        "net = torch.nn.Linear(3, 2)\n"
        "for kind in ('adam', 'adamw', 'sgd'):\n"
        "    plan = TrainingPlan(epochs=2, batch=4, optimiser=kind, clip=1.0, average=0.9)\n"
        "    train(net, plan, lambda b: net(torch.ones(len(b), 3)).square().mean(), examples=8)\n"
        "print('torch._dynamo' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.strip() == "False"
