"""Training and scoring beside two busy processes; the last line is one JSON object.

    python tests/benchmarks/busy.py                        # the package's choice against all cores that spin: some three minutes
    python tests/benchmarks/busy.py --sizes 64x2 --seconds 2
    python tests/benchmarks/busy.py --settings passive "asks 1000" "asks 3000" "one thread" chosen --out nbs/results/threads.csv   # the trade-off

A machine of two cores or more is needed, and nothing else may run on it. Every rate is measured in a process of its own, since how threads wait is
read once, when PyTorch is loaded. It trains with batches of `--batch` sequences in `--precision`, or scores items of the story world, for `--seconds`
after a warm-up. The busy processes are two endless loops in Python.

- `spinning`: a thread for each core, each of which waits as GNU OpenMP does by default: it asks 300,000 times before it sleeps. So it was before the
  package chose threads.
- `passive`: a thread for each core, each of which sleeps at once.
- `asks N`: a thread for each core, each of which asks N times before it sleeps.
- `one thread`.
- `chosen`: what the package does by itself.

`kept` is the rate as a share of the fastest of the size on the quiet machine, of all settings. The exit code is 1 if `chosen` keeps less than 35% beside the busy
processes.
"""
import os

os.environ |= {"TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false"}

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path

from simplelm.internals.threads import choose_threads, set_waiting, torch_threads, usable_cores

CONTEXT, VOCABULARY = 192, 1536
FLOOR = 0.35
SPINNING = "300000"                                          # GNU OpenMP's own number
SPINS = {"spinning": SPINNING, "passive": "0", "asks 1000": "1000", "asks 3000": "3000"}
SETTINGS = [*SPINS, "one thread", "chosen"]


def make_world(folder):
    """Blocks to train on, of the kind that the default study has."""
    from simplelm.stories.dials import StoryWorldConfig
    from simplelm.stories.story import write_stories
    from simplelm.models.tokenizer import TokenizerConfig, train_tokenizer
    from simplelm.models.blocks import PackingConfig, pack_blocks
    write_stories(folder/"corpus", StoryWorldConfig(documents=6000))
    train_tokenizer(folder/"corpus", folder/"tokenizer", TokenizerConfig(vocab_size=VOCABULARY))
    pack_blocks(folder/"corpus", folder/"tokenizer", folder/"blocks", PackingConfig(context=CONTEXT))


def training_step(size, blocks, batch, precision):
    """A function that trains for a step, and how many tokens a step has."""
    import torch
    from accelerate import Accelerator
    from simplelm.internals.kernels import keep_memory
    from simplelm.models.plan import TrainingRun, TrainingConfig
    from simplelm.models.steps import set_up, train_step
    keep_memory()
    config = TrainingConfig(tokens=batch*CONTEXT*10**6, batch_size=batch, learning_rate=1e-3, precision=precision)
    run = TrainingRun(size, config, blocks)
    setup = set_up(run, Accelerator(mixed_precision="no"))
    setup.whole.dtype = getattr(torch, precision)
    steps = iter(range(10**6))
    return lambda: train_step(run, next(steps), setup.module, setup.optimizer, setup.accelerator), batch*CONTEXT


def scoring_step(size, blocks):
    """A function that scores items of the story world, and how many tokens they have."""
    from simplelm.scoring.items import load_items
    from simplelm.scoring.metrics import item_pairs
    from simplelm.scoring.likelihood import Scorer
    from simplelm.models.model import build_model
    from simplelm.models.tokenizer import load_tokenizer
    model, tokenizer = build_model(size).eval(), load_tokenizer(blocks)
    pairs = item_pairs(load_items("storyworld_agreement", limit=200), pmi=False)
    scorer = Scorer(model, tokenizer, add_bos=True)
    requests = scorer.prepare(pairs)
    tokens = sum(len(tokenizer(context + choice)["input_ids"]) for context, choice in pairs)
    return lambda: scorer.score(requests), tokens


def measure(options):
    """The work of one process: prints the tokens a second of each size."""
    set_waiting()
    from simplelm.models.model import model_size
    blocks, rates = Path(options.child)/"blocks", {}
    for name in options.sizes:
        size = model_size(name, VOCABULARY, CONTEXT)
        with torch_threads(options.threads or choose_threads(size.hidden)):
            step, tokens = training_step(size, blocks, options.batch, options.precision) if options.job == "train" else scoring_step(size, blocks)
            rates[name] = timed(step, tokens, options.seconds)
    print(json.dumps(rates))


def timed(step, tokens, seconds):
    """Tokens a second of what is done again and again, after two steps that do not count."""
    for _ in range(2): step()
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        step()
        done += tokens
    return done/(time.perf_counter() - began)


@contextmanager
def busy(processes):
    """Endless loops beside what is measured."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try: yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def measured(folder, job, setting, load, options):
    """Tokens a second of each size in one setting, beside so many busy processes."""
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    if setting in SPINS: env["GOMP_SPINCOUNT"] = SPINS[setting]
    threads = {"chosen": 0, "one thread": 1}.get(setting, usable_cores())
    command = [sys.executable, __file__, "--child", folder, "--job", job, "--sizes", *options.sizes, "--threads", threads, "--seconds", options.seconds,
               "--batch", options.batch, "--precision", options.precision]
    with busy(load): found = subprocess.run([*map(str, command)], env=env, capture_output=True, text=True)
    if found.returncode: sys.exit(found.stderr)
    return json.loads(found.stdout)


def tabulate(folder, options):
    """A row a job, setting and size."""
    rows = []
    for job in options.jobs:
        for setting in dict.fromkeys(["spinning", *options.settings]):
            quiet, beside = (measured(folder, job, setting, load, options) for load in (0, options.load))
            for size in options.sizes: rows.append(dict(job=job, size=size, setting=setting, quiet=round(quiet[size]), busy=round(beside[size])))
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["32x2", "64x2", "64x4", "128x4", "256x8"])
    parser.add_argument("--jobs", nargs="+", choices=["train", "score"], default=["train", "score"])
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=["chosen"], help="besides spinning")
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement")
    parser.add_argument("--batch", type=int, default=16, help="sequences of a step")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="bfloat16")
    parser.add_argument("--load", type=int, default=2, help="busy processes")
    parser.add_argument("--out", help="CSV file for the table")
    for name in ("--child", "--job"): parser.add_argument(name, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child: return measure(options)
    import pandas as pd
    with tempfile.TemporaryDirectory() as place:
        make_world(Path(place))
        table = pd.DataFrame(tabulate(place, options))
    fastest = table.groupby(["job", "size"]).quiet.transform("max")
    table = table.assign(kept_quiet=(table.quiet/fastest).round(3), kept_busy=(table.busy/fastest).round(3))
    print(table.to_string(index=False))
    if options.out: table.to_csv(options.out, index=False, lineterminator="\n")
    chosen = table[table.setting == "chosen"]
    print(json.dumps(dict(cores=usable_cores(), kept_busy=chosen.kept_busy.min(), kept_quiet=chosen.kept_quiet.min())))
    return int(chosen.kept_busy.min() < FLOOR)


if __name__ == "__main__": sys.exit(main())
