"""How wide the bottleneck of a mechanism is: papers, official code and timm round differently."""

from collections.abc import Callable
from typing import Any

from chanattn.errors import UsageError

WidthRule = Callable[[int], int]  # channels -> width of the bottleneck

ROUNDINGS = ("paper", "timm", "mobile", "fbnet", "nearest")
REDUCE_FROM = ("channels", "block_input")


def floor_width(channels: float, reduction: float, minimum: int = 1) -> int:
    """Papers and official code: floor(C / r), never below `minimum`."""
    return max(int(channels // reduction), minimum)


def make_divisible(
    value: float, divisor: int, minimum: int | None = None, keep: float = 0.0
) -> int:
    """The multiple of `divisor` nearest to `value`, as timm rounds, at least `minimum` (default: `divisor`).

    With `keep` = 0.9, rounding down by more than 10 % is undone by going one multiple up.
    """
    rounded = max(
        divisor if minimum is None else minimum, int(value + divisor / 2) // divisor * divisor
    )
    return rounded + divisor if rounded < keep * value else rounded


def width_rule(
    rounding: str,
    reduction: float,
    *,
    owner: str = "",
    width: int | None = None,
    divisor: int | None = None,
    min_width: int | None = None,
    default_divisor: int = 8,
    keep: float = 0.0,
    share: float = 1.0,
) -> WidthRule:
    """From channels to the width of a bottleneck, by the options that all bottlenecks have.

    Args:
        rounding: "paper": floor(C / r). "timm": the multiple of `divisor` nearest to C / r. "mobile": the
            same, but one multiple up where that is more than 10 % below (MobileNetV3: 72 / 4 = 18, then 24).
            "fbnet": one multiple up from 5 % on. "nearest": the nearest integer, of two the even one.
        reduction: r.
        owner: Mechanism that the messages name.
        width: The width itself, whatever C is; the other options do not count then.
        divisor: Of "timm" and "mobile" (timm's `rd_divisor`); None: `default_divisor`.
        min_width: Least width; None: 1 of "paper" and "nearest", else the divisor.
        default_divisor: What the mechanism has in timm.
        keep: What "timm" stands for in the mechanism: 0.9 if it is as "mobile".
        share: Factor of C / r.

    Raises:
        UsageError: Unknown rounding, a number that is not positive, or a divisor of "paper".
    """
    prefix = f"{owner}: " if owner else ""
    numbers = {"reduction": reduction, "width": width, "divisor": divisor, "min_width": min_width}
    for option, value in numbers.items():
        if value is not None and value <= 0:
            raise UsageError(f"{prefix}{option} must be positive, not {value}")
    if rounding not in ROUNDINGS:
        raise UsageError(f"{prefix}unknown rounding {rounding!r}; valid: {', '.join(ROUNDINGS)}")
    if divisor is not None and rounding in ("paper", "nearest"):
        takes = "the floor" if rounding == "paper" else "the nearest integer"
        raise UsageError(
            f"{prefix}divisor={divisor} is for rounding 'timm' or 'mobile'; {rounding!r} takes {takes}"
        )

    def rule(channels: int) -> int:
        if width is not None:
            return width
        if rounding == "paper":
            return floor_width(channels * share, reduction, min_width or 1)
        if rounding == "nearest":
            return max(round(channels * share / reduction), min_width or 1)
        return make_divisible(
            channels / reduction * share,
            divisor or default_divisor,
            min_width,
            keep={"mobile": 0.9, "fbnet": 0.95}.get(rounding, keep),
        )

    return rule


def width_rule_of(module: Any, owner: str = "", **more: Any) -> WidthRule:
    """The rule that `reduction`, `width`, `rounding`, `divisor` and `min_width` of a mechanism give.

    Args:
        module: The mechanism, which has these fields.
        owner: As of `width_rule`.
        **more: As of `width_rule`.

    Raises:
        UsageError: As `width_rule`.
    """
    return width_rule(
        module.rounding,
        module.reduction,
        owner=owner,
        width=module.width,
        divisor=module.divisor,
        min_width=module.min_width,
        **more,
    )


def of_block_input(rule: WidthRule, reduce_from: str, block_input: int | None) -> WidthRule:
    """The rule, or that which gives d from the block's input, whatever the channels of x.

    Args:
        rule: Of the width.
        reduce_from: One of `REDUCE_FROM`.
        block_input: Channels of the block's input; None: unknown.

    Raises:
        UsageError: There is no such `reduce_from`, or the block's input is unknown.
    """
    if reduce_from not in REDUCE_FROM:
        raise UsageError(f"unknown reduce_from {reduce_from!r}; valid: {', '.join(REDUCE_FROM)}")
    if reduce_from == "channels":
        return rule
    if block_input is None:
        raise UsageError(
            "reduce_from='block_input' needs block_input, the number of channels of the block's input"
        )
    width = rule(block_input)
    return lambda channels: width
