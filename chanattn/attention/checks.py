"""Checks of a mechanism's options: that each has its type, and that none is without effect beside another."""

import dataclasses
import functools
import numbers
import types
import typing
from collections.abc import Mapping
from typing import Any

from chanattn.errors import UsageError

KINDS = (bool, int, float, str, tuple)
"""Types of options, which a config can hold."""

OVERRIDES = {
    "width": ("reduction", "rounding", "divisor", "min_width", "reduce_from"),
    "group_width": ("groups",),
    "kernel_size": ("gamma", "b"),
}
"""What says the same as others do by a rule: given together, one of them would not count."""


def fits(value: Any, kind: type) -> bool:
    """Whether a value is of one of `KINDS`; a bool is no number, and a whole number will do for a float."""
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is float:
        return isinstance(value, numbers.Real)
    return isinstance(value, numbers.Integral if kind is int else kind)


def parts(hint: Any) -> tuple[Any, ...]:
    """`int`, `NoneType` of `int | None`; `tuple` of `tuple[int, ...]`."""
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    members = typing.get_args(hint) if union else (hint,)
    return tuple(typing.get_origin(member) or member for member in members)


@functools.cache
def _options(cls: type) -> Mapping[str, tuple[tuple[type, ...], Any]]:
    """Fields of the types of `KINDS` alone, with these and the default; None is allowed where it is one."""
    hints = typing.get_type_hints(cls)
    found = {}
    for field in dataclasses.fields(cls):
        kinds = parts(hints[field.name])
        plain = tuple(kind for kind in kinds if kind in KINDS)
        if field.init and plain and set(kinds) <= {*KINDS, type(None)}:
            found[field.name] = (
                plain + ((type(None),) if type(None) in kinds else ()),
                field.default,
            )
    return found


def check(module: Any) -> None:
    """Check the fields of a mechanism.

    Raises:
        UsageError: One is of another type than it is declared with, or leaves another without effect.
    """
    cls: type = type(module)
    owner, options = cls.__name__, _options(cls)
    for name, (kinds, _) in options.items():
        value = getattr(module, name)
        if value is None and type(None) in kinds:
            continue
        if not any(fits(value, kind) for kind in kinds):
            told = " or ".join(kind.__name__ for kind in kinds if kind is not type(None))
            raise UsageError(f"{owner}: option {name!r} must be of type {told}, not {value!r}")
    for name, others in OVERRIDES.items():
        if name not in options or getattr(module, name) == options[name][1]:
            continue
        for other in others:
            if other in options and getattr(module, other) != options[other][1]:
                raise UsageError(
                    f"{owner}: {name}={getattr(module, name)} leaves nothing to say to"
                    f" {other}={getattr(module, other)!r}; give one of them"
                )
