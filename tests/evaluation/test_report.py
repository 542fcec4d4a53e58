"""Intervals and tests against published values and against plain resampling."""

import numpy as np
import pytest
from scipy import stats

from nanoreason.evaluation.report import (bootstrap, crossed_bootstrap, harmonic_mean,
                                              mcnemar, paired_bootstrap, rate_of, ratio, wilson)


def mean(sums):
    return ratio(sums[:, 0], sums[:, 1])


def test_wilson_equals_published_values():
    # 1,106 and 1,027 of 1,319 are 81.8-85.7 % and 75.5-80.0 %.
    assert wilson(1106, 1319) == pytest.approx((0.818, 0.857), abs=5e-4)
    assert wilson(1027, 1319) == pytest.approx((0.755, 0.800), abs=5e-4)
    low, high = wilson(0, 10)
    assert low == pytest.approx(0.0, abs=1e-12) and high == pytest.approx(0.2775, abs=1e-4)


def test_wilson_of_nothing_is_none_and_impossible_counts_are_refused():
    assert wilson(0, 0) is None
    with pytest.raises(ValueError, match="must not be greater than n"):
        wilson(3, 2)


def test_a_share_without_exception_is_as_sure_as_its_problems_allow():
    problems = [number // 4 for number in range(40)]  # ten problems, four cases each
    for value, k in ((True, 10), (False, 0)):
        interval = rate_of([value] * 40, problems).to_dict()["interval"]
        assert interval == wilson(k, 10) and interval[1] - interval[0] > 0.27
    assert rate_of([True] + [False] * 39, problems).to_dict()["interval"] == pytest.approx(
        (0, 0.075), abs=0.01)  # one problem in ten varies: resampled, as ever


def test_harmonic_mean_is_zero_when_either_is():
    assert harmonic_mean([1.0, 0.5, 0.0, 1.0], [1.0, 1.0, 1.0, 0.0]) == pytest.approx(
        [1.0, 2 / 3, 0.0, 0.0]
    )
    assert np.isnan(harmonic_mean(np.nan, 1.0))


def test_bootstrap_matches_the_normal_interval_of_a_large_sample():
    right = np.arange(2000) % 4 != 0
    counts = np.stack([right, np.ones(2000)], axis=1)
    low, high = bootstrap(mean, counts, list(range(2000)))
    error = 1.96 * np.sqrt(0.75 * 0.25 / 2000)
    assert (low, high) == pytest.approx((0.75 - error, 0.75 + error), abs=1.5e-3)


def test_bootstrap_matches_a_plain_loop_over_problems():
    rng = np.random.default_rng(1)
    values, problems = rng.random(60), np.repeat(np.arange(20), 3)
    counts = np.stack([values, np.ones(60)], axis=1)
    low, high = bootstrap(mean, counts, problems.tolist())
    by_problem = values.reshape(20, 3).mean(axis=1)
    plain = [by_problem[rng.integers(20, size=20)].mean() for _ in range(10_000)]
    assert (low, high) == pytest.approx(np.percentile(plain, [2.5, 97.5]), abs=6e-3)


def test_rows_of_one_problem_are_drawn_together():
    right = np.repeat([0, 1] * 10, 50)  # 20 problems, 50 samples each that all agree
    counts = np.stack([right, np.ones(1000)], axis=1)
    clustered = bootstrap(mean, counts, np.repeat(np.arange(20), 50).tolist())
    independent = bootstrap(mean, counts, list(range(1000)))
    assert clustered[1] - clustered[0] > 5 * (independent[1] - independent[0])


def test_bootstrap_leaves_out_undefined_resamples_and_is_none_without_any():
    only_first = np.array([[1, 1]] + [[0, 0]] * 9)
    assert bootstrap(mean, only_first, list(range(10))) == (1.0, 1.0)
    assert bootstrap(mean, np.zeros((3, 2)), [1, 2, 3]) is None
    assert bootstrap(mean, np.zeros((0, 2)), []) is None
    with pytest.raises(ValueError, match="one per row"):
        bootstrap(mean, np.zeros((3, 2)), [1, 2])


def test_bootstrap_is_seeded():
    values = np.random.default_rng(0).random(1319)
    counts = np.stack([values, np.ones(1319)], axis=1)
    problems = list(range(1319))
    assert bootstrap(mean, counts, problems) == bootstrap(mean, counts, problems)


def test_mcnemar_counts_discordant_pairs_only():
    first = [True] * 50 + [True] * 9 + [False] * 1 + [False] * 40
    second = [True] * 50 + [False] * 9 + [True] * 1 + [False] * 40
    assert mcnemar(first, second) == (9, 1, pytest.approx(2 * (1 + 10) / 2**10))
    assert mcnemar([True, False], [True, False]) == (0, 0, 1.0)
    with pytest.raises(ValueError, match="longer"):
        mcnemar([True], [True, False])


def test_paired_bootstrap_uses_the_pairs():
    first = np.arange(200) % 2
    assert paired_bootstrap(first, first, list(range(200))) == (0.0, 0.0)
    low, high = paired_bootstrap(np.ones(200), first, list(range(200)))
    assert 0.4 < low < 0.5 < high < 0.6


def test_bootstrap_is_that_of_scipy():
    rng = np.random.default_rng(3)
    right, asked = rng.integers(0, 4, 80), np.full(80, 4)
    counts = np.stack([right, asked], axis=1)
    found = stats.bootstrap((right, asked), lambda a, b, axis: a.sum(axis) / b.sum(axis),
                            paired=True, vectorized=True, n_resamples=10_000,
                            method="percentile", rng=0).confidence_interval
    assert bootstrap(mean, counts, list(range(80))) == pytest.approx(found, abs=4e-3)


def test_intervals_and_tests_are_those_of_statsmodels():
    from statsmodels.stats.contingency_tables import mcnemar as reference
    from statsmodels.stats.proportion import proportion_confint

    for k, n in ((0, 10), (3, 7), (78, 500), (1319, 1319)):
        assert wilson(k, n) == pytest.approx(proportion_confint(k, n, method="wilson"), abs=1e-12)
    first = np.array([True] * 30 + [False] * 12 + [True] * 5)
    second = np.array([True] * 30 + [True] * 12 + [False] * 5)
    table = [[30, 5], [12, 0]]
    assert mcnemar(first, second)[2] == pytest.approx(reference(table, exact=True).pvalue)


def test_limits_do_not_show_the_order_in_which_numbers_were_added():
    values = np.random.default_rng(0).random(50)
    for limit in bootstrap(mean, np.stack([values, np.ones(50)], axis=1), list(range(50))):
        assert limit == round(limit, 10)


def test_crossed_bootstrap_draws_runs_and_problems():
    rng = np.random.default_rng(0)
    right = rng.random((1, 200)) < 0.6
    one = np.stack([right, np.ones_like(right)], axis=2).astype(float)
    # With one run, or with runs that agree, only the problems scatter.
    plain = bootstrap(mean, one[0], list(range(200)))
    assert crossed_bootstrap(mean, one) == pytest.approx(plain, abs=6e-3)
    assert crossed_bootstrap(mean, np.repeat(one, 5, axis=0)) == pytest.approx(plain, abs=6e-3)
    # Runs that are all right or all wrong: only the runs scatter.
    apart = np.stack([np.stack([np.full(200, float(k)), np.ones(200)], axis=1)
                      for k in (0, 0, 1, 1)])
    assert crossed_bootstrap(mean, apart) == (0.0, 1.0)
    assert crossed_bootstrap(mean, np.zeros((0, 3, 2))) is None
    assert crossed_bootstrap(mean, np.zeros((2, 3, 2))) is None
    with pytest.raises(ValueError, match="expected 3"):
        crossed_bootstrap(mean, np.zeros((2, 3)))
