"""Statistics of a few seeds: summary, paired difference to a baseline, correction for many comparisons.

With n values x_1 ... x_n:

* std: sqrt(sum (x_i - mean)^2 / (n - 1)), the sample's; undefined for n = 1.
* difference: d_i = x_i - b_i over the seeds i that both have; mean(d) +- t_{0.975, n-1} std(d) / sqrt(n).
* bootstrap: BCa interval of mean(d) (Efron, JASA 1987), percentile interval where BCa degenerates. Known to
  be too narrow for so few seeds: with five, the t interval is the one to trust.
* p: paired t test of mean(d) = 0, two-sided. Corrected by Holm (Scand. J. Statist. 1979) over the variants.

What cannot be had is None, never NaN: std needs two values, t interval and p two pairs that do not all differ
by the same, the bootstrap three pairs of which the same holds.
"""

import dataclasses
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import final

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 9999
FEWEST_FOR_BOOTSTRAP = 3
"""Two pairs give three different means; an interval from those says nothing."""

Interval = tuple[float, float]


@final
@dataclasses.dataclass(frozen=True)
class Summary:
    """What a variant's finished seeds say.

    Attributes:
        n: number of values.
        mean: their mean.
        std: sample standard deviation; None for one value.
        median: of the values.
        best: the largest, or the smallest where less is better.
    """

    n: int
    mean: float
    std: float | None
    median: float
    best: float


@final
@dataclasses.dataclass(frozen=True)
class Difference:
    """Variant minus baseline, over the seeds that both have.

    Attributes:
        pairs: number of such seeds.
        mean: of the differences.
        t_interval: 95 % interval of the mean by Student's t.
        bootstrap: 95 % interval of the mean by resampling the pairs.
        bootstrap_method: "BCa" or "percentile"; empty without an interval.
        p: two-sided p-value of the paired t test.
        p_corrected: `p` after Holm's correction over the variants.
    """

    pairs: int
    mean: float
    t_interval: Interval | None = None
    bootstrap: Interval | None = None
    bootstrap_method: str = ""
    p: float | None = None
    p_corrected: float | None = None


def summarize(values: Sequence[float], *, higher_is_better: bool) -> Summary | None:
    """The summary of the values of one variant; None if there are none."""
    if not values:
        return None
    return Summary(
        n=len(values),
        mean=float(np.mean(values)),
        std=float(np.std(values, ddof=1)) if len(values) > 1 else None,
        median=float(np.median(values)),
        best=max(values) if higher_is_better else min(values),
    )


def paired(
    variant: Mapping[int, float], baseline: Mapping[int, float], *, seed: int = 0
) -> Difference | None:
    """The difference between two variants, each given as value by seed; None without a common seed.

    Args:
        variant: values by seed.
        baseline: values by seed.
        seed: of the resampling, so that a report comes out the same every time.
    """
    common = sorted(variant.keys() & baseline.keys())
    if not common:
        return None
    values = np.array([variant[k] - baseline[k] for k in common])
    mean = float(np.mean(values))
    scale = max(max(abs(variant[k]), abs(baseline[k])) for k in common)
    # A spread of rounding errors (0.93 - 0.91 against 0.94 - 0.92) is none.
    if len(values) < 2 or np.ptp(values) <= 1e-12 * scale:
        return Difference(len(values), mean)
    from scipy import stats  # takes a while, and few calls get here

    test = stats.ttest_1samp(values, 0.0)
    low, high = test.confidence_interval(CONFIDENCE)
    interval, method = _bootstrap(values, seed)
    return Difference(
        pairs=len(values),
        mean=mean,
        t_interval=(float(low), float(high)),
        bootstrap=interval,
        bootstrap_method=method,
        p=float(test.pvalue),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: with p_(1) <= ... <= p_(m), max_{j <= i} min(1, (m - j + 1) p_(j))."""
    corrected = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = largest
    return corrected


def correct(differences: Sequence[Difference | None]) -> list[Difference | None]:
    """Fills `p_corrected`; the comparisons that have a p-value count, the others are no tests."""
    tested = [d.p for d in differences if d is not None and d.p is not None]
    corrected = iter(holm(tested))
    return [
        d if d is None or d.p is None else dataclasses.replace(d, p_corrected=next(corrected))
        for d in differences
    ]


def _bootstrap(values: np.ndarray, seed: int) -> tuple[Interval | None, str]:
    if len(values) < FEWEST_FOR_BOOTSTRAP:
        return None, ""
    interval = _resampled(values, "BCa", seed)
    if all(map(math.isfinite, interval)):
        return interval, "BCa"
    return _resampled(values, "percentile", seed), "percentile"


def _resampled(values: np.ndarray, method: str, seed: int) -> Interval:
    from scipy import stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a degenerate sample: its interval is not finite
        result = stats.bootstrap(
            (values,),
            np.mean,
            n_resamples=RESAMPLES,
            confidence_level=CONFIDENCE,
            method=method,
            rng=np.random.default_rng(seed),
        )
    low, high = result.confidence_interval
    return float(low), float(high)
