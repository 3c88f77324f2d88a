"""How many groups of channels: published numbers, and what becomes of them where channels are few."""

from chanattn.errors import UsageError

MOST = 64
LEAST_CHANNELS = 4


def default_groups(channels: int, multiple: int = 1) -> int:
    """64, as published, where that leaves four channels a group, else the largest number that does.

    Groups are of equal size, a multiple of `multiple`; where there is no such number, 1.
    C = 16: 4; 32: 8; 64: 16; 256 and more: 64.
    """
    most = max(min(MOST, channels // LEAST_CHANNELS), 1)
    return max((g for g in range(1, most + 1) if channels % (g * multiple) == 0), default=1)


def check_groups(name: str, groups: int | None) -> None:
    """Check the option `groups` of the mechanism `name`.

    Raises:
        UsageError: It is not positive.
    """
    if groups is not None and groups < 1:
        raise UsageError(f"{name}: groups must be positive, not {groups}")


def count_groups(name: str, channels: int, groups: int | None, multiple: int = 1) -> int:
    """The chosen number of groups, or the default of so many channels.

    Raises:
        UsageError: It does not give groups of equal size, a multiple of `multiple`.
    """
    count = default_groups(channels, multiple) if groups is None else groups
    if channels % (count * multiple):
        each = f", each in {multiple} equal parts," if multiple > 1 else ""
        raise UsageError(
            f"{name}: groups={count}{each} do not divide {channels} channels; choose a divisor"
        )
    return count
