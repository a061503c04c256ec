"""Parameters of a method: what its constructor's annotations and defaults say of them.

A plugin imports `Range` and `File` from `fpbench.method`.
"""

from __future__ import annotations

import inspect
import json
import os
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from annotated_types import BaseMetadata, Ge, GroupedMetadata, Gt, Le

from fpbench.errors import BadInput

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_NOTHING = ("none", "null")
_LONGEST = 60  # characters of a value in a message


@dataclass(frozen=True)
class Range(GroupedMetadata):
    """The numbers that a parameter takes, as ``Annotated[int, Range(1, 64)]``.

    Attributes:
        least: The smallest, or None.
        most: The largest, or None.
        above: What every number is larger than, or None.

    >>> str(Range(1, 64)), str(Range(above=0)), str(Range(above=0, most=1))
    ('from 1 to 64', 'above 0', 'above 0 and at most 1')
    """

    least: float | None = None
    most: float | None = None
    above: float | None = None

    def __iter__(self) -> Iterator[BaseMetadata]:
        if self.least is not None:
            yield Ge(self.least)
        if self.above is not None:
            yield Gt(self.above)
        if self.most is not None:
            yield Le(self.most)

    def __str__(self) -> str:
        if self.least is not None and self.most is not None and self.above is None:
            return f"from {self.least:.12g} to {self.most:.12g}"
        bounds = (("at least", self.least), ("above", self.above), ("at most", self.most))
        return " and ".join(f"{word} {bound:.12g}" for word, bound in bounds if bound is not None)


@dataclass(frozen=True)
class File:
    """Marks a parameter that names a file, as ``Annotated[str | None, File()]``.

    A parameter annotated as `pathlib.Path` names one without it.
    """


@dataclass(frozen=True)
class Parameter:
    """One keyword-only argument of a constructor.

    Attributes:
        name: Its name.
        annotation: What it may be; `Any` where nothing is known. A parameter without annotation
            has the type of its default.
        default: What it is unless set; None where it must be set.
        required: Whether it must be set.
    """

    name: str
    annotation: Any
    default: Any = None
    required: bool = False

    @property
    def allowed(self) -> str:
        """What it may be, e.g. ``a whole number from 1 to 64, or none``."""
        return described(self.annotation)

    @property
    def is_file(self) -> bool:
        """Whether its value names a file."""
        return any(part is Path or isinstance(part, File) for part in _parts(self.annotation))

    def read(self, value: Any) -> Any:
        """A text or JSON value as the JSON value of the declared type.

        >>> Parameter("camera", bool).read("False"), Parameter("sigma", float).read(3)
        (False, 3.0)

        Raises:
            BadInput: If it is of another type, out of range, infinite or not a number.
        """
        converted = self._validated(value, strict=False)
        try:
            found = json.loads(json.dumps(self._adapter.dump_python(converted, mode="json"),
                                          allow_nan=False))  # fmt: skip
        except ValueError as error:  # what pydantic cannot write, too
            raise self._refusal(value) from error
        return found

    def argument(self, value: Any) -> Any:
        """A text or JSON value as what the constructor is given, e.g. a `Path`.

        Raises:
            BadInput: As `read`.
        """
        return self._validated(value, strict=False)

    def check(self, value: Any) -> Any:
        """Check a value that is given to the constructor in Python, where ``"3"`` is no number.

        Returns:
            The value; a NumPy scalar and a path as the plain Python value.

        Raises:
            BadInput: As `read`.
        """
        plain = value
        if getattr(value, "ndim", None) == 0 and hasattr(value, "item"):
            plain = value.item()
        if self.is_file and isinstance(value, os.PathLike):
            plain = os.fspath(value)
        self._validated(plain, strict=not self.is_file)
        return plain

    def is_default(self, value: Any, default: Any) -> bool:
        """Whether a value that `read` returned is what `default` is written as."""
        try:
            return bool(self.read(default) == value)
        except BadInput:
            return False

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        from pydantic import ConfigDict, PydanticUserError, TypeAdapter

        # Constants, which JSON refuses below, where pydantic would write null for infinity.
        config = ConfigDict(allow_inf_nan=False, ser_json_inf_nan="constants")
        try:
            return TypeAdapter(self.annotation, config=config)
        # A class of the plugin's own, of which nothing can be known from outside.
        except PydanticUserError:
            return TypeAdapter(Any, config=config)

    def _validated(self, value: Any, *, strict: bool) -> Any:
        from pydantic import ValidationError

        candidates = [value]
        if isinstance(value, str) and not strict:
            if value.strip().lower() in _NOTHING:
                candidates.insert(0, None)
            candidates += _from_json(value)
        for candidate in candidates:
            # True is no number here, though it is one in Python.
            exact = strict or isinstance(candidate, bool)
            try:
                return self._adapter.validate_python(candidate, strict=exact)
            except ValidationError:
                continue
        raise self._refusal(value)

    def _refusal(self, value: Any) -> BadInput:
        text = repr(value)
        if len(text) > _LONGEST:
            text = f"{text[:_LONGEST]}…"
        return BadInput(f"{self.name}={text} is not possible; {self.name} is {self.allowed}.")


