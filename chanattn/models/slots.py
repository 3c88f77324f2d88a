"""Which attention goes where in a network: the two slots of a block."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import flax.linen as nn

from chanattn import attention
from chanattn.errors import UsageError, did_you_mean

_OUTSIDE_BLOCKS = ("stage_end", "head", "neck")
# Where the channels, or the calls a block, are not the same in all blocks of a stage.
_CHANGING = ("pre", "pre_conv", "before_norms", "after_norms")


@dataclass(frozen=True)
class Slot:
    """One mechanism with its place and the stages it is used in.

    Attributes:
        name: A registered mechanism.
        placement: A key of `attention.PLACEMENTS`.
        stages: Numbers of the stages, from 1, in all of whose blocks it is used. Empty: all, or, where the
            published network has attention in some blocks only, those (see `InvertedResidualNet`); of the
            placement "stage_end", all but the last, so that the mechanism sits at the boundaries (BAM).
        options: Options of the mechanism, sorted pairs (so that the slot is hashable).
        start: "identity": the mechanism starts as the identity; "": as it is initialised itself.
    """

    name: str = "identity"
    placement: str = "post"
    stages: tuple[int, ...] = ()
    options: tuple[tuple[str, Any], ...] = ()
    start: str = ""

    @property
    def shared(self) -> bool:
        """Whether one module serves all blocks of a stage."""
        inside = self.placement not in _OUTSIDE_BLOCKS
        return inside and attention.describe(self.name).shared

    def at(self, placement: str, stage: int, *, last: bool = False) -> bool:
        """Whether the mechanism sits at that place of that stage, the `last` one of the network or not."""
        if self.name == "identity" or self.placement != placement:
            return False
        if self.stages:
            return stage in self.stages
        return not (last and placement == "stage_end")

    def build(self, name: str | None, **context: Any) -> nn.Module:
        """The module, called `name` in the network; `context` is what the block decides."""
        return attention.create(
            self.name, name=name, start=self.start, **dict(self.options), **context
        )


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
        chosen: `name`, and by choice `placement` ("" or absent: the mechanism's default), `stages` (empty or
            absent: see `Slot`), `start` (absent: ""), and options (None: the mechanism's default).
        own_conv: `name` and options of the architecture's conv mechanism, if it has one.

    Raises:
        UsageError: Unknown name, placement, start or option, or one that does not fit the mechanism's slot.
    """
    rest = dict(chosen)
    mechanism = attention.describe(rest.pop("name"))
    placement = rest.pop("placement", "") or mechanism.placement
    stages = _numbers(rest.pop("stages", ()))
    start = rest.pop("start", "")
    options = {option: value for option, value in rest.items() if value is not None}
    _check(mechanism, placement, start, options)

    own = dict(own_conv or {"name": "identity"})
    own_name = own.pop("name")
    if mechanism.slot == "conv":
        if mechanism.name == own_name:
            replaced = attention.overridden(options)
            options = {k: v for k, v in own.items() if k not in replaced} | options
        return Slots(conv=Slot(mechanism.name, "conv", stages, _pairs(options)))
    return Slots(
        gate=Slot(mechanism.name, placement, stages, _pairs(options), start),
        conv=Slot(own_name, "conv", (), _pairs(own)),
    )


def check(slots: Slots, count: int) -> None:
    """Refuse mechanisms that would have no place in a network of `count` stages, or none in a chosen one.

    Raises:
        UsageError: A slot holds a mechanism of the other one, a placement that does not exist or that its
            mechanism cannot have, stages that the network or the placement does not have, or none at all.
    """
    valid = tuple(range(1, count + 1))
    for kind, slot in (("gate", slots.gate), ("conv", slots.conv)):
        if not set(slot.stages) <= set(valid):
            raise UsageError(
                f"attention stages must be some of {valid} in this network, not {slot.stages}"
            )
        if slot.placement == "neck" and slot.stages:
            raise UsageError(
                f"attention at 'neck' is in all places of the head: stages must be empty, not {slot.stages}"
            )
        if slot.name == "identity":
            continue
        mechanism = attention.describe(slot.name)
        _check_placement(mechanism, slot.placement)
        if mechanism.slot != kind:
            raise UsageError(
                f"attention {slot.name!r} is for the {mechanism.slot} slot, not for the {kind} slot"
            )
        if slot.placement == "head" and not set(slot.stages) <= {count}:
            raise UsageError(
                f"attention at 'head' is behind the last stage: its stages must be empty or ({count},), not"
                f" {slot.stages}"
            )
        if not any(slot.at(slot.placement, stage, last=stage == count) for stage in valid):
            raise UsageError(
                f"attention at {slot.placement!r} has no place among {count} stages by default; name some"
            )


def _numbers(stages: Any) -> tuple[int, ...]:
    """Stages as they are told, a tuple or list of their numbers."""
    if isinstance(stages, int):
        raise UsageError(f"attention stages must be a tuple, as in ({stages},), not {stages}")
    if isinstance(stages, tuple | list) and all(type(number) is int for number in stages):
        return tuple(stages)
    raise UsageError(f"attention stages must be a tuple of numbers, as in (3, 4), not {stages!r}")


def _pairs(options: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    return tuple(sorted(options.items()))


def _check_placement(mechanism: attention.Mechanism, placement: str) -> None:
    valid = [p for p in attention.PLACEMENTS if (p == "conv") == (mechanism.slot == "conv")]
    if mechanism.shared:
        valid = [p for p in valid if p not in _CHANGING]
    if placement not in valid:
        raise UsageError(
            f"attention {mechanism.name!r} cannot be placed at {placement!r}; valid: {', '.join(valid)}."
            f"{did_you_mean(placement, valid)}"
        )


def _check(
    mechanism: attention.Mechanism, placement: str, start: str, options: Mapping[str, Any]
) -> None:
    _check_placement(mechanism, placement)
    attention.check_options(mechanism.name, options)
    # Values are checked where the mechanism is built; build it once here, so that the message comes now.
    context = {"filters": 64} if mechanism.slot == "conv" else {"block_input": 64}
    attention.create(mechanism.name, start=start, **options, **context)
