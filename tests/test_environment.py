"""Closed folders, schedulers' signals, permissions, several processes: what the machine around the package may be like."""
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import time

import pytest

import processes
from conftest import ROOT, call, write_jsonl

TEXT = "The dog sat on the mat. The cat sat on the dog. "


def closed():
    """A command's beginning under which folders without write permission are closed even to root."""
    if os.getuid(): return []
    tool = shutil.which("setpriv")
    if not tool: pytest.skip("root may write everywhere, and setpriv is not here to forbid it")
    return [tool, "--bounding-set=-dac_override,-dac_read_search,-fowner"]


@pytest.mark.slow
@pytest.mark.parametrize("stages", [1, 4])
def test_neither_home_nor_package_can_be_written(tmp_path, stages):
    """As in a container: one warning, and every stage works."""
    site, home, work, temporary = (tmp_path/name for name in ("site", "home", "work", "temporary"))
    shutil.copytree(ROOT/"simplelm", site/"simplelm", ignore=shutil.ignore_patterns("__pycache__"))
    for folder in (home, work, temporary): folder.mkdir()
    write_jsonl(work/"a.jsonl", [f"{i} {TEXT*20}" for i in range(400)])
    (work/"words.csv").write_text("word\nthe\ndog\nsat\ncat\non\nmat\n")
    for path in (*site.rglob("*"), site, home): path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("XDG_", "NUMBA_", "SIMPLELM_", "HF_", "PYTEST"))}
    env |= dict(HOME=str(home), PYTHONPATH=str(site), TMPDIR=str(temporary), TQDM_DISABLE="1", ACCELERATE_USE_CPU="true", PYTHONDONTWRITEBYTECODE="1")
    commands = [("simplify", "a.jsonl", "--vocabulary", "words.csv", "--out", "simple"), ("tokenize", "simple", "--out", "tokens", "--vocab-size", "300", "--context", "32", "--validation-fraction", ".05"),
                ("train", "tokens/blocks", "--size", "32x2", "--batch-size", "16", "--tokens", "8192", "--out", "model"), ("evaluate", "--model", "model", "--limit", "5", "--out", "scores")]
    try:
        for arguments in commands[:stages]:
            done = subprocess.run([*closed(), sys.executable, "-m", "simplelm", *arguments], cwd=work, env=env, capture_output=True, text=True, timeout=300)
            assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
            assert done.stderr.count("compiled kernels are kept in") == 1, done.stderr
        private, = temporary.glob("simplelm-*")
        assert stat.S_IMODE(private.stat().st_mode) == 0o700 and list(private.rglob("*.nbi"))
        assert "compiling for this processor" not in subprocess.run(
            [*closed(), sys.executable, "-m", "simplelm", *commands[0][:-1], "again"], cwd=work, env=env, capture_output=True, text=True).stderr, "nothing was kept"
    finally:
        for path in (site, home, *site.rglob("*")): path.chmod(stat.S_IMODE(path.stat().st_mode) | 0o200)


def test_no_folder_at_all_can_be_written(monkeypatch, caplog, tmp_path):
    from simplelm.internals import compilation
    monkeypatch.setattr(compilation, "can_write", lambda folder: False)
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    compilation.choose_cache.cache_clear()
    with caplog.at_level("WARNING", logger="simplelm"): assert compilation.choose_cache() is False
    assert "compiles kernels again; set NUMBA_CACHE_DIR" in caplog.text
    compilation.choose_cache.cache_clear()


def test_a_foreign_folder_is_not_trusted_with_kernels(monkeypatch, tmp_path):
    """Kernels are code: whoever else can write there could run theirs here."""
    from simplelm.internals import compilation
    monkeypatch.setattr(compilation.tempfile, "gettempdir", lambda: str(tmp_path))
    name = f"simplelm-{os.getuid()}"
    assert compilation.private_folder() == tmp_path/name
    (tmp_path/name).chmod(0o777)
    assert compilation.private_folder() is None
    shutil.rmtree(tmp_path/name)
    (tmp_path/"elsewhere").mkdir(mode=0o700)
    (tmp_path/name).symlink_to(tmp_path/"elsewhere")
    assert compilation.private_folder() is None


def test_files_follow_the_umask(tmp_path, blocks):
    """Weights, too, which safetensors writes to a file that nobody else may read."""
    before = os.umask(0o027)
    try: done = call("train", blocks, "--size", "32x2", "--batch-size", 16, "--tokens", 8192, "--tracker", "none", "--out", "model", cwd=tmp_path, environment={"ACCELERATE_USE_CPU": "true"})
    finally: os.umask(before)
    assert done.returncode == 0, done.stderr
    modes = {path.name: oct(stat.S_IMODE(path.stat().st_mode)) for path in (tmp_path/"model").rglob("*") if path.is_file()}
    assert set(modes.values()) == {"0o640"}, modes


