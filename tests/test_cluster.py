"""The engines of datatrove give what one machine gives, also when workers, nodes and jobs are lost on the way."""
import json
import os
import pickle
import random
import re
import stat
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import call, hashes

pytest.importorskip("datatrove", reason="needs the extra `cluster`")
GROUPS = 4


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Files that are each a group by themselves, and what one machine makes of them."""
    from simplelm.text.corpus import corpus_texts
    from simplelm.text.parts import GROUP_BYTES
    from simplelm.stories.lexicon import child_vocabulary
    from simplelm.stories.dials import StoryWorldConfig
    from simplelm.stories.story import write_stories
    folder = tmp_path_factory.mktemp("cluster")
    write_stories(folder/"stories", StoryWorldConfig(documents=8000))
    lines = "".join(json.dumps({"text": text}) + "\n" for text in corpus_texts(folder/"stories"))
    (folder/"sources").mkdir()
    first = folder/"sources"/"0.jsonl"
    first.write_text(lines * (GROUP_BYTES // len(lines) + 1), encoding="utf-8")
    for n in range(1, GROUPS): os.link(first, folder/"sources"/f"{n}.jsonl")
    child_vocabulary().to_csv(folder/"words.csv")
    corpus = SimpleNamespace(sources=folder/"sources", words=folder/"words.csv")
    corpus.whole = hashes(make(corpus, folder/"whole"))
    yield corpus
    shutil.rmtree(folder)


def make(corpus, out, run=None):
    """Simplify; an engine is held to make every group before `simplify_corpus` makes what is left."""
    from simplelm.text.simplified import simplify_corpus
    from simplelm.text.vocabulary import Vocabulary
    def alone(simplify, groups):
        run(simplify, groups)
        assert len(groups) == GROUPS and all(simplify.done(group).exists() for group in groups)
    simplify_corpus(corpus.sources, out, Vocabulary.from_csv(corpus.words), run=run and alone)
    return out


def left_behind(out):
    """What lies beside a result and has no business there."""
    return [p.name for p in out.parent.glob(f".{out.name}.*")]


def marks(out): return len(list(out.with_name(f".{out.name}.partial").glob(".group-*.json")))


def test_local_processes(corpus, tmp_path):
    from simplelm.text.cluster import run_local
    assert sum(name.startswith("data/part-") for name in corpus.whole) >= GROUPS
    assert hashes(make(corpus, tmp_path/"local", run_local(3, tmp_path/"logs", 2))) == corpus.whole
    assert len(list((tmp_path/"logs"/"completions").iterdir())) == 3 and not left_behind(tmp_path/"local")


@pytest.mark.slow
def test_two_attempts_at_one_group(corpus, tmp_path):
    """Every process makes every group, at the same time and in the same folder."""
    from datatrove.executor import LocalPipelineExecutor
    from simplelm.text.cluster import SimplifyGroups, make_executor, clear_attempts
    class Everything(SimplifyGroups):
        def run(self, data=None, rank=0, world_size=1): return super().run(data, 0, 1)
    def run(simplify, groups):
        executor = make_executor(LocalPipelineExecutor, simplify, groups, 3, tmp_path/"logs")
        executor.pipeline[0].__class__ = Everything
        executor.run()
        clear_attempts(simplify)
    assert hashes(make(corpus, tmp_path/"out", run)) == corpus.whole
    assert all(json.loads(p.read_text())[0]["stats"]["documents"]["n"] == GROUPS for p in (tmp_path/"logs"/"stats").iterdir())


def test_bad_record_is_one_line(tmp_path, words):
    """Every process may meet it; the command says it once, without a traceback."""
    (tmp_path/"bad.jsonl").write_text('{"text": "The dog ran."}\nnonsense\n')
    done = call("simplify", tmp_path/"bad.jsonl", "--vocabulary", words, "--out", tmp_path/"out", "--engine", "local", "--tasks", 2)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert re.search(r"simplelm: .*bad\.jsonl: line 2: invalid JSON", done.stderr.splitlines()[-1]), done.stderr


# Ray: two nodes, both on this machine

NODE = dict(num_cpus=1, object_store_memory=100_000_000)


@pytest.fixture(scope="module")
def ray_cluster():
    """A cluster of a head and another node, a task each."""
    ray = pytest.importorskip("ray", reason="needs the extra `cluster`")
    from ray.cluster_utils import Cluster
    cluster = Cluster(initialize_head=True, head_node_args=NODE)
    try:
        cluster.add_node(**NODE)
        ray.init(address=cluster.address, log_to_driver=False)
        yield cluster
    finally:
        ray.shutdown()
        cluster.shutdown()


def workers_of(node):
    """Processes of a node that make groups."""
    import psutil
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return [child for child in raylet.children() if "RankWorker" in " ".join(child.cmdline())]


def strike(out, blow):
    """Do something once the first group is made; the thread's `before` is how many were by then."""
    def wait():
        until = time.monotonic() + 120
        while not marks(out):
            if time.monotonic() > until: return
            time.sleep(0.002)
        thread.before = marks(out)
        blow()
        thread.after = marks(out)
    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.slow
