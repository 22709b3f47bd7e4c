"""Studies whose law is known: size factors, losses of known form, forecasts, and abilities that do not emerge."""
from dataclasses import dataclass

import numpy as np
from scipy import stats

from simplelm.laws.emergence import drawn_studies, judge
from simplelm.laws.forecast import forecast_gap
from simplelm.laws.rivals import RIVALS, TESTED, Replicates, _score, misfit_p, rival_p
from simplelm.laws.size_factor import Curves, _over_groups, _reach, best_shift, parallel_p, rises, shift_weights, straightened, weighted_sum

SIZES = np.array([3e4, 1.5e5, 8e5])
TASKS, ITEMS = 6, 40


# Size factors

@dataclass(frozen=True)
class FactorWorld:
    """Two languages, one of which does what models `k` times as large do in the other."""
    measure: str                                   # "tasks", or "text" for bits per byte
    seeds: int                                     # of each language and size
    spread: float                                  # of a model on a task, in log-odds; of a model's log loss for "text"
    k: float = 1.5
    tilt: float = 0.0                              # added to the slope of one language, in log-odds


def task_curves(world, trials, rng):
    """Answers of every arm, (trials, seeds, items), in log-odds."""
    u, groups = np.log(SIZES) - np.log(SIZES).mean(), np.repeat(np.arange(TASKS), ITEMS)
    ease = rng.standard_normal((trials, 1, len(groups)), np.float32)
    arms = []
    for shift, turn in ((np.log(world.k), world.tilt), (0.0, 0.0)):
        own = ease + 0.2*rng.standard_normal((trials, 1, len(groups)), np.float32)
        for rise in (0.4 + turn)*(u + shift):
            taste = world.spread*rng.standard_normal((trials, world.seeds, TASKS), np.float32)
            odds = np.float32(rise) + own + taste[..., groups]
            right = rng.random(odds.shape, dtype=np.float32) < 1/(1 + np.exp(-odds))
            arms.append(straightened(right.astype(np.float32), groups, "accuracy"))
    return two_languages(arms, groups, "items")


def text_curves(world, trials, rng):
    """Minus the bits per byte of every arm, (trials, seeds, 1)."""
    arms = []
    for k in (world.k, 1.0):
        for truth in 0.6 + 8*(SIZES*k)**-0.25:
            loss = truth*np.exp(world.spread*rng.standard_normal((trials, world.seeds, 1)))
            arms.append(straightened(-loss, np.zeros(1, int), "loss"))
    return two_languages(arms, np.zeros(1, int), "none")


def two_languages(arms, groups, unit):
    n = len(SIZES)
    return Curves(arms, np.tile(np.log(SIZES), 2), np.arange(2*n) < n, np.tile(np.arange(n), 2), groups, unit)


