"""How wide the bottleneck of a mechanism is: papers, official code and timm round differently."""

from collections.abc import Callable
from functools import partial

from chanattn.errors import UsageError

WidthRule = Callable[[int], int]  # channels -> width of the bottleneck

ROUNDINGS = ("paper", "timm", "mobile")


def floor_width(channels: int, reduction: float, minimum: int = 1) -> int:
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


def divisible_width(channels: int, reduction: float, divisor: int, keep: float = 0.0) -> int:
    """timm: C / r rounded to a multiple of `divisor`."""
    return make_divisible(channels / reduction, divisor, keep=keep)


def width_rule(
    rounding: str, reduction: float, *, minimum: int = 1, divisor: int = 8, keep: float = 0.0
) -> WidthRule:
    """The rule of a preset: "paper" is `floor_width`, "timm" is `divisible_width`.

    "mobile" is "timm" with keep = 0.9 (MobileNetV3: 72 / 4 = 18 becomes 24, not 16).

    Raises:
        UsageError: Unknown rounding, or a reduction that is not positive.
    """
    if reduction <= 0:
        raise UsageError(f"reduction must be positive, not {reduction}")
    if rounding == "paper":
        return partial(floor_width, reduction=reduction, minimum=minimum)
    if rounding in ("timm", "mobile"):
        keep = 0.9 if rounding == "mobile" else keep
        return partial(divisible_width, reduction=reduction, divisor=divisor, keep=keep)
    raise UsageError(f"unknown rounding {rounding!r}; valid: {', '.join(ROUNDINGS)}")
