"""Comparisons raise false alarms as often as they promise, and their intervals hold the truth."""
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from conftest import ROOT
from simplelm.scoring.comparison import Arm, compare, crossed_error, equivalence, holm, mcnemar, non_inferiority
from law_simulation import ABILITIES, FACTORS, Ability, FactorWorld, factor_verdicts, items_alone, sharp_share, shown_share
from simulation import EFFECT, FURTHER, WORLDS, World, calibrate_world, draw_arms

TRIALS = 2000
FIVE_PERCENT = np.array([0.035, 0.065])


def label(world): return f"{world.kind}, {world.seeds}, {world.spread:g}"


@pytest.mark.parametrize("number, world", list(enumerate(WORLDS)), ids=lambda v: label(v) if isinstance(v, World) else "")
def test_false_alarms_and_coverage(number, world):
    found = calibrate_world(world, TRIALS, number)
    assert found["false_alarms"] <= 0.065
    assert found["coverage"] >= 0.93
    if world.spread >= 1: assert found["false_alarms"] >= 0.035


@pytest.mark.parametrize("name", [name for name in FURTHER if not name.startswith("one arm")])
def test_sizes_paired_seeds_and_borrowed_spread(name):
    for number, world in enumerate(FURTHER[name]):
        found = calibrate_world(world, TRIALS, 500 + number)
        assert 0.03 <= found["false_alarms"] <= 0.065 and found["coverage"] >= 0.93, (label(world), found)


def test_the_simulation_calls_what_users_call():
    """`compare` gives each simulated study the numbers that the vectorised error gives all of them."""
    world = replace(WORLDS[20], effect=EFFECT)
    first, second = draw_arms(world, 5, np.random.default_rng(0))
    found = crossed_error([second, first], [world.groups], world.unit)
    for k, (difference, variance, freedom) in enumerate(zip(*found)):
        one = compare(second.values[k], first.values[k], groups=world.groups, unit=world.unit)
        np.testing.assert_allclose([one.difference, one.error**2, one.freedom], [difference, variance, freedom], rtol=1e-4)


def test_the_committed_table_keeps_the_promise():
    """4,000 studies a cell, as tests/benchmarks/calibration.py writes them."""
    pandas = pytest.importorskip("pandas")
    table = pandas.read_csv(ROOT/"nbs"/"results"/"calibration.csv")
    table = table[table.world == "as assumed"]
    assert len(table) == len(WORLDS)
    assert table.false_alarms.max() <= 0.065 and table.coverage.min() >= 0.93
    assert table.false_alarms[table.spread >= 1].min() >= 0.035


# What an earlier rule did, written here, and what is done now

def earlier_rule(first, second, groups):
    """Items and seeds added up: paired over items, and over seeds where there are two; p of every trial."""
    counts, seeds = np.bincount(groups), first.shape[1]
    d = first.mean(1) - second.mean(1)
    parts = np.split(d, np.cumsum(counts)[:-1], axis=1)
    variance = sum(part.var(1, ddof=1)/part.shape[1] for part in parts)/len(parts)**2
    freedom = len(groups) - len(counts)
    if seeds > 1:
        means = [np.mean([part.mean(-1) for part in np.split(a, np.cumsum(counts)[:-1], axis=2)], axis=0) for a in (first, second)]
        variance, freedom = variance + sum(m.var(1, ddof=1)/seeds for m in means), 2*seeds - 2
    difference = np.mean([part.mean(1) for part in parts], axis=0)
    return 2*stats.t.sf(np.abs(difference)/np.sqrt(variance), freedom), np.sqrt(variance)*stats.t.isf(0.025, freedom)


def present_rule(arms, world):
    difference, variance, freedom = crossed_error(arms, [world.groups], world.unit)
    return 2*stats.t.sf(np.abs(difference)/np.sqrt(variance), freedom)


@pytest.mark.parametrize("kind, spread", [("one task", 1.5), ("12 tasks", 1.5), ("67 paradigms", 4.0)])
def test_one_seed_is_no_study(kind, spread):
    """Without any effect the earlier rule found one in more than a third of the studies of one seed."""
    world = World(kind, (1, 1), spread)
    first, second = (arm.values.astype(float) for arm in draw_arms(world, TRIALS, np.random.default_rng(1)))
    assert (earlier_rule(first, second, world.groups)[0] < 0.05).mean() > 0.33
    assert compare(first[0], second[0], groups=world.groups, unit=world.unit).verdict is None
    three = World(kind, (3, 3), spread)
    assert (present_rule(draw_arms(three, TRIALS, np.random.default_rng(2)), three) < 0.05).mean() <= 0.065


def test_any_of_eight_comparisons():
    """Eight comparisons of one seed each: some false alarm in most studies, after Holm; in one of twenty now."""
    found = {}
    for seeds in (1, 3):
        world = World("67 paradigms", (seeds, seeds), 4.0)
        arms = draw_arms(world, 8*250, np.random.default_rng(seeds))
        values = [arm.values.astype(float) for arm in arms]
        p = earlier_rule(*values, world.groups)[0] if seeds == 1 else present_rule(arms, world)
        any_of = [holm(row).min() < 0.05 for row in np.asarray(p, float).reshape(250, 8)]
        found[seeds] = np.mean(any_of)
    assert found[1] > 0.8 and found[3] <= 0.065