def factor_verdicts(world, trials, seed, chunk=250):
    """Share of studies whose interval holds the factor, of those that give one; and the share that are withheld."""
    rng, held, withheld = np.random.default_rng(seed), [], []
    for _ in range(trials//chunk):
        curves = (task_curves if world.measure == "tasks" else text_curves)(world, chunk, rng)
        means = np.stack([_over_groups(v.mean(-2), curves.groups) for v in curves.values], -1)
        theta = best_shift(means, curves)
        slope, p = rises(curves)
        inside = np.abs(theta) <= _reach(curves)
        parallel = parallel_p(curves, np.where(inside, theta, 0.0))
        withheld.append((slope <= 0) | (p >= 0.05) | ~inside | (parallel < 0.05))
        left, error, freedom = weighted_sum(curves, shift_weights(curves, np.log(world.k)))
        held.append(np.abs(left) <= stats.t.isf(0.025, freedom)*error)
    held, withheld = np.concatenate(held), np.concatenate(withheld)
    return float(held[~withheld].mean()) if not withheld.all() else np.nan, float(withheld.mean())


FACTORS = [FactorWorld("tasks", seeds, spread) for seeds in (3, 4, 5) for spread in (0.0, 0.03, 0.06)]
FACTORS += [FactorWorld("text", seeds, spread) for seeds in (3, 5) for spread in (0.003, 0.01)]


# Losses of known form

X = np.geomspace(1e4, 1e6, 5)                      # parameters of five sizes
U = np.log(X/X[0])
FORMS = {
    "log-linear": 1.8 - 0.12*U,
    "exponential": 1.2 + 0.6*np.exp(-3*X/X[-1]),
    "power law": 1 + 8*X**-0.25,
    "power law without E": 1.8*np.exp(-0.1*U),
    "broken power law": 1.8*np.exp(-0.02*U - 0.2*0.3*np.logaddexp(0, (U - U[2])/0.3)),
}


def shown_share(form, noise, trials, seed, seeds=3, draws=59, chunk=200):
    """How often "follows a power law" is shown, by the rules of `follows_power_law`, in many studies."""
    rng, shown = np.random.default_rng(seed), 0
    for _ in range(trials//chunk):
        y = np.log(FORMS[form]) + noise*rng.standard_normal((chunk, seeds, len(X)))
        freedom = (seeds - 1)*len(X)
        spread = np.sqrt(y.var(1, ddof=1).mean(-1)/seeds)          # (chunk,) of the means
        y = y.mean(1)
        table = Replicates(X, y[0], np.full(len(X), seeds), np.arange(len(X)), np.eye(len(X)), freedom, seeds)
        power = _score("power law", table, y)
        best = np.all([_score(name, table, y) > power for name in RIVALS], axis=0)
        y, spread = y[best], spread[best]
        if not len(y): continue
        doubt = np.sqrt(freedom/rng.chisquare(freedom, (len(y), draws, 1)))
        drawn = spread[:, None, None]*doubt*rng.standard_normal((len(y), draws, len(X)))
        p = np.max([rival_p(name, table, y, drawn) for name in TESTED], axis=0)
        shown += int(((p < 0.05) & (misfit_p(table, y, drawn) >= 0.05)).sum())
    return shown/trials


# Abilities

@dataclass(frozen=True)
class Ability:
    """Log-odds that rise evenly with size, so that nothing emerges, in models that differ from each other."""
    sizes: int
    rise: float                                    # of the mean log-odds over all sizes
    spread: float                                  # between models of one size, in log-odds
    seeds: int = 3
    items: int = 100

    def draw(self, rng):
        """Log-odds and right answers, (sizes, seeds, items)."""
        course = np.linspace(0, self.rise, self.sizes)[:, None, None]
        own = course + 1.5*rng.standard_normal(self.items) + self.spread*rng.standard_normal((self.sizes, self.seeds, 1))
        odds = own + 0.3*rng.standard_normal((self.sizes, self.seeds, self.items))
        return odds, (odds > 0).astype(float)


def sharp_share(world, trials, seed, draws=99, drawn=drawn_studies):
    """How often a study calls an ability sharp."""
    rng, u, sharp = np.random.default_rng(seed), np.linspace(0, 6, world.sizes), 0
    for _ in range(trials):
        odds, right = world.draw(rng)
        accuracy, margin = drawn(list(odds), list(right), draws, rng)
        sharp += judge(accuracy, u, margin, seeds=world.seeds).verdict == "sharp"
    return sharp/trials


def items_alone(odds, right, draws, rng):
    """An earlier rule: items are drawn again, and seeds are averaged away."""
    n = odds[0].shape[1]
    weight = np.vstack([np.ones(n), rng.multinomial(n, np.full(n, 1/n), draws)])/n
    return tuple(weight @ np.mean(tables, axis=1).T for tables in (right, odds))


ABILITIES = [Ability(sizes, 0.5, spread) for sizes in (5, 8) for spread in (0.1, 0.3, 0.6)]


# Forecasts

def forecasts_held(noise, trials, seed, seeds=3):
    """How often the interval of measured minus forecast holds zero, where a power law is true."""
    rng, x, held = np.random.default_rng(seed), np.tile(X, seeds), 0
    for trial in range(trials):
        loss = FORMS["power law"]*np.exp(noise*rng.standard_normal((seeds, len(X))))
        gap = forecast_gap(x, loss.ravel(), 0.05, draws=400, seed=trial).difference
        held += gap.low <= 0 <= gap.high
    return held/trials


def all_rows(trials):
    """What each procedure promises, and what it keeps: one row a world."""
    for number, world in enumerate(FACTORS):
        held, withheld = factor_verdicts(world, trials, number)
        where = f"{world.measure}, 3 sizes"
        yield dict(procedure="size factor", world=where, seeds=world.seeds, spread=world.spread, quantity="coverage", value=held)
        yield dict(procedure="size factor", world=where, seeds=world.seeds, spread=world.spread, quantity="withheld", value=withheld)
    for form in FORMS:
        for noise in (0.003, 0.01):
            shown = shown_share(form, noise, trials, 100)
            yield dict(procedure="power law", world=f"{form}, 5 sizes", seeds=3, spread=noise, quantity="shown", value=shown)
    for noise in (0.003, 0.01):
        held = forecasts_held(noise, trials, 200)
        yield dict(procedure="forecast", world="power law, 5 sizes", seeds=3, spread=noise, quantity="coverage", value=held)
    for world in ABILITIES:
        for rule, drawn in (("seeds and items", drawn_studies), ("items alone", items_alone)):
            sharp, where = sharp_share(world, trials, 300, drawn=drawn), f"even rise, {world.sizes} sizes, {rule} drawn"
            yield dict(procedure="emergence", world=where, seeds=world.seeds, spread=world.spread, quantity="sharp", value=sharp)
