"""What a metric is called, its unit, and which way is better."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Metric:
    """One number that tells how good a network is.

    Attributes:
        name: In files and on command lines, such as `top1`.
        label: In tables and plots, such as `top-1 accuracy`.
        unit: "fraction" (shown as a percentage), "nats", or another; "" for a bare number.
        higher_is_better: Which way is better.
    """

    name: str
    label: str
    unit: str = ""
    higher_is_better: bool = True
