"""What a run began with, where that was not drawn: the part `initialisation` of `environment.json`."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Self

from chanattn.runs.json_object import known_fields


@dataclasses.dataclass(frozen=True)
class Part:
    """A part of the network.

    Attributes:
        name: "stem", "stage1", ..., "final" or "head".
        loaded: how many parameters were loaded.
        fresh: how many stayed at their initialisation.
        reasons: why.
    """

    name: str = ""
    loaded: int = 0
    fresh: int = 0
    reasons: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Initialisation:
    """What was made of `model.init` when the run began. What a file lacks is None or empty.

    Attributes:
        source: as the config names it.
        step: of the run that it is.
        weights: "ema" or "raw", of a run.
        sha256: of the file that it is.
        parts: of the network, in its order.
        fresh: paths of the parameters that were not loaded ("classifier/kernel"): the new ones.
        surplus: what of the weights has no place in the network, and why.
        notes: where source and config disagree.
    """

    source: str = ""
    step: int | None = None
    weights: str | None = None
    sha256: str | None = None
    parts: tuple[Part, ...] = ()
    fresh: tuple[str, ...] = ()
    surplus: Mapping[str, str] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, values: object) -> Self | None:
        """What a file tells; None if it tells nothing."""
        if not isinstance(values, dict):
            return None
        told = known_fields(cls, values)
        for name in ("parts", "fresh", "notes"):
            if not isinstance(told.get(name), tuple):
                told[name] = ()
        if not isinstance(told.get("surplus"), dict):
            told["surplus"] = {}
        parts = [known_fields(Part, part) for part in told["parts"] if isinstance(part, dict)]
        return cls(**told | {"parts": tuple(Part(**part) for part in parts)})

    def to_json(self) -> dict[str, Any]:
        """The content of that part of the file."""
        return dataclasses.asdict(self)

    def lines(self) -> Iterator[str]:
        """A table: a line a part of the network, with the parameters loaded and not, and why not."""
        of_run = [f"step {self.step}", f"{self.weights} weights"] if self.step is not None else []
        yield f"model.init: {', '.join([self.source, *of_run])}"
        width = max((len(part.name) for part in self.parts), default=0)
        for part in self.parts:
            line = f"  {part.name:<{width}} {part.loaded:>12,} loaded"
            if part.fresh:
                line += f"  {part.fresh:>12,} at their initialisation"
            yield line + (f": {_some(part.reasons)}" if part.reasons else "")
        if self.surplus:
            yield f"  without a place here: {_some(tuple(self.surplus))}"
        yield from (f"WARNING: {note}" for note in self.notes)


def _some(words: tuple[str, ...]) -> str:
    more = f" and {len(words) - 2} more" if len(words) > 2 else ""
    return "; ".join(words[:2]) + more
