"""What a search may choose: ranges and choices for fields of the config.

A sweep file names them in `search()`, by dotted path:

    def search():
        return {"optimizer.learning_rate": ("log_uniform", 0.01, 1.0),
                "optimizer.weight_decay": ("uniform", 0.0, 1e-3),
                "model.attention.reduction": ("choice", [4, 8, 16])}

The kinds are those of `KINDS`; ends of a range belong to it. On the command line the same reads
`--search_space=optimizer.learning_rate=log_uniform:0.01:1.0` and `model.attention.reduction=choice:4,8,16`.
"""

import ast
import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from ml_collections import ConfigDict

from chanattn.errors import UsageError, did_you_mean
from chanattn.sweep.check import check
from chanattn.sweep.grid import Sweep, resolve
from chanattn.training.experiment import Outline
from chanattn.training.validate import validate

_RANGES = ("uniform", "log_uniform", "int", "log_int")
KINDS = (*_RANGES, "choice")
_COMBINATIONS = 256  # of choices that are all tried out beforehand


@dataclasses.dataclass(frozen=True)
class Dimension:
    """What one field may become.

    Attributes:
        kind: one of `KINDS`.
        values: the two ends of a range, or the choices.
    """

    kind: str
    values: tuple[Any, ...]

    def to_json(self) -> list[Any]:
        """As a sweep file writes it, with lists."""
        return [self.kind, *self.values] if self.kind != "choice" else ["choice", [*self.values]]


Space = Mapping[str, Dimension]


def space(entries: Mapping[str, Sequence[Any]]) -> dict[str, Dimension]:
    """The space that `search()` describes.

    Raises:
        UsageError: an entry is not of the form shown above.
    """
    if not isinstance(entries, Mapping) or not entries:
        raise UsageError(
            "a search needs a space: search() in the sweep file returns"
            ' {"optimizer.learning_rate": ("log_uniform", 0.01, 1.0)}, or'
            " --search_space=optimizer.learning_rate=log_uniform:0.01:1.0"
        )
    return {path: _dimension(path, entry) for path, entry in entries.items()}


def from_flag(text: str) -> tuple[str, tuple[Any, ...]]:
    """One entry of a space from `FIELD=KIND:LOW:HIGH` or `FIELD=choice:A,B,C`.

    Raises:
        UsageError: it is not of that form.
    """
    path, equals, rest = text.partition("=")
    kind, colon, values = rest.partition(":")
    if not equals or not colon:
        raise UsageError(
            f"--search_space={text!r}: write FIELD=KIND:LOW:HIGH or FIELD=choice:A,B,C,"
            f" where KIND is one of {', '.join(_RANGES)}"
        )
    if kind == "choice":
        return path, ("choice", [_value(word) for word in values.split(",")])
    return path, (kind, *(_value(word) for word in values.split(":")))


def check_space(chosen: Space, recipe: ConfigDict, file: str) -> dict[str, Outline]:
    """Tries out both ends of every range, every choice, and all combinations of choices if they are few.

    Returns:
        What is known of the trainings, by the value that was tried.

    Raises:
        UsageError: a field does not exist, or a value does not fit it or the network; all are listed.
    """
    tried = {
        f"{path}={value!r}": {path: value}
        for path, dimension in chosen.items()
        for value in dimension.values
    }
    grid = Sweep(title=file, variants=tried, baseline=next(iter(tried)), seeds=1)
    outlines = check(recipe, grid, file)
    choices = {path: each.values for path, each in chosen.items() if each.kind == "choice"}
    if math.prod(len(values) for values in choices.values()) > _COMBINATIONS:
        return outlines
    for combination in itertools.product(*choices.values()):
        overrides = dict(zip(choices, combination, strict=True))
        try:
            validate(resolve(recipe, overrides))
        except UsageError as error:
            shown = ", ".join(f"{path}={value!r}" for path, value in overrides.items())
            raise UsageError(f"the search may choose {shown}, but: {error}") from error
    return outlines


def _dimension(path: str, entry: Sequence[Any]) -> Dimension:
    match entry:
        case ["choice", [_, *_] as listed]:
            values = [tuple(each) if isinstance(each, list) else each for each in listed]
            if len(set(map(repr, values))) != len(values):
                raise UsageError(f"{path}: a choice comes twice in {values}")
            return Dimension("choice", tuple(values))
        case [kind, low, high] if kind in _RANGES and _is_number(low) and _is_number(high):
            ends = low, high
        case [str(kind), *_] if kind not in KINDS:
            hint = did_you_mean(kind, KINDS)
            raise UsageError(f"{path}: there is no kind {kind!r}.{hint or f' Kinds: {KINDS}'}")
        case _:
            raise UsageError(
                f'{path}: write ("log_uniform", 0.01, 1.0), two numbers as the ends of a range, or'
                f' ("choice", [4, 8, 16]), not {entry!r}'
            )
    if kind.endswith("int"):
        if not all(isinstance(end, int) for end in ends):
            raise UsageError(f"{path}: {kind} takes whole numbers, not {low!r} and {high!r}")
    else:
        low, high = ends = float(low), float(high)
    if low >= high:
        raise UsageError(
            f"{path}: the range from {low!r} to {high!r} is empty; the low end is first"
        )
    if kind.startswith("log") and low <= 0:
        raise UsageError(f"{path}: a range in logarithms begins above 0, not at {low!r}")
    return Dimension(kind, ends)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _value(word: str) -> Any:
    """A Python value if it reads as one, else the text itself: names need no quotes."""
    try:
        return ast.literal_eval(word)
    except (ValueError, SyntaxError):
        return word