def _from_json(text: str) -> list[Any]:
    try:
        return [json.loads(text)]
    except (ValueError, RecursionError):
        return []


def declared(cls: type) -> dict[str, Parameter]:
    """The keyword-only arguments of a class's constructor, by name.

    Where it takes ``**others``, those of the base that it hands them to are among them.
    """
    found: dict[str, Parameter] = {}
    for base in cls.__mro__:
        init = vars(base).get("__init__")
        if not inspect.isfunction(init):
            continue
        hints = _hints(init)
        arguments = inspect.signature(init).parameters
        for name, argument in arguments.items():
            if argument.kind is inspect.Parameter.KEYWORD_ONLY and name not in found:
                required = argument.default is inspect.Parameter.empty
                default = None if required else argument.default
                unknown = Any if default is None else type(default)
                found[name] = Parameter(name, hints.get(name, unknown), default, required)
        if all(a.kind is not inspect.Parameter.VAR_KEYWORD for a in arguments.values()):
            break
    return found


def _hints(init: Callable[..., Any]) -> dict[str, Any]:
    """Annotations by name, without those that name what is not there at run time."""
    hints: dict[str, Any] = {}
    scope = getattr(inspect.unwrap(init), "__globals__", {})
    for name, annotation in inspect.get_annotations(inspect.unwrap(init)).items():
        alone = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            hints |= get_type_hints(alone, globalns=scope, include_extras=True)
        # An annotation is an expression of the plugin, which may raise anything.
        except Exception:  # noqa: S112
            continue
    return hints


def _parts(annotation: Any) -> Iterator[Any]:
    """An annotation and everything inside it."""
    yield annotation
    if get_origin(annotation) is Annotated:
        yield from annotation.__metadata__
    if get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from _parts(part)


_PLAIN: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "a text",
    Path: "a file",
    types.NoneType: "none",
}


def described(annotation: Any) -> str:
    """What values an annotation allows, in words.

    >>> described(Annotated[int | None, Range(1, 64)]), described(Literal["sum", "mean"])
    ('a whole number from 1 to 64, or none', 'sum or mean')
    """
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        if any(isinstance(mark, File) for mark in annotation.__metadata__):
            return _either(["a file" if t is str else described(t) for t in _members(parts[0])])
        bounds = [str(mark) for mark in annotation.__metadata__ if isinstance(mark, Range)]
        return _either([
            " ".join([described(t), *bounds]) if t in (int, float) else described(t)
            for t in _members(parts[0])
        ])  # fmt: skip
    if origin is Literal:
        return _either([str(choice) for choice in parts])
    if origin in (Union, types.UnionType):
        return _either([described(part) for part in parts])
    if origin in (list, tuple, set) or annotation in (list, tuple, set):
        return "a list"
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return _either([str(member.value) for member in annotation])
    if annotation is Any:
        return "a finite value"
    return _PLAIN.get(annotation, getattr(annotation, "__name__", str(annotation)))


def _members(annotation: Any) -> tuple[Any, ...]:
    """The alternatives of a union; what is no union is its own."""
    union = get_origin(annotation) in (Union, types.UnionType)
    return get_args(annotation) if union else (annotation,)


def _either(texts: list[str]) -> str:
    """``a``, ``a or b``, ``a, b or c``; with a comma before the last where one holds ``and``."""
    if len(texts) == 1:
        return texts[0]
    comma = "," if len(texts) == 2 and " " in texts[0] else ""
    return f"{', '.join(texts[:-1])}{comma} or {texts[-1]}"
