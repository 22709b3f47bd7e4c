"""`kill -9` of `simplelm train` at random moments, over epoch borders: the resumed model, loss curve, samples and checkpoints equal uninterrupted ones in every file.

    python tests/faults/train.py --kills 20 --seed 0
    python tests/faults/train.py --kills 6 --seed 0 --processes 2
"""
import argparse
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1])) # conftest, also where pytest does not run this
from conftest import call, hashes, launch

OPTIONS = ("--size", "32x2", "--batch-size", 16, "--tokens", 262144, "--evaluate-every", 20, "--evaluate-sequences", 20, "--sample-every", 60,
           "--checkpoint-every", 10, "--keep-checkpoints", 3, "--precision", "float32", "--tracker", "none")


def make_blocks(folder):
    """Stories, packed; the training options read them in more than one epoch."""
    from simplelm.stories.dials import StoryWorldConfig
    from simplelm.stories.story import write_stories
    write_stories(folder/"stories", StoryWorldConfig(documents=600))
    done = call("tokenize", folder/"stories", "--out", folder/"t", "--vocab-size", 512, "--context", 64, "--validation-fraction", 0.05)
    assert done.returncode == 0, done.stderr
    return folder/"t"/"blocks"


def arguments(blocks, out): return "train", blocks, *OPTIONS, "--out", out


def wait_for_work(process, partial):
    """Until training has begun; an end before that is an error."""
    while not any(partial.glob("checkpoints/*.safetensors")) and process.poll() is None: time.sleep(0.01)


def kill_at(moment, folder, blocks, processes):
    """Start a run and kill all of it `moment` seconds after its work began; whether it was still running."""
    process = launch(processes, *arguments(blocks, "killed"), cwd=folder)
    wait_for_work(process, folder/".killed.partial")
    try: process.wait(moment)
    except subprocess.TimeoutExpired: process.kill_all()
    process.communicate()
    return process.returncode == -signal.SIGKILL


def kill_often(folder, blocks, kills, seed=0, processes=1, say=lambda line: None):
    """Kill runs that many times, one to three times each before they may finish; fails at the first difference. Returns kills made and runs compared."""
    r, made, resumed = random.Random(seed), 0, 0
    whole = launch(processes, *arguments(blocks, "whole"), cwd=folder)
    wait_for_work(whole, folder/".whole.partial")
    started = time.monotonic()
    output = whole.communicate()[1]
    assert whole.returncode == 0, output
    expected, seconds = hashes(folder/"whole"), time.monotonic() - started
    say(f"an uninterrupted run works for {seconds:.1f} s")
    while made < kills:
        for _ in range(min(r.randint(1, 3), kills - made)):
            moment = r.uniform(0, seconds)
            if not kill_at(moment, folder, blocks, processes): break
            made += 1
            left = sorted(int(p.stem) for p in (folder/".killed.partial").glob("checkpoints/*.safetensors"))
            assert left or (folder/"killed").exists() or (folder/".killed.partial"/"metrics.csv").exists()
            say(f"kill {made} after {moment:.2f} s of work: checkpoints {left}")
        done = launch(processes, *arguments(blocks, "killed"), cwd=folder)
        output = done.communicate()[1]
        assert done.returncode == 0, output
        found = hashes(folder/"killed")
        differ = sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))
        assert not differ, f"the resumed result differs in {', '.join(differ)}"
        assert not list(folder.glob(".killed*")), "something hidden was left"
        shutil.rmtree(folder/"killed")
        resumed += 1
    return made, resumed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        made, resumed = kill_often(Path(place), make_blocks(Path(place)), options.kills, options.seed, options.processes, say=lambda line: print(line, flush=True))
    print(f"{made} kills, {resumed} resumed models, every file as in an uninterrupted run")
