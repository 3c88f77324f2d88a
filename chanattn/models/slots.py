"""Which attention goes where in a network: the two slots of a block."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn

from chanattn import attention
from chanattn.errors import UsageError, did_you_mean

STAGES = (1, 2, 3, 4)


@dataclass(frozen=True)
class Slot:
    """One mechanism with its place and the stages it is used in.

    Attributes:
        name: A registered mechanism.
        placement: A key of `attention.PLACEMENTS`.
        stages: Numbers of the stages, from 1.
        options: Options of the mechanism, sorted pairs (so that the slot is hashable).
    """

    name: str = "identity"
    placement: str = "post"
    stages: tuple[int, ...] = STAGES
    options: tuple[tuple[str, Any], ...] = ()

    def at(self, placement: str, stage: int) -> bool:
        """Whether the mechanism sits at that place of that stage."""
        return self.name != "identity" and self.placement == placement and stage in self.stages

    def build(self, name: str, **context: Any) -> nn.Module:
        """The module, called `name` in the network; `context` is what the block decides."""
        return attention.create(self.name, name=name, **dict(self.options), **context)


@dataclass(frozen=True)
class Slots:
    """The gate slot (x -> x, at a placement) and the conv slot (in place of the first 3x3)."""

    gate: Slot = field(default_factory=Slot)
    conv: Slot = field(default_factory=lambda: Slot(placement="conv"))


def resolve(chosen: Mapping[str, Any], own_conv: Mapping[str, Any] | None = None) -> Slots:
    """Slots from a config's `model.attention` and the conv mechanism an architecture comes with.

    A gate mechanism is added to what the architecture has; a conv mechanism replaces it, or, under the
    same name, changes its options.

    Args:
        chosen: `name`, and by choice `placement` ("" or absent: the mechanism's default), `stages`,
            and options (None: the mechanism's default).
        own_conv: `name` and options of the architecture's conv mechanism, if it has one.

    Raises:
        UsageError: Unknown name, placement or option, or one that does not fit the mechanism's slot.
    """
    rest = dict(chosen)
    mechanism = attention.describe(rest.pop("name"))
    placement = rest.pop("placement", "") or mechanism.placement
    stages = tuple(rest.pop("stages", STAGES))
    options = {option: value for option, value in rest.items() if value is not None}
    _check(mechanism, placement, stages, options)

    own = dict(own_conv or {"name": "identity"})
    own_name = own.pop("name")
    if mechanism.slot == "conv":
        if mechanism.name == own_name:
            options = own | options
        return Slots(conv=Slot(mechanism.name, "conv", stages, _pairs(options)))
    return Slots(
        gate=Slot(mechanism.name, placement, stages, _pairs(options)),
        conv=Slot(own_name, "conv", STAGES, _pairs(own)),
    )


def _pairs(options: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(options.items()))


def _check(
    mechanism: attention.Mechanism,
    placement: str,
    stages: tuple[int, ...],
    options: Mapping[str, Any],
) -> None:
    valid = [p for p in attention.PLACEMENTS if (p == "conv") == (mechanism.slot == "conv")]
    if placement not in valid:
        raise UsageError(
            f"attention {mechanism.name!r} cannot be placed at {placement!r}; valid: {', '.join(valid)}."
            f"{did_you_mean(placement, valid)}"
        )
    if not stages or not set(stages) <= set(STAGES):
        raise UsageError(f"attention stages must be some of {STAGES}, not {stages}")
    attention.check_options(mechanism.name, options)
    # Values are checked where the mechanism is built; build it once here, so that the message comes now.
    context = {"filters": 64} if mechanism.slot == "conv" else {}
    attention.create(mechanism.name, **options, **context)