def test_two_ray_nodes(corpus, ray_cluster, tmp_path):
    from simplelm.text.cluster import run_ray
    assert hashes(make(corpus, tmp_path/"ray", run_ray(2, tmp_path/"logs"))) == corpus.whole
    assert len(list((tmp_path/"logs"/"completions").iterdir())) == 2 and not left_behind(tmp_path/"ray")


@pytest.mark.slow
def test_ray_worker_killed(corpus, ray_cluster, tmp_path):
    """Ray starts another one; the process that the dead one kept may go on, so that two make the same group."""
    from simplelm.text.cluster import run_ray
    killed = []
    def kill():
        worker = next(w for node in ray_cluster.list_all_nodes() for w in workers_of(node))
        worker.send_signal(signal.SIGKILL)
        killed.append(worker)
    thread = strike(tmp_path/"ray", kill)
    made = make(corpus, tmp_path/"ray", run_ray(2, tmp_path/"logs"))
    thread.join()
    assert killed and thread.before == 1 and thread.after < GROUPS # two tasks of two groups each: neither was over
    assert hashes(made) == corpus.whole and not left_behind(made)


@pytest.mark.slow
def test_ray_node_lost(corpus, ray_cluster, tmp_path):
    """The other node makes what the lost one was to make."""
    from simplelm.text.cluster import run_ray
    node = next(n for n in ray_cluster.list_all_nodes() if n is not ray_cluster.head_node)
    thread = strike(tmp_path/"ray", lambda: ray_cluster.remove_node(node, allow_graceful=False))
    made = make(corpus, tmp_path/"ray", run_ray(2, tmp_path/"logs"))
    thread.join()
    assert thread.before == 1 and thread.after < GROUPS and len(ray_cluster.list_all_nodes()) == 1
    assert hashes(made) == corpus.whole and not left_behind(made)


# Deduplication by datatrove's MinHash steps

@pytest.fixture(scope="module")
def repeated(tmp_path_factory):
    """Three groups with near copies across them, texts without words, and what one machine makes of them."""
    from simplelm.text.deduplication import deduplicate_corpus
    from simplelm.text.parts import GROUP_BYTES
    folder = tmp_path_factory.mktemp("repeated")
    draw = random.Random(0)
    originals = [draw.choices(range(5000), k=200) for _ in range(400)]
    changed = [{*draw.sample(range(200), 8)} for _ in originals]
    copies = [["x" if k in places else word for k, word in enumerate(text)] for text, places in zip(originals, changed)]
    texts = [" ".join(map(str, text)) for text in originals + copies + copies[:100]] + ["", "...", ""]
    draw.shuffle(texts)
    (folder/"sources").mkdir()
    for n in range(3):
        with open(folder/"sources"/f"{n}.jsonl", "w") as f:
            f.writelines(json.dumps({"text": text}) + "\n" for text in texts[n::3])
            f.write("\n" * GROUP_BYTES) # a group by itself
    deduplicate_corpus(folder/"sources", folder/"whole")
    return SimpleNamespace(sources=folder/"sources", whole=deduplicated(folder/"whole"))


def deduplicated(out):
    """What a result holds, without the seconds that it took; most of the copies were found."""
    found = {name: value for name, value in hashes(out).items() if name != "manifest.json"}
    counts = json.loads((out/"manifest.json").read_text())["counts"]
    assert counts["documents"] == 903 and 400 <= counts["documents_kept"] - 2 <= 404
    return found | counts


def without_fallback(monkeypatch):
    """The process that finishes may not find the copies itself."""
    from simplelm.text import deduplication
    def fail(*_): raise AssertionError("no stage has found the copies")
    monkeypatch.setattr(deduplication, "find_clusters", fail)


