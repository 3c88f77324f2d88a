"""The registry: names of mechanisms, and how they are built."""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import flax.linen as nn
import jax.numpy as jnp

from chanattn.attention import gate as gates
from chanattn.attention import start as starts
from chanattn.attention.mechanism import PLACEMENTS, Mechanism, Option
from chanattn.errors import UsageError, did_you_mean

# What a block gives to a mechanism, as against what a user chooses; what a builder does not take is dropped.
_CONTEXT = {
    "gate": ("block_input", "num_classes", "param_dtype", "parent", "name"),
    "conv": (
        "filters",
        "stride",
        "groups",
        "num_classes",
        "dtype",
        "param_dtype",
        "parent",
        "name",
    ),
}


# What says the same as others do by a rule: given together, one of them would not count.
_OVERRIDES = {
    "width": ("reduction", "rounding", "divisor", "min_width", "reduce_from"),
    "group_width": ("groups",),
    "kernel_size": ("gamma", "b"),
}

_MECHANISMS: dict[str, Mechanism] = {}

_Builder = TypeVar("_Builder", bound=Callable[..., nn.Module])


def register(
    name: str,
    *,
    citation: str,
    year: int = 0,
    slot: str = "gate",
    placement: str = "post",
    axes: tuple[str, str, str] = ("", "", ""),
    order_matters: bool = False,
    identity_at_init: bool = False,
    identity_if: Callable[[Any], bool] | None = None,
    shared: bool = False,
) -> Callable[[_Builder], _Builder]:
    """Decorator: make a module class, or a function that returns a module, known under `name`.

    Its keyword arguments are the options. What comes from the block is none: `param_dtype`, the network's
    `num_classes`, `block_input` (channels of the block's input), and in the conv slot `filters`, `stride`,
    `groups` and `dtype`. A function also passes `**module` on (the module's `name` and `parent`).
    A mechanism with the option `gate` takes those of the gate as well. The line "Parameters: FORMULA" of its
    documentation is what `describe` tells. The other arguments are the fields of `Mechanism`;
    `identity_if` is needed where `identity_at_init` depends on options.
    """

    def decorate(build: _Builder) -> _Builder:
        _add(
            Mechanism(
                name=name,
                slot=slot,
                placement=placement,
                options=types.MappingProxyType(_options_of(build, slot)),
                axes=axes,
                order_matters=order_matters,
                identity_at_init=identity_at_init,
                identity_if=identity_if or (lambda module: identity_at_init),
                shared=shared,
                year=year,
                citation=citation,
                build=build,
                summary=_summary(inspect.getdoc(build)),
                parameters=_formula(inspect.getdoc(build)),
            )
        )
        return build

    return decorate


def preset(
    name: str,
    base: Callable[..., nn.Module],
    documentation: str,
    *,
    citation: str,
    year: int,
    axes: tuple[str, str, str],
    fixed: Mapping[str, Any] = types.MappingProxyType({}),
    defaults: Mapping[str, Any] = types.MappingProxyType({}),
    **facts: Any,
) -> None:
    """Make a registered mechanism known under a second name that stands for some of its options.

    Args:
        name: The new name.
        base: What builds the mechanism, registered before.
        documentation: As the docstring of a mechanism: a summary line, and a line "Parameters: FORMULA".
        fixed: Options that the name stands for, and that it does not take. With a fixed `gate`, of the
            options of gates those of that gate alone are left.
        citation: As for `register`; so are the rest.
        year: Of the citation.
        axes: Squeeze, mix and gate, in words.
        defaults: Options with another default under this name.
        **facts: Fields of `Mechanism` that differ from those of `base`.
    """
    (mechanism,) = (
        m for m in _MECHANISMS.values() if m.build is base and not (m.fixed or m.defaults)
    )
    options = {k: v for k, v in mechanism.options.items() if k not in fixed}
    if "gate" in fixed:
        options = {k: v for k, v in options.items() if k not in gates.OPTIONS}
        for option, default in gates.options_of(fixed["gate"]).items():
            options[option] = Option(gates.OPTIONS[option], default)
    for option, default in defaults.items():
        options[option] = Option(options[option].kind, default)
    _add(
        dataclasses.replace(
            mechanism,
            name=name,
            options=types.MappingProxyType(options),
            fixed=dict(fixed),
            defaults=dict(defaults),
            citation=citation,
            year=year,
            axes=axes,
            **facts,
            summary=_summary(inspect.cleandoc(documentation)),
            parameters=_formula(documentation),
        )
    )


def _add(mechanism: Mechanism) -> None:
    slot, placement = mechanism.slot, mechanism.placement
    if placement not in PLACEMENTS or (placement == "conv") != (slot == "conv"):
        raise ValueError(
            f"{mechanism.name}: placement {placement!r} does not fit the slot {slot!r}"
        )
    if mechanism.name in _MECHANISMS:
        raise ValueError(f"mechanism {mechanism.name!r} is registered twice")
    _MECHANISMS[mechanism.name] = mechanism


def _summary(documentation: str | None) -> str:
    return (documentation or "").partition("\n")[0]


