"""The registry: names of mechanisms, their options, and how they are built."""

import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import flax.linen as nn
import jax.numpy as jnp

from chanattn.errors import UsageError, did_you_mean

PLACEMENTS: dict[str, str] = {
    "post": "on the residual branch, after its last norm, before the sum",
    "pre": "on the block's input, residual branch only",
    "after_sum": "after the sum and its activation",
    "identity": "on the shortcut",
    "mid": "after the first 3x3 convolution, its norm and activation",
    "pre_norm": "between the second convolution and its norm",
    "pre_conv": "before every convolution of the branch",
    "stage_end": "after the last block of a stage",
    "head": "on the last feature map, before pooling",
    "conv": "in place of the first 3x3 convolution, its norm and activation",
}
"""Where a mechanism can sit. Mechanisms of the `conv` slot have the placement `conv` and no other."""

# What a block gives to a mechanism, as against what a user chooses.
_CONTEXT = ("filters", "stride", "groups", "dtype", "param_dtype", "parent", "name")


@dataclass(frozen=True)
class Option:
    """One option of a mechanism: the type of its values and its default (None: decided by the mechanism)."""

    kind: type
    default: Any


@dataclass(frozen=True)
class Mechanism:
    """What is known of a mechanism without building it.

    Attributes:
        name: As registered.
        slot: "gate" (shape-preserving, x -> x) or "conv" (replaces a 3x3 convolution with its norm and
            activation).
        placement: Default place in a block, a key of `PLACEMENTS`.
        options: What `create` accepts for it.
        citation: Authors, venue, arXiv number.
        summary: First line of its documentation.
        build: The module class or function behind `create`.
    """

    name: str
    slot: str
    placement: str
    options: Mapping[str, Option]
    citation: str
    summary: str
    build: Callable[..., nn.Module]


_MECHANISMS: dict[str, Mechanism] = {}

_Builder = TypeVar("_Builder", bound=Callable[..., nn.Module])


def register(
    name: str, *, citation: str, slot: str = "gate", placement: str = "post"
) -> Callable[[_Builder], _Builder]:
    """Decorator: make a module class, or a function that returns a module, known under `name`.

    Its keyword arguments are the options; `filters`, `stride`, `groups`, `dtype` and `param_dtype` come
    from the block. A function also passes `**module` on (the module's `name` and `parent` in a network).
    """
    if placement not in PLACEMENTS or (placement == "conv") != (slot == "conv"):
        raise ValueError(f"{name}: placement {placement!r} does not fit the slot {slot!r}")

    def decorate(build: _Builder) -> _Builder:
        if name in _MECHANISMS:
            raise ValueError(f"mechanism {name!r} is registered twice")
        summary = inspect.getdoc(build) or ""
        _MECHANISMS[name] = Mechanism(
            name=name,
            slot=slot,
            placement=placement,
            options=types.MappingProxyType(_options_of(build)),
            citation=citation,
            summary=summary.partition("\n")[0],
            build=build,
        )
        return build

    return decorate


def _options_of(build: Callable[..., nn.Module]) -> dict[str, Option]:
    hints = typing.get_type_hints(build if not inspect.isclass(build) else build.__init__)
    return {
        name: Option(_plain_type(hints[name]), parameter.default)
        for name, parameter in inspect.signature(build).parameters.items()
        if name not in _CONTEXT and parameter.kind is not parameter.VAR_KEYWORD
    }


def _plain_type(hint: Any) -> type:
    """`int` of `int | None`, `tuple` of `tuple[int, ...]`: what a config field can hold."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        (hint,) = [part for part in typing.get_args(hint) if part is not type(None)]
    return typing.get_origin(hint) or hint


def names() -> list[str]:
    """All registered names, sorted."""
    return sorted(_MECHANISMS)


def describe(name: str) -> Mechanism:
    """What is known of a mechanism.

    Raises:
        UsageError: There is none of that name.
    """
    if name not in _MECHANISMS:
        raise UsageError(
            f"unknown attention {name!r}; valid: {', '.join(names())}.{did_you_mean(name, names())}"
        )
    return _MECHANISMS[name]


def options() -> dict[str, type]:
    """Every option that any mechanism takes, with its type; one name has one type throughout."""
    union: dict[str, type] = {}
    for name in names():
        for option, spec in _MECHANISMS[name].options.items():
            if union.setdefault(option, spec.kind) is not spec.kind:
                raise TypeError(f"{name}: option {option!r} has two types among the mechanisms")
    return dict(sorted(union.items()))


def check_options(name: str, given: Mapping[str, Any]) -> None:
    """Check names and types of options.

    Raises:
        UsageError: The mechanism is unknown, does not take an option, or takes it of another type.
    """
    known = describe(name).options
    for option, value in given.items():
        if option not in known:
            takes = f"it takes: {', '.join(known)}" if known else "it takes none"
            raise UsageError(
                f"attention {name!r} takes no option {option!r}; {takes}."
                f"{did_you_mean(option, list(known))}"
            )
        kind = known[option].kind
        fits = isinstance(value, int | float) if kind is float else isinstance(value, kind)
        if (isinstance(value, bool) and kind is not bool) or not (fits or value is None):
            raise UsageError(
                f"attention {name!r}: option {option!r} must be of type {kind.__name__}, not {value!r}"
            )


def create(name: str, /, *, param_dtype: Any = jnp.float32, **given: Any) -> nn.Module:
    """Build a mechanism, e.g. `create("se", reduction=8)`.

    A mechanism of the gate slot is called as `module(x, condition=None, train=False)` and keeps the shape
    (N, H, W, C). One of the conv slot is built with `filters`, `stride`, `groups` and `dtype` as well and
    maps (N, H, W, I) to (N, H', W', filters). An option that is None takes the mechanism's default. Inside
    another module's compact method, `name="..."` names the submodule, as usual in Flax.

    Raises:
        UsageError: Unknown name or option, or a value that does not fit.
    """
    mechanism = describe(name)
    accepted = {*inspect.signature(mechanism.build).parameters, "name", "parent"}
    context = {k: given.pop(k) for k in _CONTEXT if k in given} | {"param_dtype": param_dtype}
    chosen = {option: value for option, value in given.items() if value is not None}
    check_options(name, chosen)
    return mechanism.build(**chosen, **{k: v for k, v in context.items() if k in accepted})
