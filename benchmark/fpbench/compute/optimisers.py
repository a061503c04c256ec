"""Adam, AdamW and SGD: torch's own updates, without torch's classes around them.

The first ``torch.optim.Optimizer`` of a process imports torch's compiler, which takes longer than
many a training here. The functions that those classes call for one step need no compiler, so the
lists that they take are kept here instead. Parameters move as the classes would move them, bit
for bit.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

Parameters = Iterable[Tensor] | Iterable[Mapping[str, Any]]
"""Parameters, or groups of them: dicts with ``params`` and, where it differs, ``lr``."""


class Optimiser:
    """Parameters in groups, each with a learning rate, and what is remembered of each parameter.

    Args:
        parameters: What to move: tensors, or groups as ``torch.optim`` takes them.
        lr: Learning rate of groups without one of their own.

    Attributes:
        param_groups: Dicts with ``params``, a list of tensors, and ``lr``, which may be set
            between steps.

    Raises:
        ValueError: If there is no parameter, one is given twice, or a group says something else.
    """

    def __init__(self, parameters: Parameters, lr: float) -> None:
        given: list[Any] = list(parameters)
        if given and isinstance(given[0], Tensor):
            given = [{"params": given}]
        unknown = {key for group in given for key in group} - {"params", "lr"}
        if unknown:
            raise ValueError(f"groups of parameters have no {', '.join(sorted(unknown))}")
        self.param_groups: list[dict[str, Any]] = [
            {"lr": lr, **group, "params": list(group["params"])} for group in given
        ]
        self._parameters: list[Tensor] = [p for g in self.param_groups for p in g["params"]]
        if not self._parameters:
            raise ValueError("there is no parameter to optimise")
        if len({id(p) for p in self._parameters}) < len(self._parameters):
            raise ValueError("a parameter is given to the optimiser twice")
        self._state: dict[Tensor, dict[str, Tensor]] = defaultdict(dict)

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self._parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Move every parameter that has a gradient."""
        for group in self.param_groups:
            moved = [p for p in group["params"] if p.grad is not None]
            if moved:
                self._move(moved, [p.grad for p in moved], float(group["lr"]))

    def _move(self, parameters: list[Tensor], gradients: list[Tensor], lr: float) -> None:
        """Move parameters of one group in place."""
        raise NotImplementedError

    def state_dict(self) -> dict[int, dict[str, Tensor]]:
        """What is remembered: number of a parameter to names, as in ``torch.optim``, to tensors."""
        return {
            number: dict(self._state[parameter])
            for number, parameter in enumerate(self._parameters)
            if parameter in self._state
        }

    def load_state_dict(self, state: Mapping[int, Mapping[str, Tensor]]) -> None:
        """Take up what `state_dict` gave.

        Raises:
            ValueError: If it is of other parameters.
        """
        if not all(0 <= number < len(self._parameters) for number in state):
            raise ValueError(f"a state of more than {len(self._parameters)} parameters")
        self._state.clear()
        for number, slots in state.items():
            parameter = self._parameters[number]
            for name, value in slots.items():
                kept = value if name == "step" else value.to(parameter.device, parameter.dtype)
                if name != "step" and kept.shape != parameter.shape:
                    raise ValueError(
                        f"{name} of parameter {number} has shape {tuple(kept.shape)}, "
                        f"not {tuple(parameter.shape)}"
                    )
                self._state[parameter][name] = kept.clone()


class Adam(Optimiser):
    """Adam (Kingma & Ba, 2015), or AdamW (Loshchilov & Hutter, 2019) if `decoupled`.

    Args:
        parameters: What to move.
        lr: Learning rate.
        betas: Decay rates of the moments.
        eps: Added to the root of the second moment.
        weight_decay: Part of the gradient, or if `decoupled` of the step.
        decoupled: Whether this is AdamW.
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: float,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        *,
        decoupled: bool = False,
    ) -> None:
        super().__init__(parameters, lr)
        self._betas, self._eps, self._weight_decay = betas, eps, weight_decay
        self._update = adamw if decoupled else adam

    def _move(self, parameters: list[Tensor], gradients: list[Tensor], lr: float) -> None:
        states = [self._state[p] for p in parameters]
        for parameter, state in zip(parameters, states, strict=True):
            if not state:
                double = torch.get_default_dtype() == torch.float64
                state["step"] = torch.zeros((), dtype=torch.float64 if double else torch.float32)
                state["exp_avg"] = torch.zeros_like(parameter)
                state["exp_avg_sq"] = torch.zeros_like(parameter)
        self._update(
            parameters,
            gradients,
            [state["exp_avg"] for state in states],
            [state["exp_avg_sq"] for state in states],
            [],
            [state["step"] for state in states],
            amsgrad=False,
            beta1=self._betas[0],
            beta2=self._betas[1],
            lr=lr,
            weight_decay=self._weight_decay,
            eps=self._eps,
            maximize=False,
        )


class SGD(Optimiser):
    """Stochastic gradient descent, with momentum as torch defines it.

    Args:
        parameters: What to move.
        lr: Learning rate.
        momentum: Decay rate of the running gradient, or 0 for none.
        weight_decay: Part of the gradient.
    """

    def __init__(
        self,
        parameters: Parameters,
        lr: float,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(parameters, lr)
        self._momentum, self._weight_decay = momentum, weight_decay

    def _move(self, parameters: list[Tensor], gradients: list[Tensor], lr: float) -> None:
        buffers: list[Tensor | None] = [None] * len(parameters)
        if self._momentum != 0:
            buffers = [self._state[p].get("momentum_buffer") for p in parameters]
        sgd(
            parameters,
            gradients,
            buffers,
            weight_decay=self._weight_decay,
            momentum=self._momentum,
            lr=lr,
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )
        for parameter, buffer in zip(parameters, buffers, strict=True):
            if buffer is not None:
                self._state[parameter]["momentum_buffer"] = buffer