def find_copies(repeated, out, run, tasks):
    from simplelm.text.cluster_deduplication import find_with_minhash
    from simplelm.text.deduplication import DeduplicationConfig, deduplicate_corpus
    config = DeduplicationConfig()
    deduplicate_corpus(repeated.sources, out, config, run=find_with_minhash(run, config, tasks))
    assert not left_behind(out)
    return deduplicated(out)


def run_here(lost=None):
    """An engine that runs all tasks in this process, but for one that is lost; a task that fails is one that is lost, as on Slurm."""
    def run(step, groups, then=()):
        for group in groups: step(group)
        for stage in then:
            for rank in range(stage.tasks):
                if (stage.name, rank) == lost: continue
                try:
                    for part in stage.steps: deque(part.run(None, rank, stage.tasks) or (), maxlen=0)
                except (AssertionError, FileNotFoundError):
                    if not lost: raise
    return run


@pytest.mark.parametrize("tasks", [1, 2, 5])
def test_stages_find_the_copies(repeated, tmp_path, monkeypatch, tasks):
    """Also where some shares are empty."""
    without_fallback(monkeypatch)
    assert find_copies(repeated, tmp_path/"out", run_here(), tasks) == repeated.whole


@pytest.mark.parametrize("lost", [("bands", 1), ("buckets", 3), ("clusters", 0)])
def test_a_lost_task_loses_no_copy(repeated, tmp_path, monkeypatch, lost):
    """The process that finishes notices what is missing, and finds the copies itself."""
    from simplelm.text import deduplication
    called, find = [], deduplication.find_clusters
    monkeypatch.setattr(deduplication, "find_clusters", lambda *given: called.append(lost) or find(*given))
    assert find_copies(repeated, tmp_path/"out", run_here(lost), 2) == repeated.whole and called


def test_copies_found_by_local_processes(repeated, tmp_path, monkeypatch):
    from simplelm.text.cluster import run_local
    without_fallback(monkeypatch)
    assert find_copies(repeated, tmp_path/"out", run_local(2, tmp_path/"logs", 2), 2) == repeated.whole


@pytest.mark.slow
def test_copies_found_on_ray(repeated, ray_cluster, tmp_path, monkeypatch):
    from simplelm.text.cluster import run_ray
    without_fallback(monkeypatch)
    assert find_copies(repeated, tmp_path/"out", run_ray(1, tmp_path/"logs"), 1) == repeated.whole


# Slurm: stand-ins that keep what they are given, and a scheduler

SBATCH = """#!/bin/bash
n=$(ls $SLURM/*.script 2>/dev/null | wc -l); n=$((n + 1))
cp "${@: -1}" $SLURM/$n.script; echo "${@:1:$#-1}" > $SLURM/$n.arguments
echo "Submitted batch job $n"
"""
SRUN = """#!/bin/bash
while [[ $1 == -* ]]; do [ "$1" == -n ] && shift; shift; done
exec "$@"
"""
SQUEUE = """#!/bin/bash
echo "$@" > $SLURM/asked; cat $SLURM/running
"""


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A folder with what `sbatch` was given, and the commands on PATH."""
    folder = tmp_path/"slurm"
    folder.mkdir()
    for name, text in dict(sbatch=SBATCH, srun=SRUN, squeue=SQUEUE, scontrol='#!/bin/bash\necho "$3"\n').items():
        (folder/name).write_text(text)
        (folder/name).chmod(0o755)
    (folder/"running").write_text("")
    monkeypatch.setenv("SLURM", str(folder))
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    return folder


def directives(script):
    """The options of a job script."""
    return dict((line.removeprefix("#SBATCH --") + "=").split("=", 2)[:2] for line in script.read_text().splitlines() if line.startswith("#SBATCH"))


def execute(slurm, number, but=()):
    """Run the tasks of a job as a node would; the last one's output."""
    script = slurm/f"{number}.script"
    last = int(re.match(r"0-(\d+)", directives(script)["array"])[1])
    for task in range(last + 1):
        if task in but: continue
        env = os.environ | dict(SLURM_ARRAY_TASK_ID=str(task), SLURM_NODELIST="node", SLURM_JOB_ID=str(number), RUN_OFFSET="0")
        done = subprocess.run(["bash", script], env=env, capture_output=True, text=True, timeout=200)
    return done


