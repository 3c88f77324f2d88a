"""Figures of papers that stand beside the results of a sweep."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from chanattn.runs.json_object import Damaged, number, take

Figure = tuple[float, float | None]
"""A published value and its standard deviation, if the paper gives one."""


@dataclasses.dataclass(frozen=True)
class Published:
    """Figures of a paper for some of the variants.

    Attributes:
        source: "Squeeze-and-Excitation Networks, TPAMI 2020, table 10".
        setting: network, data and protocol: "SE-ResNet-50, ImageNet, single crop 224".
        metric: what the values are: "top-1 error, %".
        values: by variant; (mean, standard deviation) where the paper gives one.
        higher_is_better: which way the metric points.
        note: what a reader must know to compare.
    """

    source: str
    setting: str
    metric: str
    values: Mapping[str, float | tuple[float, float]]
    higher_is_better: bool = False
    note: str = ""

    @classmethod
    def from_json(cls, entry: object, path: Path) -> Self:
        """An entry of the `published` of `sweep.json`.

        Raises:
            Damaged: it lacks a field, or a figure is no number.
        """
        if not isinstance(entry, dict):
            raise Damaged(f"{path} is damaged: published holds something else than objects")
        where = "published."
        found = cls(
            source=take(entry, "source", str, path, where),
            setting=take(entry, "setting", str, path, where),
            metric=take(entry, "metric", str, path, where),
            values={
                name: tuple(value) if isinstance(value, list) else value
                for name, value in take(entry, "values", dict, path, where).items()
            },
            higher_is_better=entry.get("higher_is_better") is True,
            note=str(entry.get("note", "")),
        )
        for name, value in found.values.items():
            parts = value if isinstance(value, tuple) else (value,)
            if len(parts) not in (1, 2) or number(parts[0]) is None:
                raise Damaged(
                    f"{path} is damaged: the published figure of {name!r} is {entry['values'][name]!r}"
                )
        return found

    def to_json(self) -> dict[str, Any]:
        """The entry that stands for it."""
        return {
            "source": self.source,
            "setting": self.setting,
            "metric": self.metric,
            "higher_is_better": self.higher_is_better,
            "note": self.note,
            "values": dict(self.values),
        }

    @property
    def figures(self) -> dict[str, Figure]:
        """Every value with its standard deviation, or None in place of that."""
        found: dict[str, Figure] = {}
        for name, value in self.values.items():
            mean, std = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
            plain = mean[0] if isinstance(mean, tuple) else mean
            found[name] = float(plain), number(std)
        return found
