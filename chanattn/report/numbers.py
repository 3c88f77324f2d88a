"""Numbers as a reader wants them."""

from collections.abc import Iterable

from chanattn.runs.metric import Metric
from chanattn.runs.published import Figure

NOTHING = "–"
"""Stands for what is unknown or not defined."""
MINUS = "−"


def signed(value: float, digits: int) -> str:
    """+0.35, −0.20, 0.00: with the sign of a minus, and none on what rounds to zero."""
    text = f"{value:+.{digits}f}"
    if float(text) == 0:
        return text[1:]
    return text.replace("-", MINUS)


def interval(bounds: tuple[float, float] | None, digits: int) -> str:
    """[+0.10, +0.60], or nothing."""
    if bounds is None:
        return NOTHING
    return f"[{signed(bounds[0], digits)}, {signed(bounds[1], digits)}]"


def p_value(p: float | None) -> str:
    """Three decimals; "<0.001" below that."""
    if p is None:
        return NOTHING
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def count(value: float | None) -> str:
    """76,081; 25.56 M; 4.12 G; 1.20 T."""
    if value is None:
        return NOTHING
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if value >= size:
            return f"{value / size:.2f} {unit}"
    return f"{value:,.0f}"


def rate(value: float | None) -> str:
    """Images/s or milliseconds, to three digits or the integer."""
    if value is None:
        return NOTHING
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}" if value < 10 else f"{value:.1f}"


def memory(value: float | None) -> str:
    """Bytes as MiB or GiB."""
    if value is None:
        return NOTHING
    return f"{value / 2**30:.2f} GiB" if value >= 2**30 else f"{value / 2**20:.0f} MiB"


def mean_and_std(mean: float | None, std: float | None, metric: Metric) -> str:
    """92.31 ± 0.20; the mean alone where there is no deviation."""
    if mean is None:
        return NOTHING
    text = f"{mean:.{metric.digits}f}".replace("-", MINUS)
    return text if std is None else f"{text} ± {std:.{metric.digits}f}"


def published(figure: Figure | None, decimals: int) -> str:
    """92.33 ± 0.19, or 22.28, with the decimals of its table."""
    if figure is None:
        return NOTHING
    value, std = figure
    return f"{value:.{decimals}f}" + ("" if std is None else f" ± {std:.{decimals}f}")


def decimals(figures: Iterable[Figure]) -> int:
    """The most decimals that a value of a table has: a paper's 23.30 arrives as 23.3, beside a 22.28."""
    return max((len(f"{value:.10g}".partition(".")[2]) for value, _ in figures), default=0)
