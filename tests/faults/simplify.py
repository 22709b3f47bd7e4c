"""`kill -9` of `simplelm simplify` at random moments: what is left is never half a file, and the resumed result equals an uninterrupted one in every file.

    python tests/faults/simplify.py --kills 50 --seed 0
"""
import argparse
import hashlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parents[1])) # conftest, also where pytest does not run this
from conftest import call, hashes

WORKERS = 1, 2, 3


def write_corpus(folder, files=10, megabytes=16):
    """JSON lines of stories in several files, a bad record in every third, and the vocabulary: the arguments of `simplelm simplify`."""
    from simplelm.stories.lexicon import child_vocabulary
    from simplelm.stories.dials import StoryWorldConfig
    from simplelm.stories.story import write_stories
    write_stories(folder/"stories", StoryWorldConfig(documents=3000))
    texts = [text for part in sorted((folder/"stories"/"data").glob("*.parquet")) for text in pq.read_table(part, columns=["text"])["text"].to_pylist()]
    lines = [json.dumps({"text": text}) + "\n" for text in texts]
    (folder/"corpus").mkdir()
    for number in range(files):
        chosen = random.Random(number).choices(lines, k=megabytes * 2**20 * len(lines) // sum(map(len, lines)))
        if number % 3 == 0: chosen[len(chosen)//2] = '{"text": null}\n'
        (folder/"corpus"/f"{number:02}.jsonl").write_text("".join(chosen), encoding="utf-8")
    child_vocabulary().to_csv(folder/"child.csv")
    return "simplify", folder/"corpus", "--vocabulary", folder/"child.csv", "--bad-records", "set-aside"


def run_whole(folder, arguments):
    """An uninterrupted run: its hashes, the second in which its work began, and all its seconds."""
    started, began = time.monotonic(), None
    process = subprocess.Popen([sys.executable, "-m", "simplelm", *map(str, arguments), "--out", "whole"], cwd=folder,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    while process.poll() is None:
        if began is None and (folder/".whole.partial").exists(): began = time.monotonic() - started
        time.sleep(0.002)
    assert process.returncode == 0, process.stderr.read()
    return hashes(folder/"whole"), began, time.monotonic() - started


def kill_at(moment, folder, arguments, workers):
    """Start a run and `kill -9` it after `moment` seconds; whether it was still running."""
    process = subprocess.Popen([sys.executable, "-m", "simplelm", *map(str, arguments), "--out", "killed", "--workers", str(workers)], cwd=folder,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try: process.wait(moment)
    except subprocess.TimeoutExpired: process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode in (0, -signal.SIGKILL), process.stderr.read()
    return process.returncode != 0


def check_left(folder, whole):
    """What a kill left: nothing or everything under the final name, and in the hidden folder no visible file that is not whole; how many parts."""
    if (folder/"killed").exists(): # it was killed after its last step
        assert hashes(folder/"killed") == whole, "a partial result is visible"
        return len(list((folder/"killed").rglob("part-*.parquet")))
    parts = sorted((folder/".killed.partial").rglob("part-*.parquet"))
    for part in parts:
        pq.read_table(part)
        assert hashlib.sha256(part.read_bytes()).hexdigest() == whole[f"data/{part.name}"], f"{part.name} is not what an uninterrupted run writes"
    rejected = folder/".killed.partial"/"rejected.jsonl"
    if rejected.exists(): assert hashlib.sha256(rejected.read_bytes()).hexdigest() == whole["rejected.jsonl"], "rejected.jsonl is not whole"
    return len(parts)


def check_finished(folder, whole):
    """The resumed result equals the uninterrupted one, and nothing else is left beside it."""
    assert hashes(folder/"killed") == whole, "the resumed result differs"
    assert not list(folder.glob(".killed*")), "something hidden was left"


def kill_often(folder, arguments, kills, seed=0, say=lambda line: None):
    """Kill runs at that many random moments, one to three times each before they may finish; fails at the first difference."""
    r = random.Random(seed)
    whole, began, seconds = run_whole(folder, arguments)
    say(f"{len([n for n in whole if n.startswith('data/part-')])} parts; an uninterrupted run takes {seconds:.1f} s, {began:.1f} s before its work begins")
    made, resumed = 0, 0
    while made < kills:
        for _ in range(min(r.randint(1, 3), kills - made)):
            moment, workers = r.uniform(0.8 * began, seconds), r.choice(WORKERS)
            if not kill_at(moment, folder, arguments, workers):
                say(f"finished within {moment:.2f} s, before it could be killed")
                break
            made += 1
            say(f"kill {made} after {moment:.2f} s, {workers} workers: {check_left(folder, whole)} parts whole, nothing else visible")
        done = call(*arguments, "--out", "killed", "--workers", r.choice(WORKERS), cwd=folder)
        assert done.returncode == 0, done.stderr
        check_finished(folder, whole)
        shutil.rmtree(folder/"killed")
        resumed += 1
    return made, resumed


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        made, resumed = kill_often(Path(place), write_corpus(Path(place)), options.kills, options.seed, say=lambda line: print(line, flush=True))
    print(f"{made} kills, {resumed} resumed results, every file as in an uninterrupted run")
