"""What several tests share: the command line as a user calls it, and a small corpus."""
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from filelock import FileLock
from xdist.scheduler import LoadScopeScheduling

import processes

ROOT = Path(__file__).resolve().parents[1]
os.environ["CUDA_VISIBLE_DEVICES"] = "" # results to the last bit are promised for one machine's processor; what needs a GPU is in gpu.sh
if "PYTEST_XDIST_WORKER" in os.environ: os.environ.setdefault("OMP_NUM_THREADS", "1") # tests beside each other: threads that wait for a taken core slow training many times over


def call(*arguments, cwd=None, environment=None, timeout=300):
    """Run `simplelm ARGUMENTS` in a process of its own, without any data of the user's."""
    env = {k: v for k, v in os.environ.items() if k != "SIMPLELM_DATA"} | (environment or {})
    return processes.run(processes.simplelm, *arguments, cwd=cwd, environment=env, timeout=timeout)


class Group(subprocess.Popen):
    """A process in a group of its own, so that what it starts can be killed with it."""
    def kill_all(self): os.killpg(self.pid, signal.SIGKILL)


def launch(processes, *arguments, cwd, program=("-m", "simplelm")):
    """Start `simplelm ARGUMENTS` on so many processes with gloo between them, and do not wait."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(processes)] if processes > 1 else []
    return Group([sys.executable, *launcher, *program, *map(str, arguments)], cwd=cwd, env=os.environ | {"ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"},
                 stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True)


def kill_when(condition, *arguments, cwd, timeout=120, program=processes.simplelm):
    """Start `simplelm ARGUMENTS`, or another program, and `kill -9` it once `condition()` holds; fail if it ends or takes too long before."""
    process = processes.Running(program, *arguments, cwd=cwd)
    until = time.monotonic() + timeout
    try:
        while not condition():
            assert process.poll() is None, f"ended before it could be killed: {process.communicate(timeout)[1]}"
            assert time.monotonic() < until, "the moment to kill never came"
            time.sleep(0.002)
    finally:
        if process.poll() is None: process.send_signal(signal.SIGKILL)
        process.process.join()
    assert process.poll() == -signal.SIGKILL


def hashes(folder):
    """SHA-256 of every file below a folder; of manifests without the seconds, which two runs never share, and the threads, which are recorded if torch was loaded."""
    def content(path):
        if path.name != "manifest.json": return path.read_bytes()
        return json.dumps(json.loads(path.read_text()) | {"seconds": None, "threads": None}).encode()
    return {p.relative_to(folder).as_posix(): hashlib.sha256(content(p)).hexdigest()
            for p in sorted(Path(folder).rglob("*")) if p.is_file()}


def write_jsonl(path, texts):
    """Write texts as JSON lines."""
    Path(path).write_text("".join(json.dumps({"text": t}) + "\n" for t in texts), encoding="utf-8")
    return path


class FileOrNotebook(LoadScopeScheduling):
    """One worker runs a whole file, so that what its tests share is made once; notebooks share nothing."""
    def _split_scope(self, nodeid): return nodeid if "test_notebooks.py" in nodeid else nodeid.split("::")[0]


def pytest_xdist_make_scheduler(config, log):
    if config.getvalue("dist") == "loadscope": return FileOrNotebook(config, log)


def made_once(tmp_path_factory, name, make):
    """A folder that the first worker makes and the others find."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ: base = base.parent
    folder = base/name
    with FileLock(base/f"{name}.lock"):
        if not (folder/"done").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            make(folder)
            (folder/"done").touch()
    return folder


@pytest.fixture(scope="session")
def stories(tmp_path_factory):
    """A corpus artifact of 3,000 stories."""
    from simplelm.stories.dials import StoryWorldConfig
    from simplelm.stories.story import write_stories
    return made_once(tmp_path_factory, "stories", lambda folder: write_stories(folder/"corpus", StoryWorldConfig(documents=3000)))/"corpus"


@pytest.fixture(scope="session")
def words(tmp_path_factory):
    """The story world's child vocabulary as a CSV file."""
    from simplelm.stories.lexicon import child_vocabulary
    return made_once(tmp_path_factory, "words", lambda folder: child_vocabulary().to_csv(folder/"child.csv"))/"child.csv"


@pytest.fixture(scope="session")
def blocks(tmp_path_factory, stories):
    """The stories, packed for training."""
    def make(folder):
        done = call("tokenize", stories, "--out", folder/"t", "--vocab-size", 512, "--context", 64, "--validation-fraction", 0.05)
        assert done.returncode == 0, done.stderr
    return made_once(tmp_path_factory, "blocks", make)/"t"/"blocks"
