"""What a field of a config is: its default, what it may hold, what it means, and where it applies.

The fields themselves are declared in `chanattn.config`.
"""

import difflib
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chanattn.errors import UsageError, did_you_mean
from chanattn.paths import to_path

ANNOTATIONS = {"label": "labels", "mask": "masks", "boxes": "boxes", "captions": "captions"}
"""The kinds of what pictures are annotated with, and their plurals."""

_LARGEST = 2**63 - 1  # beyond it arrays have no integers

NAMES_OF_KINDS = {
    int: "an integer",
    float: "a number",
    bool: "true or false",
    str: "a text",
    tuple: "a tuple",
}
"""The types of fields, as messages call them."""


@dataclass(frozen=True)
class Rule:
    """What a field may hold.

    Attributes:
        kind: its type; for `float` a whole number will do, and a boolean is no number.
        wanted: what is valid, in words that complete "must be ...".
        valid: whether a value of that type is in range.
        choices: the valid names, where they can be listed.
    """

    kind: type
    wanted: str
    valid: Callable[[Any], bool]
    choices: tuple[str, ...] = ()

    def allows(self, value: object) -> bool:
        """Whether a value is of the type and in range."""
        return has_kind(value, self.kind) and bool(self.valid(value))


@dataclass(frozen=True)
class Field:
    """The declaration of one field.

    Attributes:
        default: its value in `get_config()`; the type of it is what the command line reads.
        rule: what it may hold.
        meaning: one sentence.
        tasks: names of the tasks that it is for; empty: all.
        data: kinds of annotations that an augmentation can be applied with (label, mask, boxes, captions);
            empty: all.
        older: of a field that a released version has not: the value that does what that version did, for its
            runs, whose config lacks it. None: the config of every version has it.
        instead: of an augmentation for labels alone: what does the like with masks and boxes.
    """

    default: Any
    rule: Rule
    meaning: str
    tasks: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    older: Any = None
    instead: str = ""

    def mistake(self, path: str, value: object) -> str | None:
        """What is wrong with a value of the field at a dotted path, in one line; None if nothing is."""
        if self.rule.allows(value):
            return None
        message = f"{path} must be {self.rule.wanted}, not {show(value)}"
        hint = did_you_mean(value, self.rule.choices) if isinstance(value, str) else ""
        return f"{message}.{hint}" if hint else message

    def misplaced(self, path: str, value: object, task: str, data: Collection[str]) -> str | None:
        """Why the field at a dotted path may not have a value beside a task, in one line; None if it may.

        Args:
            path: of the field.
            value: of it; the default is always allowed.
            task: name of the task.
            data: kinds of annotations that the task learns from, of `ANNOTATIONS`.
        """
        if value == self.default:
            return None
        others = [kind for kind in data if self.data and kind not in self.data]
        fix = ""
        if others:
            works, has = _plurals(self.data), _plurals(others)
            reason = f"works with {works} alone, and {task} learns from {has}"
            if self.instead and {"mask", "boxes"} & set(others):
                fix = f", and use {self.instead}"
        elif self.tasks and task not in self.tasks:
            reason = f"is for {_listed(self.tasks)}, not for {task}"
        else:
            return None
        return f"{path}={value!r} {reason}; set it to its default, {self.default!r}{fix}"


def integer(low: int, high: int | None = None) -> Rule:
    """A whole number in [low, high]."""
    wanted = f"an integer >= {low}" if high is None else f"an integer from {low} to {high}"
    most = _LARGEST if high is None else high
    return Rule(int, wanted, lambda value: low <= value <= most)


def number(low: float = -math.inf, high: float = math.inf, *, ends: str = "[]") -> Rule:
    """A finite number between `low` and `high`; a round bracket in `ends` leaves that end out."""
    upper = "inf)" if high == math.inf else f"{high:g}{ends[1]}"
    return Rule(
        float,
        f"a number in {ends[0]}{low:g}, {upper}",
        lambda value: (
            (isinstance(value, float) or -_LARGEST <= value <= _LARGEST)
            and math.isfinite(value)
            and (value > low or (value == low and ends[0] == "["))
            and (value < high or (value == high and ends[1] == "]"))
        ),
    )


def boolean() -> Rule:
    """True or False."""
    return Rule(bool, "true or false", lambda value: True)


def text(*, empty: bool) -> Rule:
    """Any text."""
    return Rule(
        str, "a text" if empty else "a text that is not empty", lambda value: empty or value
    )


def path() -> Rule:
    """A path of this machine, or nothing; see `chanattn.paths.to_path`."""
    return Rule(str, "a path, or empty for the default", lambda value: not value or _is_path(value))


def choice(*names: str) -> Rule:
    """One of a few names; the empty name stands for "the default"."""
    listed = " | ".join(name or '""' for name in names)
    return Rule(str, listed, lambda value: value in names, names)


def several(item: Rule, length: int | None = None, *, empty: bool = False) -> Rule:
    """A tuple whose every element obeys `item`."""
    count = "a tuple" if length is None else f"a tuple of {length}"
    return Rule(
        tuple,
        f"{count}, each {item.wanted}",
        lambda value: (
            (empty or len(value) > 0)
            and length in (None, len(value))
            and all(item.allows(element) for element in value)
        ),
    )


def size(high: int) -> Rule:
    """A side in pixels or 0, or height and width; see `chanattn.data.fit.image_size`."""

    def valid(value: object) -> bool:
        if isinstance(value, list | tuple):
            return len(value) == 2 and all(
                type(side) is int and 1 <= side <= high for side in value
            )
        return type(value) is int and 0 <= value <= high

    return Rule(object, f"an integer from 0 to {high}, or two from 1 on, HEIGHT,WIDTH", valid)


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every field by its dotted path: `{"optimizer.learning_rate": 0.1, ...}`.

    Args:
        config: a `ConfigDict`, or what `config.json` holds.
        prefix: of all paths.
    """
    found: dict[str, Any] = {}
    for name, value in config.items():
        if hasattr(value, "items"):  # a `ConfigDict` is no `Mapping`
            found |= flatten(value, f"{prefix}{name}.")
        else:
            found[prefix + name] = value
    return found


def closest(path: str, known: Sequence[str]) -> str:
    """` Did you mean 'x'?` for a dotted path that is no field, else an empty string.

    A field of the same last name in another group, or one whose last name is abbreviated (`optimizer.lr`), is
    the likelier slip than a typo elsewhere.
    """
    last = path.rpartition(".")[2]
    meant = [other for other in known if last in _spellings(other.rpartition(".")[2])]
    near = difflib.get_close_matches(path, meant, n=1, cutoff=0.0)
    return f" Did you mean {near[0]!r}?" if near else did_you_mean(path, list(known))


def _spellings(name: str) -> tuple[str, ...]:
    """A name, and the initials of one of several words: learning_rate, lr."""
    words = name.split("_")
    return (name, "".join(word[:1] for word in words)) if len(words) > 1 else (name,)


def has_kind(value: object, kind: type) -> bool:
    """Whether a value fits a type of fields: `float` takes whole numbers too, only `bool` takes booleans."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, (int, float) if kind is float else kind)


def show(value: object) -> str:
    """A value and its type, for messages."""
    return f"{value!r} ({type(value).__name__})"


def _is_path(value: str) -> bool:
    try:
        to_path(value)
    except UsageError:
        return False
    return True


def _plurals(kinds: Collection[str]) -> str:
    return _listed([ANNOTATIONS[kind] for kind in kinds])


def _listed(names: Collection[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