def test_a_second_seed_does_not_widen_intervals():
    """The earlier rule counted answers twice, on two degrees of freedom: a second seed made intervals wider."""
    world = World("12 tasks", (2, 2), 0.0)
    arms = draw_arms(world, TRIALS, np.random.default_rng(3))
    first, second = (arm.values.astype(float) for arm in arms)
    p, two = earlier_rule(first, second, world.groups)
    one = earlier_rule(first[:, :1], second[:, :1], world.groups)[1]
    assert (p < 0.05).mean() < 0.005 and (two > one).mean() > 0.7
    ten = World("12 tasks", (10, 10), 0.0)
    assert (present_rule(draw_arms(ten, TRIALS, np.random.default_rng(4)), ten) < 0.05).mean() > 0.035


def test_pairing_by_items_and_tasks_that_are_half_by_construction():
    """Accuracies with binomial errors, unpaired, gave an interval more than half again too wide."""
    rng = np.random.default_rng(5)
    ease = 2.5*rng.standard_normal(600)
    one, other = ((rng.random((3, 600)) < 1/(1 + np.exp(-ease))).astype(float) for _ in range(2))
    one[:, 300:] = other[:, 300:] = 0.5
    task = np.repeat([0, 1], 300)
    errors = [np.sqrt(sum(np.mean(a[:, task == t])*(1 - np.mean(a[:, task == t]))/300 for a in (one, other))) for t in (0, 1)]
    earlier = np.hypot(*errors)/2
    found = compare(one, other, groups=task)
    assert earlier > 1.6*found.error
    alone = compare(one[:, :300], other[:, :300])
    np.testing.assert_allclose([found.difference, found.error], [alone.difference/2, alone.error/2])


# Against other software and other formulas

def test_special_cases_are_textbook_tests():
    rng = np.random.default_rng(6)
    one, other = rng.normal(size=(5, 40)), rng.normal(size=(4, 40))
    theirs = stats.ttest_ind(one.mean(1), other.mean(1))
    found = compare(one, other, unit="none")
    np.testing.assert_allclose([found.p, found.low, found.high], [theirs.pvalue, *theirs.confidence_interval(0.95)])
    theirs = stats.ttest_rel(one[0], other[0])
    found = compare(one[:1], other[:1])
    np.testing.assert_allclose([found.p, found.low, found.high], [theirs.pvalue, *theirs.confidence_interval(0.95)])
    theirs = stats.ttest_rel(one[:4].mean(1), other.mean(1))
    assert compare(one[:4], other, unit="none", same_seeds=True).p == pytest.approx(theirs.pvalue)
    theirs = stats.ttest_ind(one[0], other[0], equal_var=False)
    assert compare(one[:1], other[:1], paired=False).p == pytest.approx(theirs.pvalue)


def test_groups_may_differ_in_size_and_order_never_matters():
    rng = np.random.default_rng(7)
    one, other = rng.normal(size=(3, 30)), rng.normal(size=(6, 30))
    groups = np.repeat(["a", "b", "c", "d"], [3, 5, 9, 13])
    order = rng.permutation(30)
    for unit in ("items", "groups", "none"):
        found = compare(one, other, groups=groups, unit=unit)
        mixed = compare(one[::-1][:, order], other[:, order], groups=groups[order], unit=unit)
        swapped = compare(other, one, groups=groups, unit=unit)
        for value in ("difference", "low", "high", "p", "error", "freedom", "seen"):
            assert getattr(mixed, value) == pytest.approx(getattr(found, value), rel=1e-9)
        np.testing.assert_allclose([swapped.low, swapped.high], [-found.high, -found.low])
        means = [np.mean([(a.mean(0))[groups == g].mean() for g in "abcd"]) for a in (one, other)]
        assert found.difference == pytest.approx(means[0] - means[1])


def test_sizes_are_averaged():
    rng = np.random.default_rng(8)
    one, other = rng.normal(size=(2, 4, 3, 50))
    found = compare(list(one), list(other))
    assert found.difference == pytest.approx(np.mean([compare(a, b).difference for a, b in zip(one, other)]))
    assert found.seeds == 3 and found.freedom > compare(one[0], other[0], unit="none").freedom


def test_different_items():
    """Two sets of items: their ease is part of the error; paradigms of one name stay paired."""
    rng = np.random.default_rng(9)
    one, other = rng.normal(size=(3, 60)), rng.normal(size=(3, 90))
    labels = np.repeat(np.arange(6), 10), np.repeat(np.arange(6), 15)
    found = compare(one, other, groups=labels, unit="groups", paired=False)
    means = [np.stack([a[:, g == k].mean(1) for k in range(6)], 1) for a, g in zip((one, other), labels)]
    assert found.error == pytest.approx(compare(*means).error)
    assert compare(one, other, groups=labels, paired=False).difference == pytest.approx(found.difference)


