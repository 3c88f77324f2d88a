"""Which number of `summary.json` a report compares, and how it is shown."""

import dataclasses
import re
from typing import Self

from chanattn.errors import UsageError

_TOP_K = re.compile(r"top(\d+)")


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric of a split: `test/top1` is `final.test.top1` of the summary.

    Attributes:
        split: "test", or "ema" for the moving average of the weights on the same pictures.
        name: "top1", "top5", "loss", ...
    """

    split: str
    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """The metric that `split/name` names.

        Raises:
            UsageError: the text is not of that form.
        """
        split, slash, name = text.partition("/")
        if not split or not slash or not name or "/" in name:
            raise UsageError(f"--metric={text} is not of the form SPLIT/NAME, such as test/top1")
        return cls(split, name)

    def __str__(self) -> str:
        return f"{self.split}/{self.name}"

    @property
    def is_share(self) -> bool:
        """Whether it is a share of the examples, shown in per cent."""
        return bool(_TOP_K.fullmatch(self.name)) or "accuracy" in self.name

    @property
    def factor(self) -> float:
        """From the file to what is shown."""
        return 100.0 if self.is_share else 1.0

    @property
    def higher_is_better(self) -> bool:
        """False for losses and errors."""
        return not any(word in self.name for word in ("loss", "error", "perplexity"))

    @property
    def digits(self) -> int:
        """Decimals shown."""
        return 2 if self.is_share else 4

    @property
    def unit(self) -> str:
        """Of the values: "%", or nothing."""
        return "%" if self.is_share else ""

    @property
    def unit_of_differences(self) -> str:
        """Of a difference between two values: "points", or nothing."""
        return "points" if self.is_share else ""

    @property
    def label(self) -> str:
        """For axes and headings: "test top-1 accuracy (%)"."""
        name = self.name
        if match := _TOP_K.fullmatch(name):
            name = f"top-{match[1]} accuracy"
        split = "test, moving average of the weights," if self.split == "ema" else self.split
        return f"{split} {name}" + (f" ({self.unit})" if self.unit else "")
