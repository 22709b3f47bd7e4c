"""Worlds whose true difference is known: models of two languages answer items of many groups."""
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from simplelm.scoring.comparison import Arm, crossed_error

EASE, EASE_SPREAD, INTERACTION = 0.4, 1.5, 0.5     # of an item, in log-odds: mean, spread, and what an arm adds
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(40)
WEIGHTS = WEIGHTS/WEIGHTS.sum()
KINDS = {"one task": (1, 200, "items"), "12 tasks": (12, 40, "items"), "67 paradigms": (67, 10, "groups")}


@dataclass(frozen=True)
class World:
    """What is true of a study; all spreads are standard deviations in log-odds."""
    kind: str                                      # a key of `KINDS`
    seeds: tuple[int, int]                         # models of each arm
    spread: float                                  # between seeds, in units of the item error of one model
    effect: float = 0.0                            # of the second arm
    uneven: float = 1.0                            # seed spread of the first arm in units of the other's
    paradigm: float = 0.6                          # of the ease of paradigms
    taste: float = 0.2                             # what an arm adds to a paradigm, and what a model does
    sizes: int = 1                                 # the contrast is their mean; each has its own seeds
    same_seeds: bool = False                       # four fifths of the seed variance are common to both arms
    others: int = 0                                # further arms, which lend their seed spread

    @property
    def shape(self): return KINDS[self.kind][:2]

    @property
    def unit(self): return KINDS[self.kind][2]

    @property
    def groups(self): return np.repeat(np.arange(self.shape[0]), self.shape[1])

    @property
    def clusters(self): return self.unit == "groups"

    @property
    def effects(self):
        """What the second arm adds in each fixed group; random groups get it from `taste`."""
        if self.clusters or not self.effect: return np.full(self.shape[0], self.effect)
        return self.effect*np.linspace(0.2, 1.8, self.shape[0]) if self.shape[0] > 1 else np.array([self.effect])

    def chance(self, shift, spread):
        """Mean probability of a right answer where log-odds are normal."""
        return float(WEIGHTS @ (1/(1 + np.exp(-(EASE + shift + spread*NODES)))))

    @property
    def seed_spread(self):
        """Between seeds, in log-odds: `spread` times the error that items give to one model's mean."""
        between = np.hypot(EASE_SPREAD, INTERACTION)
        odds = EASE + between*NODES
        right = 1/(1 + np.exp(-odds))
        slope, mean = WEIGHTS @ (right*(1 - right)), WEIGHTS @ right
        error = np.sqrt(mean*(1 - mean)/len(self.groups))
        if self.clusters:
            means = [self.chance(self.paradigm*z, between) for z in NODES]
            error = np.sqrt(WEIGHTS @ (np.array(means) - mean)**2/self.shape[0])
        return self.spread*error/slope

    @property
    def truth(self):
        """The second arm's mean minus the first's, over all items, groups and seeds that there could be."""
        spread = [np.sqrt(EASE_SPREAD**2 + INTERACTION**2 + (k*self.seed_spread)**2
                          + self.clusters*(self.paradigm**2 + 2*self.taste**2)) for k in (self.uneven, 1.0)]
        second = np.mean([self.chance(effect, spread[1]) for effect in self.effects])
        return second - self.chance(0.0, spread[0])


def draw_arms(world, trials, rng):
    """Answers of all arms, (trials, seeds, items) each, weighted as in the contrast."""
    groups, clusters, arms = world.groups, world.clusters, []
    def normal(*shape): return rng.standard_normal((trials, *shape), dtype=np.float32)
    items = EASE + EASE_SPREAD*normal(len(groups))
    if clusters: items += world.paradigm*normal(world.shape[0])[:, groups]
    kinds = [(world.seeds[0], 0*world.effects, world.uneven, -1), (world.seeds[1], world.effects, 1.0, 1)]
    kinds += [(world.seeds[0], 0*world.effects, 1.0, 0)]*world.others
    common = normal(world.sizes, world.seeds[0], 1)*np.sqrt(0.8) if world.same_seeds else None
    for seeds, effects, uneven, weight in kinds:
        odds = items + INTERACTION*normal(len(groups)) + effects[groups].astype(np.float32)
        if clusters: odds += world.taste*normal(world.shape[0])[:, groups]
        for size in range(world.sizes):
            seed = normal(seeds, 1)
            if world.same_seeds: seed = common[:, size] + seed*np.sqrt(0.2)
            own = odds[:, None] + (uneven*world.seed_spread*seed).astype(np.float32)
            if clusters: own = own + world.taste*normal(seeds, world.shape[0])[..., groups]
            right = rng.random(own.shape, dtype=np.float32) < 1/(1 + np.exp(-own))
            arms.append(Arm(right.astype(np.float32), weight/world.sizes, size))
    if not world.same_seeds: return arms
    return [Arm(b.values - a.values, b.weight, a.size) for a, b in zip(arms[:world.sizes], arms[world.sizes:])]


def missed(world, trials, seed=0):
    """Share of trials whose 95% interval misses the truth; with no effect, false alarms."""
    arms = draw_arms(world, trials, np.random.default_rng(seed))
    found = crossed_error(arms, [world.groups], world.unit)
    difference, variance, freedom = (np.asarray(v, float) for v in found)
    reach = stats.t.isf(0.025, freedom)*np.sqrt(variance)
    return float(np.mean(np.abs(difference - world.truth) > reach))


def calibrate_world(world, trials, seed):
    """False alarms where arms do not differ, and coverage where they do."""
    alarms, misses = missed(world, trials, seed), missed(replace(world, effect=EFFECT), trials, 10_000 + seed)
    return dict(false_alarms=alarms, coverage=1 - misses, effect=replace(world, effect=EFFECT).truth)


EFFECT = 0.3                                       # in log-odds, about .05 in accuracy
SEEDS, SPREADS = ((3, 3), (5, 5), (10, 10), (3, 10), (6, 4)), (0.0, 0.5, 1.0, 2.0)
WORLDS = [World(kind, seeds, spread) for kind in KINDS for seeds in SEEDS for spread in SPREADS]
FURTHER = {
    "four sizes": [World(kind, (3, 3), spread, sizes=4) for kind in KINDS for spread in (0.5, 2.0)],
    "same seeds paired": [World(kind, (5, 5), 2.0, same_seeds=True) for kind in KINDS],
    "eight arms lend their spread": [World(kind, (3, 3), 1.0, others=8) for kind in KINDS],
    "one arm varies twice as much": [World("12 tasks", seeds, 2.0, uneven=2.0) for seeds in ((5, 5), (3, 10))],
}


def all_worlds():
    """Every world by name: those of the assumptions first."""
    return [("as assumed", world) for world in WORLDS] + [(name, w) for name, ws in FURTHER.items() for w in ws]
