"""Programs in processes of their own. A server imports the large libraries once and forks, so that a program begins within milliseconds."""
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([
    "torch", "accelerate", "safetensors.torch", "tokenizers", "transformers.generation", "transformers.models.llama.modeling_llama",
    "altair", "numba", "pandas", "pyarrow.parquet", "scipy.optimize", "scipy.stats",
    "simplelm.cli.commands", "simplelm.models.training", "simplelm.scoring.evaluation", "simplelm.studies.report", "nbdev.test"])


def simplelm(*arguments):
    """The command, as `python -m simplelm ARGUMENTS` runs it."""
    from simplelm.cli import main
    sys.argv = ["simplelm", *arguments]
    main()


def small_parts(*arguments):
    """The command, with parts of a corpus that are small enough for a test to have several."""
    from simplelm.text import parts
    parts.PART_BYTES = 1 << 16
    simplelm(*arguments)


def notebook(path, flags=""):
    """The command `nbdev_test` on one notebook, cells of the flags included."""
    from nbdev.test import nbdev_test
    nbdev_test(path=path, flags=flags, n_workers=0)


def current_umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def begin(program, arguments, folder, environment, umask, said):
    """What a new process does: take over what it would inherit from the test, open its own streams, then run the program."""
    os.chdir(folder)
    os.umask(umask)
    os.environ.clear()
    os.environ.update(environment)
    for stream, path in zip((sys.stdout, sys.stderr), said):
        with open(path, "wb") as f: os.dup2(f.fileno(), stream.fileno())
    program(*arguments)


class Running:
    """A program that runs, with the methods of `subprocess.Popen`."""
    def __init__(self, program, *arguments, cwd=None, environment=None):
        self.arguments, self.folder = tuple(map(str, arguments)), tempfile.TemporaryDirectory()
        self.said = [Path(self.folder.name)/name for name in ("stdout", "stderr")]
        inherited = str(cwd or os.getcwd()), dict(environment or os.environ), current_umask()
        self.process = FORKS.Process(target=begin, args=(program, self.arguments, *inherited, self.said))
        self.process.start()

    def poll(self): return self.process.exitcode

    def send_signal(self, number): os.kill(self.process.pid, number)

    def communicate(self, timeout):
        """Wait for the end, and give what the program said on its two streams."""
        self.process.join(timeout)
        if self.poll() is None:
            self.process.kill()
            self.process.join()
            raise subprocess.TimeoutExpired(self.arguments, timeout)
        with self.folder: return tuple(path.read_text(encoding="utf-8") for path in self.said)


def run(program, *arguments, cwd=None, environment=None, timeout=300):
    """Run a program to its end, and give what `subprocess.run` gives."""
    running = Running(program, *arguments, cwd=cwd, environment=environment)
    said = running.communicate(timeout)
    return subprocess.CompletedProcess(running.arguments, running.poll(), *said)