@pytest.mark.parametrize("stage", ["simplify", "train"])
def test_sigterm_is_one_line(tmp_path, words, blocks, stage):
    """A scheduler's request to stop: one line, exit code 143, and the same command continues."""
    if stage == "simplify":
        (tmp_path/"many.jsonl").write_text((json.dumps({"text": TEXT*20}) + "\n")*400_000)
        arguments, begun = ("simplify", "many.jsonl", "--vocabulary", words, "--min-words", 4, "--out", "out"), lambda: any((tmp_path/".out.partial").rglob("part-*"))
    else:
        arguments = ("train", blocks, "--size", "32x2", "--batch-size", 16, "--tokens", 50_000_000, "--tracker", "none", "--out", "out")
        begun = lambda: any((tmp_path/".out.partial").rglob("*.safetensors"))
    process = processes.Running(processes.simplelm, *arguments, cwd=tmp_path, environment=os.environ | {"TQDM_DISABLE": "1", "ACCELERATE_USE_CPU": "true"})
    until = time.monotonic() + 120
    while not begun() and time.monotonic() < until: time.sleep(.01)
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=120)[1]
    assert process.poll() == 143 and "Traceback" not in told, told
    assert len([line for line in told.splitlines() if "stopped" in line]) == 1, told
    assert not (tmp_path/"out").exists() and (tmp_path/".out.partial").exists()


@pytest.mark.slow
def test_plain_torchrun_on_processors(tmp_path, blocks):
    """Without a word to accelerate: one model, by both processes."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ACCELERATE")} | {"OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    arguments = ("train", blocks, "--size", "32x2", "--batch-size", 16, "--tokens", 8192, "--tracker", "none", "--threads", 1, "--precision", "float32")
    done = subprocess.run([sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m", "simplelm", *map(str, arguments), "--out", "model"],
                          cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "another process" not in done.stderr, done.stderr
    alone = call(*arguments, "--out", "alone", cwd=tmp_path)
    assert alone.returncode == 0, alone.stderr
    losses = [json.loads((tmp_path/name/"manifest.json").read_text())["counts"]["validation_loss"] for name in ("model", "alone")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)


@pytest.mark.parametrize("arguments", [("simplify", "someone/corpus", "--out", "x"), ("run", "child_directed"), ("evaluate", "export", "piqa", "--out", "x"),
                                       ("vocabulary", "corpora/*.jsonl", "--out", "x.csv"), ("tokenize", "corpora/regular.jsonl.zst", "--out", "x")], ids=lambda a: a[0])
def test_a_wrong_simplelm_data_is_named_before_the_network_is_tried(tmp_path, arguments):
    done = call(*arguments, cwd=tmp_path, environment={"SIMPLELM_DATA": str(tmp_path/"nowhere")})
    assert done.returncode == 2 and f"SIMPLELM_DATA={tmp_path/'nowhere'}: is not a folder" in done.stderr, done.stderr
    assert not list(tmp_path.iterdir())


def test_arguments_that_are_not_utf_8(tmp_path):
    done = subprocess.run([sys.executable, "-m", "simplelm", "simplify", b"caf\xe9.jsonl", "--out", "x"], cwd=tmp_path, capture_output=True)
    assert done.returncode == 2 and b"is not UTF-8" in done.stderr and b"Traceback" not in done.stderr, done.stderr


def test_a_file_whose_name_is_not_utf_8(tmp_path, words):
    (tmp_path/"corpus").mkdir()
    with open(os.fsencode(tmp_path/"corpus") + b"/caf\xe9.jsonl", "w") as f: f.write(json.dumps({"text": TEXT}) + "\n")
    done = call("simplify", "corpus", "--vocabulary", words, "--out", "x", cwd=tmp_path)
    assert done.returncode == 2 and "its name is not UTF-8; rename it" in done.stderr, done.stderr


def test_a_fault_of_the_package_keeps_its_traceback(monkeypatch, capsys):
    from simplelm.cli import main
    monkeypatch.setattr("simplelm.artifacts.package_versions", lambda: {}["gone"])
    with pytest.raises(KeyError): main(["version"])
    monkeypatch.setattr("simplelm.artifacts.package_versions", lambda: open("/nowhere/at all"))
    with pytest.raises(SystemExit) as end: main(["version"])
    assert end.value.code == 2 and capsys.readouterr().err == "simplelm: /nowhere/at all: No such file or directory\n"
    monkeypatch.setenv("SIMPLELM_TRACEBACK", "1")
    with pytest.raises(FileNotFoundError): main(["version"])


def test_a_pattern_cannot_hang_a_run():
    from simplelm.artifacts import InputError
    from simplelm.scoring.tasks import find_answer
    assert find_answer(r"answer is (\w+)", "The answer is Seven.") == "seven"
    began = time.monotonic()
    with pytest.raises(InputError, match="takes more than"): find_answer(r"(.*)(.*)(.*)(.*)(.*)(.*)(.*)[0-9]$", "word "*100 + "!")
    assert time.monotonic() - began < 5


def test_few_steps_are_advised_against(caplog, tmp_path, blocks):
    from simplelm.models.model import model_size
    from simplelm.models.plan import TrainingConfig
    from simplelm.models.training import train
    with caplog.at_level("WARNING", logger="simplelm"):
        train(model_size("32x2", vocab_size=512, context=64), blocks, tmp_path/"m", TrainingConfig(tokens=7*64*64, batch_size=64, evaluate_sequences=8))
    assert "only 7 steps, since a batch of 64 x 64 tokens" in caplog.text and "--batch-size" in caplog.text
