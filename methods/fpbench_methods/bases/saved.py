"""The base of methods that are saved: what they were built with, their arrays and JSON facts."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from fpbench.errors import BadInput
from fpbench.images import Source
from fpbench.method import Method
from fpbench_methods.bases.state import load_state, save_state

if TYPE_CHECKING:
    from numpy.typing import NDArray

Arrays = dict[str, "NDArray[Any]"]
Facts = dict[str, Any]
_Part = TypeVar("_Part")


class SavedMethod(Method):
    """A method that is saved as its constructor's arguments, named arrays and JSON facts.

    A subclass gives `state` and `restore`, and sets ``self._sources`` in `fit`.
    """

    _device: str = "cpu"
    _sources: tuple[Source, ...] = ()

    @abstractmethod
    def state(self) -> tuple[Arrays, Facts]:
        """Arrays and facts from which `restore` makes the fitted method again.

        Raises:
            ValueError: If the method is not fitted.
        """

    @abstractmethod
    def restore(self, arrays: Arrays, facts: Facts) -> None:
        """Take back what `state` gave; arguments and sources are set, the device is the CPU."""

    @classmethod
    def upgraded(cls, arrays: Arrays, facts: Facts) -> tuple[Arrays, Facts]:
        """What an earlier version saved, as this one does; its arguments are ``params``."""
        return arrays, facts

    def fitted(self, part: _Part | None) -> _Part:
        """A part of the method that `fit` makes.

        Raises:
            ValueError: If it is not there, because the method is not fitted.
        """
        if part is None:
            raise ValueError(f"{self.card.name} is not fitted; call fit first")
        return part

    def save(self, folder: Path) -> None:
        """Write arguments, arrays and facts into `folder`."""
        arrays, facts = self.state()
        document = {"class": type(self).__name__, "params": dict(self.arguments), **facts}
        save_state(folder, self.card.name, arrays, document, self._sources)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote; runs on the CPU.

        Raises:
            BadInput: If `folder` holds no saved method, or one of another class.
        """
        arrays, facts, sources = load_state(folder, cls.card.name)
        arrays, facts = cls.upgraded(arrays, facts)
        kept = facts.get("class", cls.__name__)
        if kept != cls.__name__:
            raise BadInput(f"{folder} holds a {kept}; load it by {kept}.load, not {cls.__name__}.")
        method = cls(**facts.get("params", {}))
        method._sources = sources
        method.restore(arrays, facts)
        return method


def under(prefix: str, arrays: Arrays) -> Arrays:
    """The arrays whose names begin with `prefix`, without it."""
    return {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}


def prefixed(prefix: str, arrays: Arrays) -> Arrays:
    """The same arrays with `prefix` before each name."""
    return {f"{prefix}{name}": value for name, value in arrays.items()}