def submit(corpus, out, *more):
    return call("simplify", corpus.sources, "--vocabulary", corpus.words, "--out", out, "--engine", "slurm", "--tasks", 3,
                "--partition", "cpu", "--time", "1:00:00", "--sbatch", "account=abc", "mem-per-cpu=4G", "exclusive", *more)


def test_slurm_scripts(corpus, slurm, tmp_path):
    done = submit(corpus, tmp_path/"out", "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert "job 1 makes the groups" in done.stdout and "job 3 finishes" in done.stdout
    array, merge, last, _ = (directives(slurm/f"{n}.script") for n in (1, 2, 3, 4))
    for job in (array, last):
        assert {"partition": "cpu", "time": "1:00:00", "account": "abc", "mem-per-cpu": "4G", "exclusive": ""}.items() <= job.items()
        assert "qos" not in job and Path(job["output"]).is_relative_to(tmp_path/"out-logs") and os.path.isabs(job["output"])
    assert array["array"] == "0-2%2" and last["array"] == "0-0" and array["job-name"] == "simplelm" and merge["dependency"] == "afterok:1"
    assert "--dependency=afterany:1" in (slurm/"3.arguments").read_text() and last["begin"] == "now+60"
    for number, name in ((1, "groups"), (3, "finish")):
        script = (slurm/f"{number}.script").read_text()
        assert re.search(rf"^srun +-l -n 1 launch_pickled_pipeline {tmp_path}/out-logs/{name}/executor\.pik$", script, re.M)
        assert f"export PATH={os.path.dirname(sys.executable)}:$PATH" in script
        assert subprocess.run(["bash", "-n", slurm/f"{number}.script"]).returncode == 0
    assert not (tmp_path/"out").exists() and not marks(tmp_path/"out")


def test_slurm_pickles_are_the_users_alone(corpus, slurm, tmp_path):
    """They are code for whoever may write to them."""
    assert submit(corpus, tmp_path/"out").returncode == 0
    pickles = list((tmp_path/"out-logs").rglob("*.pik"))
    assert pickles and {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in pickles} == {0}


@pytest.mark.parametrize("place, more, said", [
    ("my logs", (), "logs is"), ("a;touch b", (), "logs is"), ("$(touch b)", (), "logs is"), ("%j", (), "logs is"), ("a\nb", (), "logs is"), ("Straße", (), "logs is"),
    ("logs", ("--sbatch", "account=a b"), "sbatch: account"), ("logs", ("--sbatch", "account=a\n#SBATCH --uid=0"), "sbatch: account"), ("logs", ("--sbatch", "$(id)=1"), "sbatch is"),
    ("logs", ("--partition", "a;b"), "partition is"), ("logs", ("--time", "1:00 --wrap=id"), "time is")])
def test_slurm_scripts_hold_safe_names_alone(corpus, slurm, tmp_path, place, more, said):
    done = submit(corpus, tmp_path/"out", "--logs", tmp_path/place, *more)
    assert done.returncode == 2 and said in done.stderr and "part of a script" in done.stderr, done.stderr
    assert not list(slurm.glob("*.script")) and not (tmp_path/"b").exists() and not (tmp_path/place).exists()


@pytest.mark.slow
def test_slurm_jobs_make_the_corpus(corpus, slurm, tmp_path):
    """One task of the array is never run, and the last job makes its group."""
    assert submit(corpus, tmp_path/"out").returncode == 0
    first = execute(slurm, 1, but=[1])
    assert first.returncode == 0 and marks(tmp_path/"out") == GROUPS - 1, first.stderr
    last = execute(slurm, 3)
    assert last.returncode == 0, last.stderr
    assert hashes(tmp_path/"out") == corpus.whole and not left_behind(tmp_path/"out")
    again = submit(corpus, tmp_path/"out")
    assert again.returncode == 0 and "spans" in again.stdout and len(list(slurm.glob("*.script"))) == 4


@pytest.mark.slow
def test_slurm_same_command_again(corpus, slurm, tmp_path):
    """While the jobs are there nothing is submitted; once they have failed, what is left is."""
    assert submit(corpus, tmp_path/"out").returncode == 0
    (slurm/"running").write_text("1_0 cpu simplelm PENDING\n")
    again = submit(corpus, tmp_path/"out")
    assert again.returncode == 0 and "job 1 makes the groups" in again.stdout and len(list(slurm.glob("*.script"))) == 4
    assert "--jobs=1,3" in (slurm/"asked").read_text()
    (slurm/"running").write_text("")
    execute(slurm, 1, but=[0, 2])
    assert marks(tmp_path/"out") == 1
    assert submit(corpus, tmp_path/"out").returncode == 0 and len(list(slurm.glob("*.script"))) == 8
    execute(slurm, 5)
    assert marks(tmp_path/"out") == GROUPS
    assert execute(slurm, 7).returncode == 0 and hashes(tmp_path/"out") == corpus.whole


@pytest.mark.slow
def test_slurm_refuses(corpus, slurm, tmp_path, words):
    """A job that is not taken loses nothing; a bad record is one line in the last job's log."""
    assert submit(corpus, tmp_path/"out").returncode == 0
    execute(slurm, 1)
    mark = next(tmp_path.glob(".out.partial/.group-*3.json"))
    mark.unlink()
    (slurm/"sbatch").write_text("#!/bin/bash\necho 'sbatch: error: invalid partition' >&2; exit 1\n")
    refused = submit(corpus, tmp_path/"out")
    assert refused.returncode == 2 and "invalid partition" in refused.stderr and "Traceback" not in refused.stderr
    assert refused.stderr.splitlines()[-1].startswith("simplelm: sbatch took no job") and marks(tmp_path/"out") == GROUPS - 1

    (slurm/"sbatch").write_text(SBATCH)
    (tmp_path/"bad.jsonl").write_text('{"text": "The dog ran."}\nnonsense\n')
    bad = SimpleNamespace(sources=tmp_path/"bad.jsonl", words=words)
    assert submit(bad, tmp_path/"bad").returncode == 0
    assert execute(slurm, 5).returncode == 0
    last = execute(slurm, 7)
    assert last.returncode != 0 and "Traceback" not in last.stderr and re.search(r"^simplelm: .*bad\.jsonl: line 2: invalid JSON", last.stderr, re.M)


@pytest.mark.slow
def test_slurm_jobs_find_the_copies(repeated, slurm, tmp_path):
    """The stages follow each other, whether or not the one before failed, and the last job writes what one machine writes."""
    done = call("curate", "deduplicate", repeated.sources, "--out", tmp_path/"out", "--engine", "slurm", "--tasks", 2, "--partition", "cpu", "--time", "1:00:00")
    assert done.returncode == 0 and "job 1 makes the groups" in done.stdout and "job 9 finishes" in done.stdout, done.stderr
    for before, job in ((1, 3), (3, 5), (5, 7), (7, 9)): assert f"--dependency=afterany:{before}" in (slurm/f"{job}.arguments").read_text()
    for job in (1, 3, 5, 7): assert execute(slurm, job).returncode == 0
    assert (tmp_path/".out.partial"/".clusters.npy").exists()
    last = execute(slurm, 9)
    assert last.returncode == 0, last.stderr
    assert deduplicated(tmp_path/"out") == repeated.whole and not left_behind(tmp_path/"out")


# The command line

def test_command_local(corpus, tmp_path):
    """Relative paths, and the folder of logs beside the result."""
    simplify = "simplify", os.path.relpath(corpus.sources, tmp_path), "--vocabulary", corpus.words, "--out"
    for more in (("plain",), ("out", "--engine", "local", "--tasks", 2)): # both by the command: a manifest holds the threads of a process that has torch
        done = call(*simplify, *more, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert hashes(tmp_path/"out") == hashes(tmp_path/"plain") and (tmp_path/"out-logs"/"stats.json").exists() and not left_behind(tmp_path/"out")
    assert {n: h for n, h in hashes(tmp_path/"out").items() if n != "manifest.json"} == {n: h for n, h in corpus.whole.items() if n != "manifest.json"}
    assert json.loads((tmp_path/"out-logs"/"stats.json").read_text())[0]["stats"]["documents"]["n"] == GROUPS # no group was left to the command


@pytest.mark.parametrize("options, said", [
    (["--tasks", "2"], "--tasks: not used by --engine threads"),
    (["--engine", "local"], "--tasks: --engine local needs it"),
    (["--engine", "local", "--tasks", "0"], "tasks=0: must be 1 or more"),
    (["--engine", "local", "--tasks", "2", "--workers", "0"], "workers=0: must be 1 or more"),
    (["--engine", "ray", "--tasks", "2", "--partition", "cpu"], "--partition: not used by --engine ray"),
    (["--engine", "slurm", "--tasks", "2", "--partition", "cpu"], "--time: --engine slurm needs it"),
    (["--engine", "slurm", "--tasks", "2", "--partition", "cpu", "--time", "1:00:00"], "sbatch is not on PATH"),
])
def test_options_refused(tmp_path, words, options, said):
    done = call("simplify", tmp_path, "--vocabulary", words, "--out", tmp_path/"out", *options, environment=dict(PATH=os.path.dirname(sys.executable)))
    assert done.returncode == 2 and len(done.stderr.splitlines()) == 1 and said in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())


def test_no_ray_cluster(tmp_path, words):
    pytest.importorskip("ray", reason="needs the extra `cluster`")
    done = call("simplify", tmp_path, "--vocabulary", words, "--out", tmp_path/"out", "--engine", "ray", "--tasks", 2, environment=dict(RAY_ADDRESS="127.0.0.1:1"), timeout=60)
    assert done.returncode == 2 and "no Ray cluster at 127.0.0.1:1" in done.stderr.splitlines()[-1] and "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


# A step of a pipeline

def test_simplify_documents(tmp_path):
    pytest.importorskip("orjson", reason="the JSON reader of datatrove needs orjson")
    """From a reader to a writer, in two processes: the spans of `simplify_batch`, each with its document's fields."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from datatrove.executor import LocalPipelineExecutor
    from datatrove.pipeline.readers import JsonlReader
    from datatrove.pipeline.writers import ParquetWriter
    from simplelm.text.cluster import SimplifyDocuments
    from simplelm.text.corpus import corpus_texts
    from simplelm.text.simplified import simplify_batch
    from simplelm.text.simplification import SimplificationConfig
    from simplelm.stories.lexicon import child_vocabulary
    from simplelm.stories.dials import StoryWorldConfig
    from simplelm.stories.story import write_stories
    words, config = child_vocabulary(), SimplificationConfig(min_words=8)
    write_stories(tmp_path/"stories", StoryWorldConfig(documents=300))
    rows = [dict(text=text, id=f"d{n}", kind=str(n % 3)) for n, text in enumerate(corpus_texts(tmp_path/"stories"))]
    rows += [dict(text=text, id=f"odd{n}", kind="x") for n, text in enumerate(["Über naïve Parliament 🐕.", "The dog saw the cat. " * 20 + "Straße " + "The cat ran. " * 9])]
    (tmp_path/"in").mkdir()
    for n in range(2): (tmp_path/"in"/f"{n}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[n::2]), encoding="utf-8")
    step = SimplifyDocuments(words, config, batch_size=7)
    assert pickle.loads(pickle.dumps(step)).config == config
    LocalPipelineExecutor([JsonlReader(str(tmp_path/"in")), step, ParquetWriter(str(tmp_path/"out"))], tasks=2, logging_dir=str(tmp_path/"logs")).run()
    found = [row for path in sorted((tmp_path/"out").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
    expected = simplify_batch(pa.Table.from_pylist(rows[0::2] + rows[1::2]), words, config).to_pylist()
    assert len(found) > 150 and len({row["id"] for row in found}) == len(found)
    assert [(r["text"], r["metadata"]["document"], r["metadata"]["kind"], *(r["metadata"][k] for k in ("start", "end", "word_count", "oov_count"))) for r in found] == \
           [(r["text"], r["id"], r["kind"], r["start"], r["end"], r["word_count"], r["oov_count"]) for r in expected]
    texts = {row["id"]: row["text"] for row in rows}
    assert all(texts[r["metadata"]["document"]][r["metadata"]["start"]:r["metadata"]["end"]] == r["text"] for r in found)


def test_simplify_documents_refuses():
    from datatrove.data import Document
    from simplelm.artifacts import InputError
    from simplelm.text.cluster import SimplifyDocuments
    from simplelm.stories.lexicon import child_vocabulary
    assert [*SimplifyDocuments(child_vocabulary())(None)] == []
    with pytest.raises(InputError, match="document b: holds half of a surrogate"):
        [*SimplifyDocuments(child_vocabulary())([Document("fine", "a"), Document("half \ud800", "b")])]
    with pytest.raises(InputError, match="batch_size=0"): SimplifyDocuments(child_vocabulary(), batch_size=0)
