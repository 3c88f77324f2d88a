"""The registry: names of mechanisms, and how they are built by name."""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import flax.linen as nn

from chanattn.attention import start as starts
from chanattn.attention.checks import KINDS, OVERRIDES, fits, parts
from chanattn.attention.functional import gate as gates
from chanattn.attention.mechanism import PLACEMENTS, Mechanism, Option
from chanattn.errors import UsageError, did_you_mean

# What a block gives to a mechanism, as against what a user chooses; what one has no field for is dropped.
_CONTEXT = {
    "gate": ("block_input", "num_classes", "dtype", "param_dtype", "parent", "name"),
    "conv": (
        *("filters", "stride", "groups", "num_classes"),
        *("dtype", "param_dtype", "parent", "name"),
    ),
}

# Fields of `model.attention` in a config that are no options.
_OF_THE_CONFIG = ("placement", "stages", "start")

_NAME = re.compile(r"[a-z][a-z0-9_]*")

_MECHANISMS: dict[str, Mechanism] = {}

_Module = TypeVar("_Module", bound=type[nn.Module])


def register(
    name: str,
    *,
    citation: str,
    year: int = 0,
    slot: str = "gate",
    placement: str = "",
    axes: tuple[str, str, str] = ("", "", ""),
    parameters: str = "",
    order_matters: bool = False,
    identity_at_init: bool = False,
    identity_if: Callable[[Any], bool] | None = None,
    shared: bool = False,
) -> Callable[[_Module], _Module]:
    """Decorator: make a class of Flax modules known under `name`, here or in a package of your own.

        @attention.register("mine", citation="none yet")
        class Mine(attention.Attention):
            strength: float = 1.0

            @nn.compact
            def __call__(self, x, train=False): ...

    Its fields are the options, of the types bool, int, float, str or a tuple, each with a default. What comes
    from the network is none: `param_dtype`, `dtype`, `num_classes`, `block_input` (channels of the block's
    input), and in the conv slot `filters`, `stride` and `groups`. A field that is no argument of the class
    (`field(default=..., init=False)`) is a choice that the name stands for. A class with an option `gate`
    is created with the options of gates as well. The first line of its docstring is the summary that
    `describe` gives; the other arguments are fields of `Mechanism`. `identity_if` is needed where
    `identity_at_init` depends on options.

    Raises:
        UsageError: Name, class or facts do not fit; said when the class is made.
    """

    def decorate(module: _Module) -> _Module:
        placed = placement or ("conv" if slot == "conv" else "post")
        _check(name, module, slot, placed, axes)
        _MECHANISMS[name] = Mechanism(
            name=name,
            module=module,
            slot=slot,
            placement=placed,
            options=types.MappingProxyType(_options_of(name, module, slot)),
            context=frozenset(_CONTEXT[slot]) & {*_fields(module), "name", "parent"},
            axes=axes,
            parameters=parameters,
            order_matters=order_matters,
            identity_at_init=identity_at_init,
            identity_if=identity_if or (lambda module: identity_at_init),
            takes_condition="condition" in inspect.signature(module.__call__).parameters,
            shared=shared,
            year=year,
            citation=citation,
            summary=inspect.cleandoc(module.__dict__.get("__doc__") or "").partition("\n")[0],
        )
        return module

    return decorate


def _check(name: str, module: Any, slot: str, placement: str, axes: Any) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise UsageError(
            f"a mechanism's name is lower-case letters, digits and underlines, not {name!r}"
        )
    if not (isinstance(axes, tuple) and len(axes) == 3 and all(isinstance(a, str) for a in axes)):
        raise UsageError(
            f"mechanism {name!r}: axes are three texts, of squeeze, mix and gate, not {axes!r}"
        )
    if not (inspect.isclass(module) and issubclass(module, nn.Module)):
        raise UsageError(f"mechanism {name!r}: only a class of Flax modules can be registered")
    if slot not in _CONTEXT:
        raise UsageError(f"mechanism {name!r}: unknown slot {slot!r}; valid: {', '.join(_CONTEXT)}")
    if placement not in PLACEMENTS or (placement == "conv") != (slot == "conv"):
        raise UsageError(
            f"mechanism {name!r}: placement {placement!r} does not fit the slot {slot!r}"
        )
    train = inspect.signature(module.__call__).parameters.get("train")
    if train is None or train.default is not False:
        raise UsageError(
            f"mechanism {name!r}: {module.__name__}.__call__ must take `train`, by default False, which tells"
            " training from evaluation"
        )
    missing = {"filters", "stride", "groups"} - _fields(module).keys() if slot == "conv" else set()
    if missing:
        raise UsageError(
            f"mechanism {name!r} stands in place of a convolution: {module.__name__} needs the fields"
            f" {', '.join(sorted(missing))}, as `attention.ConvAttention` has them"
        )
    before = _MECHANISMS.get(name)
    if before is not None and not _is_same(before.module, module):
        raise UsageError(
            f"mechanism {name!r} is registered twice, by {before.module.__module__} and by"
            f" {module.__module__}"
        )


def _is_same(one: type, other: type) -> bool:
    """Whether a class is defined anew, by a cell of a notebook or a module that is loaded again."""
    return (one.__module__, one.__qualname__) == (other.__module__, other.__qualname__)


def _fields(module: Any) -> dict[str, Any]:
    """The arguments of a class of modules that are no part of every Flax module."""
    return {
        field.name: field.default
        for field in dataclasses.fields(module)
        if field.init and field.name not in ("parent", "name")
    }


