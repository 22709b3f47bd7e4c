"""How fast the fits are against scipy start by start, and whether 95% intervals hold the truth 95 times in 100; the last line is one JSON object.

    python tests/benchmarks/scaling.py             # speed on $SIMPLELM_DATA/scaling/chinchilla_points.csv and coverage; about ten minutes on one core
    python tests/benchmarks/scaling.py --speed     # speed alone
    python tests/benchmarks/scaling.py --coverage  # coverage alone

Speed: the work of Besiroglu et al. (2024), a fit of L(N, D) to 240 runs from a grid of 4,500 starts and again to 4,000 resampled sets of runs, Huber's cost (delta 0.001). The baseline
solves start by start with scipy's BFGS, which estimates gradients by differences. It is measured on a sample, every 25th start and 100 of the same resampled sets, in turns
with `fit_parametric`, and multiplied; `--whole` measures all of it.

- `speedup`: seconds of the baseline, grid and bootstraps, over those of `fit_parametric` doing both; `speedup_grid`, `speedup_bootstrap`: of each alone.
- `same_optimum`: the lowest cost of ours over the lowest of theirs, minus 1; at most 0 if ours is as low. The bootstraps are compared by the same.
- `fits`: the constants of both methods, with errors (standard deviation of the bootstraps in the central 95%) and standard deviations of all 4,000 bootstraps.

Coverage: how often 95% intervals hold the truth, in 500 made-up studies of each kind, with half a per cent of noise around a known law. 93 to 97% are to be held; 500 trials of a true 95% fall between 93 and 97% nineteen
times in twenty.
"""
import os

