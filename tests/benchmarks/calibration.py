"""How often verdicts raise a false alarm, and how often intervals hold the truth, in simulated studies.

    python tests/benchmarks/calibration.py [--trials 4000]      # writes nbs/results/calibration.csv and calibration_laws.csv
"""
import argparse
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT/"tests"))

import law_simulation  # noqa: E402
import simulation  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--trials", type=int, default=4000, help="simulated studies a cell")
parser.add_argument("--out", type=Path, default=ROOT/"nbs"/"results", help="folder of the two CSV files")
parser.add_argument("--only", choices=["comparisons", "laws"], help="write one of the two")
options = parser.parse_args()


def write(rows, name):
    table = pd.DataFrame(rows)
    table.to_csv(options.out/name, index=False, float_format="%.4f", lineterminator="\n")
    print(table.round(3).to_string(index=False))


rows = []
for name, world in simulation.all_worlds() if options.only != "laws" else ():
    found = simulation.calibrate_world(world, options.trials, len(rows))
    row = dict(world=name, kind=world.kind, unit=world.unit, seeds="{} and {}".format(*world.seeds), spread=world.spread)
    rows.append(row | found)
    print(name, world.kind, row["seeds"], world.spread, found, flush=True)
if rows: write(rows, "calibration.csv")
if options.only != "comparisons": write(list(law_simulation.all_rows(options.trials)), "calibration_laws.csv")