def _formula(documentation: str | None) -> str:
    match = re.search(r"^\s*Parameters: (.*)$", documentation or "", re.MULTILINE)
    return match[1] if match else ""


def _options_of(build: Callable[..., nn.Module], slot: str) -> dict[str, Option]:
    hints = typing.get_type_hints(build if not inspect.isclass(build) else build.__init__)
    own = {
        name: Option(_plain_type(hints[name]), parameter.default)
        for name, parameter in inspect.signature(build).parameters.items()
        if name not in _CONTEXT[slot] and parameter.kind is not parameter.VAR_KEYWORD
    }
    # None stands for the default of the gate that is chosen.
    of_gate = gates.OPTIONS if "gate" in own else {}
    return own | {name: Option(kind, None) for name, kind in of_gate.items() if name not in own}


def _plain_type(hint: Any) -> type:
    """`int` of `int | None`, `str` of `str | Gate`, `tuple` of `tuple[int, ...]`: what a config can hold."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        (hint,) = [part for part in typing.get_args(hint) if part not in (type(None), gates.Gate)]
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


def overridden(given: Mapping[str, Any]) -> set[str]:
    """Names of the options that would not count beside those that are given."""
    replaced = [others for option, others in _OVERRIDES.items() if given.get(option) is not None]
    return {option for others in replaced for option in others}


def check_options(name: str, given: Mapping[str, Any]) -> None:
    """Check names and types of options.

    Raises:
        UsageError: The mechanism is unknown, does not take an option, takes it of another type, or would not
            look at one because of another.
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
        fits = fits or (option == "gate" and isinstance(value, gates.Gate))
        if (isinstance(value, bool) and kind is not bool) or not (fits or value is None):
            raise UsageError(
                f"attention {name!r}: option {option!r} must be of type {kind.__name__}, not {value!r}"
            )
    for option in sorted(overridden(given)):
        if given.get(option) is not None:
            (other,) = (o for o in _OVERRIDES if option in _OVERRIDES[o])
            raise UsageError(
                f"attention {name!r}: {other}={given[other]} leaves nothing to say to"
                f" {option}={given[option]!r}; give one of them"
            )


def extra_losses(name: str, given: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the losses that a mechanism with these options adds to the task's own.

    `rate`: the penalty of a gate, sown in the collection `losses`. `presence`: logits of what the picture
    contains, sown in `presence`, of which the task makes a loss.
    """
    context: dict[str, Any] = {"filters": 1} if describe(name).slot == "conv" else {}
    module = create(name, parent=None, **given, **context)
    gate = getattr(module, "gate", None)
    losses = ("rate",) if isinstance(gate, gates.Gate) and gate.has_penalty else ()
    return (*losses, "presence") if getattr(module, "se_loss", False) else losses


def create(
    name: str, /, *, param_dtype: Any = jnp.float32, start: str = "", **given: Any
) -> nn.Module:
    """Build a mechanism, e.g. `create("se", reduction=8)`.

    A mechanism of the gate slot is called as `module(x, condition=None, train=False)` and keeps the shape
    (N, H, W, C). One of the conv slot is built with `filters`, `stride`, `groups` and `dtype` as well and
    maps (N, H, W, I) to (N, H', W', filters). Gates that draw noise need the random stream `dropout` in
    training. An option that is None takes the mechanism's default. Inside
    another module's compact method, `name="..."` names the submodule, as usual in Flax.

    `start="identity"` makes a mechanism of the gate slot start as the identity (`attention.start`): it is
    left as it is where its own initialisation does that already, and gets a residual weight elsewhere.

    Raises:
        UsageError: Unknown name or option, a value that does not fit, or a start that it cannot have.
    """
    mechanism = describe(name)
    starts.check(mechanism, start)
    accepted = {*inspect.signature(mechanism.build).parameters, "name", "parent"}
    names_of_context = _CONTEXT[mechanism.slot]
    context = {k: given.pop(k) for k in names_of_context if k in given} | {
        "param_dtype": param_dtype
    }
    chosen = {option: value for option, value in given.items() if value is not None}
    check_options(name, chosen)
    chosen = dict(mechanism.fixed) | dict(mechanism.defaults) | chosen
    if mechanism.slot == "conv" and "filters" not in context:
        raise UsageError(
            f"attention {name!r} stands in place of a convolution: it needs filters=..."
        )
    if "gate" in accepted:
        of_gate = {k: chosen.pop(k) for k in gates.OPTIONS if k in chosen and k not in accepted}
        default = inspect.signature(mechanism.build).parameters["gate"].default
        chosen["gate"] = gates.get(chosen.get("gate", default), **of_gate)
    context = {k: v for k, v in context.items() if k in accepted}
    if start:
        outside = {k: v for k, v in context.items() if k in ("name", "parent")}
        module = mechanism.build(**chosen, **context | {"name": None, "parent": None})
        if not mechanism.identity_if(module):
            return starts.FromIdentity(module, param_dtype=param_dtype, **outside)
    return mechanism.build(**chosen, **context)