def test_holm_mcnemar_and_equivalence_against_statsmodels():
    pytest.importorskip("statsmodels")
    from statsmodels.stats.contingency_tables import mcnemar as their_mcnemar
    from statsmodels.stats.multitest import multipletests
    from statsmodels.stats.weightstats import CompareMeans, DescrStatsW
    rng = np.random.default_rng(10)
    for n in (1, 2, 9, 40):
        p = rng.random(n)**3
        np.testing.assert_allclose(holm(p), multipletests(p, method="holm")[1])
    for _ in range(10):
        one, other = rng.random((2, 50)) < 0.6
        table = [[np.sum(one & other), np.sum(one & ~other)], [np.sum(~one & other), np.sum(~one & ~other)]]
        assert mcnemar(one, other) == pytest.approx(their_mcnemar(table, exact=True).pvalue)
    one, other = rng.normal(size=(6, 20)), rng.normal(size=(5, 20))
    found = compare(one, other, unit="none")
    theirs = CompareMeans(DescrStatsW(one.mean(1)), DescrStatsW(other.mean(1)))
    for margin in (0.1, 0.3, 1.0):
        p, (lower, upper) = theirs.ttost_ind(-margin, margin, usevar="pooled")
        assert equivalence(found, margin).p == pytest.approx(p)
        assert non_inferiority(found, margin).p == pytest.approx(lower[1])
        assert non_inferiority(found, margin, higher_is_better=False).p == pytest.approx(upper[1])


def test_equivalence_raises_false_alarms_at_five_percent():
    """Arms that differ by exactly the margin are called equivalent in at most one of twenty studies."""
    rng, called = np.random.default_rng(11), []
    for _ in range(1000):
        one, other = 1 + rng.normal(size=(5, 1)) + np.zeros((5, 3)), rng.normal(size=(5, 1)) + np.zeros((5, 3))
        called.append(equivalence(compare(one, other, unit="none"), 1.0).verdict == "shown")
    assert np.mean(called) <= FIVE_PERCENT[1]


def test_power_is_what_is_said():
    """A true difference of the size `seen` is found in four of five studies."""
    rng, shift = np.random.default_rng(12), compare(*np.array([[[-1.0], [0], [1]], [[-1], [0], [1]]]), unit="none").seen
    one, other = rng.normal(size=(2, 4000, 3, 1))
    difference, variance, freedom = crossed_error([Arm(one + shift, 1), Arm(other, -1)], [np.zeros(1, int)], "none")
    found = np.abs(difference)/np.sqrt(variance) > stats.t.isf(0.025, freedom)
    assert 0.77 < found.mean() < 0.83


# Laws

@pytest.mark.parametrize("number, world", list(enumerate(FACTORS)), ids=lambda v: f"{v.measure} {v.seeds} {v.spread}" if isinstance(v, FactorWorld) else "")
def test_size_factors_hold_the_truth(number, world):
    """Three sizes; a true factor of 1.5; parallel curves are withheld in one of twenty studies."""
    held, withheld = factor_verdicts(world, TRIALS, 600 + number)
    assert held >= 0.93 and withheld <= 0.07


def test_curves_that_differ_have_no_factor():
    held, withheld = factor_verdicts(FactorWorld("tasks", 5, 0.03, 1.0, tilt=0.4), TRIALS, 700)
    assert withheld > 0.9


@pytest.mark.parametrize("noise", [0.003, 0.01])
@pytest.mark.parametrize("form", ["log-linear", "exponential", "broken power law"])
def test_other_forms_are_no_power_law(form, noise):
    assert shown_share(form, noise, TRIALS, 800) <= 0.05


def test_a_power_law_is_found():
    """The power at the noise of a study."""
    assert shown_share("power law", 0.003, 200, 900) > 0.8


def test_a_positive_exponent_shows_no_power_law():
    """The earlier rule asked only whether the exponent is above zero: a log-linear loss passed every time."""
    from law_simulation import FORMS, X
    from simplelm.laws.scaling import fit_power_law
    rng, x = np.random.default_rng(9), np.tile(X, 3)
    for form in ("log-linear", "exponential"):
        fits = [fit_power_law(x, np.tile(FORMS[form], 3)*np.exp(0.003*rng.standard_normal(15)), bootstraps=40) for _ in range(10)]
        assert all(fit.significant for fit in fits)


@pytest.mark.parametrize("number, world", list(enumerate(ABILITIES)), ids=lambda v: f"{v.sizes} {v.spread}" if isinstance(v, Ability) else "")
def test_nothing_emerges(number, world):
    """False "sharp" verdicts where log-odds rise evenly and models of one size differ."""
    assert sharp_share(world, 500, 1000 + number, draws=59) <= 0.05


def test_items_alone_make_sharp_abilities():
    """The earlier rule drew items again and averaged seeds away."""
    assert sharp_share(Ability(5, 0.5, 0.6), 300, 1100, draws=59, drawn=items_alone) > 0.08
