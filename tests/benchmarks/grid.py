"""Seconds of a grid of 14 models, an old commit of this package against this one, in pairs of runs.

    git worktree add /tmp/old b85ed5b
    python tests/benchmarks/grid.py /tmp/old --pairs 3           # quiet
    python tests/benchmarks/grid.py /tmp/old --pairs 3 --busy    # and beside two processes that compute without a pause

Both read the same generated stories, train the same 14 models (16x2 to 128x4, two languages, seed 0, and seed 1 of the two smallest) by the same steps, and
score them on the same tasks. The old one trains one model after another with two threads, this one two models at once with one thread each. `--share 8`
divides the tokens of the old default study by eight, so that a run takes minutes. Every run starts in an empty folder.
"""
import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[2]
SHARED = """
[tokenizer]
vocab_size = 1536
[packing]
context = 192
validation_fraction = 0.01
[models]
sizes = ["16x2", "32x2", "64x2", "64x4", "128x4"]
seeds = [0]
more_seeds = { "16x2" = [1], "32x2" = [1] }
[training]
tokens = TOKENS
batch_size = 16
eps = 1e-8
warmup_tokens = WARMUP
evaluate_every = 40
evaluate_sequences = 100
[samples]
prompts = ["The dog", "One day"]
max_tokens = 60
[evaluation]
tasks = ["storyworld"]
limit = 240
pmi = false
"""
WORLD = """
documents = DOCUMENTS
seed = 0
depth = [0, 2]
sentence_length = [5, 12]
entities = [2, 6]
"""
OLD = 'description = "Grid"\nvocabulary = "storyworld"\n[corpus.storyworld]' + WORLD + "[simplification]\nmin_words = 32\nmax_oov = 0.01" + SHARED
NEW = ('description = "Grid"\n[source.storyworld]' + WORLD + '[languages.simple]\nsteps = [{ simplify = { vocabulary = "storyworld", min_words = 32, max_oov = 0.01 } }]\n'
       "[languages.regular]" + SHARED + "ngrams = []\ncommon_texts = []\n")


def spin():
    while True: pass


def seconds(checkout, study, share, folder):
    """Wall seconds of a run in an empty folder."""
    text = study.replace("TOKENS", str(1_200_000//share)).replace("WARMUP", str(100_000//share))
    text = text.replace("DOCUMENTS", str(24_000//share + 1000))
    (folder/"grid.toml").write_text(text, encoding="utf-8")
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "simplelm", "run", "grid.toml", "--out", "run"], cwd=folder, capture_output=True, text=True,
                          env=os.environ | {"PYTHONPATH": str(checkout), "TQDM_DISABLE": "1"})
    if done.returncode: sys.exit(f"{checkout}: {done.stderr[-2000:]}")
    return time.perf_counter() - started


def pairs(old, share, count):
    """Run both in turn and print the ratio of each pair; seconds of the new one, median."""
    with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b: # kernels are compiled, files are in memory
        seconds(old, OLD, 40, Path(a)), seconds(ROOT, NEW, 40, Path(b))
    ratios, own = [], []
    for k in range(count):
        with tempfile.TemporaryDirectory() as a, tempfile.TemporaryDirectory() as b:
            before, now = seconds(old, OLD, share, Path(a)), seconds(ROOT, NEW, share, Path(b))
        ratios.append(now/before)
        own.append(now)
        print(f"pair {k + 1}: old {before:.0f} s, new {now:.0f} s, new/old {now/before:.2f}", flush=True)
    print(f"median new/old {median(ratios):.2f}", flush=True)
    return median(own)


def beside_two(share):
    """Seconds of the new one beside two processes that compute without a pause."""
    loops = [multiprocessing.Process(target=spin, daemon=True) for _ in range(2)]
    for loop in loops: loop.start()
    with tempfile.TemporaryDirectory() as folder: taken = seconds(ROOT, NEW, share, Path(folder))
    for loop in loops: loop.kill()
    print(f"busy: new {taken:.0f} s", flush=True)
    return taken


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="a checkout of the old commit")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--share", type=int, default=8)
    parser.add_argument("--busy", action="store_true", help="also beside two processes that compute without a pause")
    a = parser.parse_args()
    quiet = pairs(a.old, a.share, a.pairs)
    if a.busy: print(f"busy: {quiet/beside_two(a.share):.2f} of the quiet rate is kept")