os.environ |= {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"} # read when the libraries are loaded

import argparse
import json
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.optimize import minimize

from simplelm.laws.scaling import fit_parametric, fit_power_law, huber, log_law, parametric_starts

DELTA = 1e-3
CONSTANTS = ("E", "A", "B", "alpha", "beta")


def chinchilla():
    """N, D and loss of the 240 runs."""
    path = Path(os.environ["SIMPLELM_DATA"])/"scaling/chinchilla_points.csv"
    t = pd.read_csv(path).sort_values("loss").iloc[:-5]
    N = t["Model Size"].to_numpy()
    return N, t["Training FLOP"].to_numpy()/(6*N), t["loss"].to_numpy()


def scipy_fit(start, logs, y):
    """One start as the replication does it: BFGS, gradients by differences."""
    def cost(t): return huber(np.logaddexp(np.logaddexp(t[1] - t[3]*logs[0], t[2] - t[4]*logs[1]), t[0]) - y, DELTA).sum()
    with np.errstate(all="ignore"): return minimize(cost, start, method="BFGS")


def speed(repeats, whole):
    """Seconds of both, in turns."""
    N, D, loss = chinchilla()
    logs, y, starts = np.log(np.stack([N, D])), np.log(loss), parametric_starts()
    sample = starts if whole else starts[::25]
    draws = np.random.default_rng(0).integers(0, len(y), (4000 if whole else 100, len(y)))
    fit_parametric(N, D, loss, bootstraps=50) # loads the libraries
    seconds = {"ours_grid": [], "ours": [], "theirs_grid": [], "theirs_bootstrap": []}
    for _ in range(repeats):
        began = time.perf_counter(); fit_parametric(N, D, loss, bootstraps=0); seconds["ours_grid"].append(time.perf_counter() - began)
        began = time.perf_counter(); both = fit_parametric(N, D, loss, bootstraps=4000, resampling="runs"); seconds["ours"].append(time.perf_counter() - began)
        began = time.perf_counter(); theirs = [scipy_fit(s, logs, y) for s in sample]; seconds["theirs_grid"].append((time.perf_counter() - began)*len(starts)/len(sample))
        best = min(theirs, key=lambda r: r.fun).x
        began = time.perf_counter(); refits = [scipy_fit(best, logs[:, d], y[d]) for d in draws]; seconds["theirs_bootstrap"].append((time.perf_counter() - began)*4000/len(draws))
    grid, ours, their_grid, their_boot = (float(np.median(seconds[k])) for k in seconds)
    # of the optimum: the whole grid is not needed to compare with, for a start next to ours can only go lower
    theirs = min(scipy_fit([np.log(both.E), np.log(both.A), np.log(both.B), both.alpha, both.beta], logs, y).fun, *(r.fun for r in theirs))
    weights = np.array([np.bincount(d, minlength=len(y)) for d in draws])
    from simplelm.laws.scaling import refit
    start = np.array([[np.log(both.E), np.log(both.A), np.log(both.B), both.alpha, both.beta]])
    again = refit(partial(log_law, u=logs), np.tile(y, (len(draws), 1)), weights, start, start[:0], DELTA, exponents=2)
    costs = (weights*huber(log_law(again, logs)[0] - y, DELTA)).sum(1)
    print(f"grid of 4,500 starts: {grid:.2f} s, scipy {their_grid:.0f} s; with 4,000 bootstraps: {ours:.2f} s, scipy {their_grid + their_boot:.0f} s"
          + ("" if whole else f" (multiplied from {len(sample)} starts and {len(draws)} bootstraps)"))
    return dict(seconds_ours=round(ours, 2), seconds_scipy=round(their_grid + their_boot, 1), measured_whole=whole, speedup=round((their_grid + their_boot)/ours, 1), speedup_grid=round(their_grid/grid, 1),
                speedup_bootstrap=round(their_boot/(ours - grid), 1), same_optimum=float(both.objective/theirs - 1),
                same_bootstraps=float(np.max(costs/np.array([r.fun for r in refits]) - 1)), cost=both.objective)


def fits():
    """Both methods with 4,000 bootstraps."""
    N, D, loss = chinchilla()
    out = {}
    for method in ("huber", "huber-scale"):
        f = fit_parametric(N, D, loss, method, bootstraps=4000)
        deviation = dict(zip(CONSTANTS, f.constants[1:].std(0)))
        out[method] = {c: dict(value=getattr(f, c), error=getattr(f, f"{c}_error"), deviation=float(deviation[c])) for c in CONSTANTS} | dict(objective=f.objective, log_scale=f.log_scale)
        for c in CONSTANTS: print(f"{method} {c}: {getattr(f, c):.6g}, error {getattr(f, f'{c}_error'):.4g}, standard deviation {deviation[c]:.4g}")
    E, A, B, alpha, beta = 1.69, 406.4, 410.7, 0.34, 0.28
    printed = huber(np.log(loss) - np.log(E + A*N**-alpha + B*D**-beta), DELTA).sum()
    print(f"cost of the constants printed by Hoffmann et al.: {printed/out['huber']['objective']:.2f} times ours")
    return dict(fits=out, hoffmann_cost_ratio=round(float(printed/out["huber"]["objective"]), 2))


def power_trial(seed, points, tailed):
    """Which of E, A, alpha lie in their intervals."""
    rng, x = np.random.default_rng(seed), 10**np.linspace(4, 7, points)
    noise = rng.standard_t(4, points)/np.sqrt(2) if tailed else rng.standard_normal(points)
    law = fit_power_law(x, (1 + 8*x**-0.25)*np.exp(0.005*noise), bootstraps=400, seed=seed)
    return [getattr(law, f"{c}_low") <= t <= getattr(law, f"{c}_high") for c, t in zip(("E", "A", "alpha"), (1, 8, 0.25))]


STARTS = parametric_starts()[::40] # every fortieth start of the grid finds the same optimum at this little noise

def surface_trial(seed, side, tailed):
    """Which of E, A, B, alpha, beta lie in their intervals."""
    rng = np.random.default_rng(seed)
    N, D = (v.ravel() for v in np.meshgrid(np.geomspace(1e5, 1e8, side), np.geomspace(2e6, 2e9, side)))
    noise = rng.standard_t(4, len(N))/np.sqrt(2) if tailed else rng.standard_normal(len(N))
    law = fit_parametric(N, D, (1.5 + 100*N**-0.35 + 400*D**-0.35)*np.exp(0.005*noise), bootstraps=400, seed=seed, starts=STARTS)
    return [getattr(law, f"{c}_low") <= t <= getattr(law, f"{c}_high") for c, t in zip(CONSTANTS, (1.5, 100, 400, 0.35, 0.35))]


def coverage(trials):
    """The share of trials in which each interval held the truth."""
    kinds = {"law, 5 runs": (power_trial, 5, False), "law, 12 runs": (power_trial, 12, False), "law, 80 runs": (power_trial, 80, False), "law, 12 runs, heavy tails": (power_trial, 12, True),
             "parametric, 25 runs": (surface_trial, 5, False), "parametric, 144 runs": (surface_trial, 12, False)}
    out = {}
    for name, (trial, *how) in kinds.items():
        with ProcessPoolExecutor(os.cpu_count()) as pool: held = list(pool.map(partial(trial, **dict(zip(("points" if trial is power_trial else "side", "tailed"), how))), range(trials), chunksize=5))
        names = CONSTANTS if trial is surface_trial else ("E", "A", "alpha")
        out[name] = dict(zip(names, np.mean(held, 0).round(3).tolist()))
        print(f"{name}: " + ", ".join(f"{c} {v:.1%}" for c, v in out[name].items()), flush=True)
    return dict(coverage=out, trials=trials)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--coverage", action="store_true")
    parser.add_argument("--whole", action="store_true", help="measure the baseline on all starts and bootstraps: four minutes a repeat")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--trials", type=int, default=500)
    options = parser.parse_args()
    result, both = {}, options.speed == options.coverage
    if options.speed or both: result |= fits() | speed(options.repeats, options.whole)
    if options.coverage or both: result |= coverage(options.trials)
    print(json.dumps(result))