def _options_of(name: str, module: Any, slot: str) -> dict[str, Option]:
    try:
        hints = typing.get_type_hints(module)
    except NameError as error:
        raise UsageError(
            f"mechanism {name!r}: a field's type is not known where {module.__name__} is defined ({error})"
        ) from error
    own = {
        option: Option(_kind(name, option, hints[option]), default)
        for option, default in _fields(module).items()
        if option not in _CONTEXT[slot]
    }
    for option, spec in own.items():
        if option in _OF_THE_CONFIG:
            raise UsageError(f"mechanism {name!r}: an option cannot be called {option!r}")
        if spec.default is dataclasses.MISSING:
            raise UsageError(f"mechanism {name!r}: option {option!r} needs a default")
        if spec.default is not None and not fits(spec.default, spec.kind):
            raise UsageError(
                f"mechanism {name!r}: option {option!r} must be of type {spec.kind.__name__}, as its default"
                f" {spec.default!r} is not"
            )
        for other, known in _MECHANISMS.items():
            taken = known.options.get(option, spec).kind
            if taken is not spec.kind and other != name:
                raise UsageError(
                    f"mechanism {name!r}: option {option!r} is of type {spec.kind.__name__}, that of"
                    f" {other!r} of type {taken.__name__}; both cannot stand in a config: choose another name"
                )
    # None stands for the default of the gate that is chosen.
    of_gate = gates.OPTIONS if "gate" in own else {}
    return own | {name: Option(kind, None) for name, kind in of_gate.items() if name not in own}


def _kind(name: str, option: str, hint: Any) -> type:
    """`int` of `int | None`, `str` of `str | Gate`, `tuple` of `tuple[int, ...]`: what a config can hold."""
    kinds = [kind for kind in parts(hint) if kind in KINDS]
    if len(kinds) != 1:
        raise UsageError(
            f"mechanism {name!r}: option {option!r} must be of one of the types"
            f" {', '.join(kind.__name__ for kind in KINDS)}, which a config can hold"
        )
    (kind,) = kinds
    return typing.cast("type", kind)


def names() -> list[str]:
    """All registered names, sorted."""
    return sorted(_MECHANISMS)


def describe(name: str) -> Mechanism:
    """What is known of a mechanism.

    Raises:
        UsageError: The name is unknown.
    """
    if not isinstance(name, str):
        raise UsageError(f"attention is chosen by a name such as 'se', not by {name!r}")
    if name not in _MECHANISMS:
        by_class = {known.module.__name__: own for own, known in _MECHANISMS.items()}
        meant = by_class.get(name) or by_class.get(name.upper())
        near = f" Did you mean {meant!r}?" if meant else did_you_mean(name, names())
        raise UsageError(f"unknown attention {name!r}; valid: {', '.join(names())}.{near}")
    return _MECHANISMS[name]


def is_mechanism(module: nn.Module) -> bool:
    """Whether a module of a network is a mechanism that is registered, or one that starts as the identity."""
    return isinstance(
        module, (starts.FromIdentity, *(known.module for known in _MECHANISMS.values()))
    )


def options() -> dict[str, type]:
    """Every option that any mechanism takes, with its type; one name has one type throughout."""
    return {
        option: spec.kind
        for name in names()
        for option, spec in sorted(_MECHANISMS[name].options.items())
    }


def overridden(given: Mapping[str, Any]) -> set[str]:
    """Names of the options that would not count beside those that are given."""
    replaced = [others for option, others in OVERRIDES.items() if given.get(option) is not None]
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
        own = option == "gate" and isinstance(value, gates.Gate)
        if not (value is None or own or fits(value, kind)):
            raise UsageError(
                f"attention {name!r}: option {option!r} must be of type {kind.__name__}, not {value!r}"
            )
    for option in sorted(overridden(given)):
        if given.get(option) is not None:
            (other,) = (o for o in OVERRIDES if option in OVERRIDES[o])
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
    gate = gates.of(module) if hasattr(module, "gate") else None
    losses = ("rate",) if isinstance(gate, gates.Gate) and gate.has_penalty else ()
    return (*losses, "presence") if getattr(module, "se_loss", False) else losses


def create(name: str, /, *, start: str = "", **given: Any) -> nn.Module:
    """Build a mechanism by name: `create("se", reduction=8)` is `SE(reduction=8)`.

    Options of a gate are given beside it, `create("se", gate="top_k", fraction=0.25)`, and an option that is
    None takes the mechanism's default. One of the conv slot needs `filters`, and takes `stride` and `groups`;
    all take `dtype`, `param_dtype` and, inside another module's compact method, `name`, as usual in Flax.

    `start="identity"` makes a mechanism of the gate slot start as the identity (`attention.start`): it is
    left as it is where its own initialisation does that already, and gets a residual weight elsewhere.

    Raises:
        UsageError: Unknown name or option, a value that does not fit, or a start that it cannot have.
    """
    mechanism = describe(name)
    starts.check(mechanism, start)
    context = {k: given.pop(k) for k in _CONTEXT[mechanism.slot] if k in given}
    chosen = {option: value for option, value in given.items() if value is not None}
    check_options(name, chosen)
    if mechanism.slot == "conv" and "filters" not in context:
        raise UsageError(
            f"attention {name!r} stands in place of a convolution: it needs filters=..."
        )
    if "gate" in mechanism.options:
        own = _fields(mechanism.module)
        of_gate = {k: chosen.pop(k) for k in gates.OPTIONS if k in chosen and k not in own}
        if of_gate:
            chosen["gate"] = gates.get(chosen.get("gate", own["gate"]), **of_gate)
    context = {k: v for k, v in context.items() if k in mechanism.context}
    if start:
        outside = {k: context[k] for k in ("name", "parent", "param_dtype") if k in context}
        module = mechanism.module(**chosen, **context | {"name": None, "parent": None})
        if not mechanism.identity_if(module):
            return starts.FromIdentity(module, **outside)
    return mechanism.module(**chosen, **context)
