"""Statistics of few seeds, against numbers worked out by hand and against enumeration."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chanattn.report.statistics import correct, holm, paired, summarize

T_975 = {1: 12.706204736, 2: 4.302652730}  # quantiles of Student's t, from a printed table


def seeds(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


def test_summary_has_the_sample_deviation() -> None:
    found = summarize([2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0], higher_is_better=True)
    assert found is not None
    assert (found.n, found.mean, found.median, found.best) == (8, 5.0, 4.5, 9.0)
    assert found.std == pytest.approx(math.sqrt(32 / 7))


def test_best_is_the_smallest_where_less_is_better() -> None:
    found = summarize([0.3, 0.2], higher_is_better=False)
    assert found is not None
    assert found.best == 0.2


def test_one_seed_has_no_deviation_and_no_seed_no_summary() -> None:
    found = summarize([92.5], higher_is_better=True)
    assert found is not None
    assert found.std is None
    assert found.mean == found.median == found.best == 92.5
    assert summarize([], higher_is_better=True) is None


def test_three_pairs_by_hand() -> None:
    # d = 2, 3, 1: mean 2, deviation 1, t = 2 sqrt(3); with two degrees of freedom p = 1 - t / sqrt(2 + t^2).
    found = paired(seeds(3.0, 5.0, 4.0), seeds(1.0, 2.0, 3.0))
    assert found is not None
    assert (found.pairs, found.mean) == (3, 2.0)
    assert found.p == pytest.approx(1 - 2 * math.sqrt(3) / math.sqrt(14))
    half = T_975[2] / math.sqrt(3)
    assert found.t_interval == pytest.approx((2 - half, 2 + half))


def test_two_pairs_have_an_interval_and_no_bootstrap() -> None:
    # d = 1, 3: t = 2; with one degree of freedom p = 1 - (2 / pi) arctan(t).
    found = paired(seeds(2.0, 4.0), seeds(1.0, 1.0))
    assert found is not None
    assert found.p == pytest.approx(1 - 2 / math.pi * math.atan(2))
    assert found.t_interval == pytest.approx((2 - T_975[1], 2 + T_975[1]))
    assert found.bootstrap is None
    assert found.bootstrap_method == ""


def test_only_seeds_that_both_have_are_paired() -> None:
    found = paired({0: 1.0, 1: 5.0, 3: 9.0}, {1: 4.0, 2: 100.0, 3: 7.0})
    assert found is not None
    assert (found.pairs, found.mean) == (2, 1.5)
    assert paired({0: 1.0}, {1: 1.0}) is None


@pytest.mark.parametrize(
    "variant",
    [
        seeds(93.0),  # one pair
        seeds(93.0, 94.0, 95.0),  # all by the same amount
        seeds(92.0, 93.0, 94.0),  # no difference at all
    ],
)
def test_without_spread_interval_and_p_are_undefined(variant: dict[int, float]) -> None:
    found = paired(variant, seeds(92.0, 93.0, 94.0))
    assert found is not None
    assert found.mean == pytest.approx(variant[0] - 92.0)
    assert (found.t_interval, found.bootstrap, found.p) == (None, None, None)


def test_rounding_errors_are_no_spread() -> None:
    found = paired(seeds(0.93, 0.94, 0.95), seeds(0.91, 0.92, 0.93))
    assert len({0.93 - 0.91, 0.94 - 0.92, 0.95 - 0.93}) > 1
    assert found is not None
    assert found.p is None


def test_bootstrap_of_a_symmetric_sample_is_that_of_all_resamples() -> None:
    # Symmetric differences have neither bias nor skewness, so BCa is the percentile interval; of the
    # 5^5 resamples that is exact.
    values = [-2.0, -1.0, 0.0, 1.0, 2.0]
    found = paired(seeds(*values), seeds(0.0, 0.0, 0.0, 0.0, 0.0))
    means = np.mean(list(itertools.product(values, repeat=5)), axis=1)
    assert found is not None
    assert found.bootstrap_method == "BCa"
    assert found.bootstrap == pytest.approx(np.quantile(means, (0.025, 0.975)), abs=0.1)


def test_bootstrap_is_the_same_every_time_and_not_as_wide_as_the_range() -> None:
    one, two = seeds(1.0, 2.0, 4.0, 8.0), seeds(0.5, 0.25, 0.0, 1.0)
    first, again = paired(one, two), paired(one, two)
    assert first == again
    assert first is not None
    assert first.bootstrap is not None
    assert 0.5 <= first.bootstrap[0] < first.mean < first.bootstrap[1] <= 7.0


def test_percentiles_stand_in_where_the_acceleration_of_bca_is_no_number() -> None:
    # The cubes of such differences underflow to 0 / 0.
    found = paired(seeds(1e-110, 2e-110, 4e-110), seeds(0.0, 0.0, 0.0))
    assert found is not None
    assert found.bootstrap_method == "percentile"
    assert found.bootstrap is not None
    assert 1e-110 <= found.bootstrap[0] < found.bootstrap[1] <= 4.01e-110


def test_holm_by_hand() -> None:
    # In order: 4 x 0.005, 3 x 0.01, 2 x 0.03, and 1 x 0.04, which may not be less than the one before.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0.0, 1.0), min_size=1, max_size=12))
def test_holm_lies_between_no_correction_and_bonferroni(p_values: list[float]) -> None:
    corrected = holm(p_values)
    for p, better in zip(p_values, corrected, strict=True):
        assert p <= better <= min(1.0, len(p_values) * p) + 1e-12
    order = np.argsort(p_values, kind="stable")
    assert np.all(np.diff(np.array(corrected)[order]) >= 0)


def test_comparisons_without_a_p_value_are_no_tests() -> None:
    base = seeds(1.0, 2.0, 3.0)
    real = paired(seeds(3.0, 5.0, 4.0), base)
    assert real is not None
    corrected = correct([None, real, paired(seeds(2.0, 3.0, 4.0), base), real])
    assert [d and d.p_corrected for d in corrected] == [
        None,
        pytest.approx(2 * (real.p or 0.0)),
        None,
        pytest.approx(2 * (real.p or 0.0)),
    ]
