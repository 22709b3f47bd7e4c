"""Artifacts are checked where they are read, unfinished work is never deleted without a word, and processes do not disturb each other."""
import json
import multiprocessing
import os
import random
import shutil
import time
from pathlib import Path

import pytest

from conftest import call, hashes, kill_when, write_jsonl
from simplelm import artifacts
from simplelm.text import corpus
from simplelm.text import parts
from simplelm.text import simplified
from simplelm.text import formats
from simplelm.artifacts import InputError, atomic_write, check_files, make_artifact, read_manifest, restarting, source_fingerprint
from simplelm.leftovers import find_leftovers, remove_leftover
from simplelm.text.simplification import SimplificationConfig
from simplelm.text.vocabulary import Vocabulary

WORDS = Vocabulary.from_words("the a dog cat sat ran on mat and saw".split(), name="toy")
SMALL = SimplificationConfig(min_words=2, max_oov=0)


def write_letters(folder, letters="ab"):
    """A toy stage: a file for each letter."""
    for letter in letters: (folder/letter).write_text(letter)
    return dict(letters=len(letters))


def flip(path):
    """Another byte in the middle of a file, which keeps its size."""
    content = bytearray(path.read_bytes())
    content[len(content)//2] ^= 1
    path.write_bytes(content)


# Files are what the manifest says

def test_a_manifest_lists_sizes_and_hashes(tmp_path):
    import hashlib
    made = make_artifact(tmp_path/"one", "letters", {}, write_letters)
    assert made.files == {letter: dict(size=1, sha256=hashlib.sha256(letter.encode()).hexdigest()) for letter in "ab"}
    assert read_manifest(tmp_path/"one") == made


def damage_size(folder): (folder/"a").write_text("aa")
def damage_bytes(folder): (folder/"a").write_text("x")
def damage_missing(folder): (folder/"a").unlink()


@pytest.mark.parametrize("damage", [damage_size, damage_bytes, damage_missing])
def test_a_changed_file_is_noticed_where_it_is_used(tmp_path, damage):
    make_artifact(tmp_path/"one", "letters", {}, write_letters)
    source_fingerprint(tmp_path/"one")
    damage(tmp_path/"one")
    for use in (lambda: source_fingerprint(tmp_path/"one"),
                lambda: make_artifact(tmp_path/"two", "copy", {}, write_letters, {"one": tmp_path/"one"}),
                lambda: make_artifact(tmp_path/"one", "letters", {}, write_letters)):
        with pytest.raises(InputError, match="one/a: (differs|missing)") as said: use()
        assert "\n" not in str(said.value)
    if damage is damage_bytes: read_manifest(tmp_path/"one")
    else:
        with pytest.raises(InputError, match="one/a"): read_manifest(tmp_path/"one")
    assert not (tmp_path/"two").exists()


def test_more_files_and_manifests_of_earlier_versions_do_no_harm(tmp_path):
    make_artifact(tmp_path/"one", "letters", {}, write_letters)
    (tmp_path/"one"/"notes.txt").write_text("mine")
    check_files(tmp_path/"one")
    label = tmp_path/"one"/"manifest.json"
    label.write_text(json.dumps({k: v for k, v in json.loads(label.read_text()).items() if k not in ("files", "threads")}))
    damage_size(tmp_path/"one")
    assert read_manifest(tmp_path/"one").files == {}


@pytest.mark.parametrize("name", ["../other", "/etc/passwd", "a/../../b"])
def test_a_manifest_names_no_file_outside(tmp_path, name):
    make_artifact(tmp_path/"one", "letters", {}, write_letters)
    label = tmp_path/"one"/"manifest.json"
    content = json.loads(label.read_text())
    content["files"][name] = dict(size=1, sha256="0")
    label.write_text(json.dumps(content))
    with pytest.raises(InputError, match="not inside the folder"): read_manifest(tmp_path/"one")


def test_a_foreign_manifest_makes_no_artifact(tmp_path):
    (tmp_path/"mine").mkdir()
    (tmp_path/"mine"/"manifest.json").write_text('{"name": "an app"}')
    write_jsonl(tmp_path/"mine"/"a.jsonl", ["The dog ran."])
    assert len(source_fingerprint(tmp_path/"mine")) == 16
    assert [p.name for p in corpus.find_sources(tmp_path/"mine")] == ["a.jsonl"]


def test_a_part_of_a_corpus_is_checked_also_by_itself(tmp_path):
    write_jsonl(tmp_path/"a.jsonl", ["The dog ran on a mat."]*5)
    simplified.simplify_corpus(tmp_path/"a.jsonl", tmp_path/"simple", WORDS, SMALL)
    flip(next((tmp_path/"simple"/"data").glob("part-*")))
    for source in (tmp_path/"simple", str(tmp_path/"simple"/"data"/"part-*"), [tmp_path/"simple"]):
        with pytest.raises(InputError, match="part-00000-00000.parquet: differs"): simplified.simplify_corpus(source, tmp_path/"again", WORDS, SMALL)


def test_damaged_blocks_are_refused(tmp_path, blocks):
    shutil.copytree(blocks, tmp_path/"blocks")
    flip(next((tmp_path/"blocks").glob("train-*.bin")))
    done = call("train", "blocks", "--size", "32x2", "--batch-size", 16, "--out", "model", cwd=tmp_path)
    assert done.returncode == 2 and "train-00000.bin: differs" in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not list(tmp_path.glob("*model*"))


def test_a_file_is_hashed_once_a_process(tmp_path):
    path = tmp_path/"a"
    path.write_text("a")
    os.utime(path, (0, 0))
    first = source_fingerprint(path)
    assert not any(key[0] == str(path) for key in artifacts._HASHES), "a file that has just changed is not remembered"
    path.write_text("b") # same size, within one tick of many clocks
    os.utime(path, (0, 0))
    assert source_fingerprint(path) != first


# Unfinished work stays

def stop_after(letters):
    """A stage that is killed after some letters."""
    def build(folder):
        write_letters(folder, letters)
        raise KeyboardInterrupt
    return build


def test_a_mistyped_option_deletes_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt): make_artifact(tmp_path/"one", "letters", dict(size="32x2"), stop_after("a"), seed=1)
    before = hashes(tmp_path/".one.partial")
    with pytest.raises(InputError, match=r"its seed \(1, now 2\) differ.*--restart"): make_artifact(tmp_path/"one", "letters", dict(size="32x2"), write_letters, seed=2)
    with pytest.raises(InputError, match=r"config.size"): make_artifact(tmp_path/"one", "letters", dict(size="64x2"), write_letters, seed=1)
    assert hashes(tmp_path/".one.partial") == before
    with restarting(): assert make_artifact(tmp_path/"one", "letters", dict(size="32x2"), write_letters, seed=2).seed == 2
    assert not (tmp_path/".one.partial").exists()


def test_a_mistyped_seed_keeps_the_checkpoints(tmp_path, blocks):
    arguments = ("train", blocks, "--size", "32x2", "--tokens", 131072, "--batch-size", 16, "--checkpoint-every", 5, "--warmup-tokens", 5120,
                 "--precision", "float32", "--tracker", "none", "--out", "model")
    saved = tmp_path/".model.partial"/"checkpoints"
    kill_when(lambda: len(list(saved.glob("*.safetensors"))) > 1, *arguments, cwd=tmp_path)
    kept = hashes(saved)
    done = call(*arguments, "--seed", 7, cwd=tmp_path)
    assert done.returncode == 2 and "seed (0, now 7)" in done.stderr and "--restart" in done.stderr, done.stderr
    assert hashes(saved) == kept


@pytest.mark.parametrize("content", ["notes.txt", "request.json"])
def test_a_folder_of_the_users_own_is_never_touched(tmp_path, content):
    mine = tmp_path/".one.partial"
    mine.mkdir()
    (mine/content).write_text('{"mine": 1}')
    for context in (restarting(False), restarting()):
        with context, pytest.raises(InputError, match="simplelm did not make it"): make_artifact(tmp_path/"one", "letters", {}, write_letters)
    assert [p.name for p in mine.iterdir()] == [content]
    assert not find_leftovers(tmp_path)


def test_killed_between_manifest_and_name(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(artifacts.PartialArtifact, "publish", stop_after(""))
        with pytest.raises((KeyboardInterrupt, TypeError)): make_artifact(tmp_path/"one", "letters", {}, write_letters)
    with pytest.raises(InputError, match="another request"): make_artifact(tmp_path/"one", "letters", {}, write_letters, seed=3)
    made = make_artifact(tmp_path/"one", "letters", {}, stop_after("")) # nothing is built again
    assert made.counts == dict(letters=2) and check_files(tmp_path/"one") == made


def write_corpus(folder, bad):
    """Three files of 40 records; the second has a bad one, or not."""
    for name in "xyz":
        write_jsonl(folder/f"{name}.jsonl", [f"The dog saw {i} and the cat sat on the mat." for i in range(40)])
    if bad:
        with (folder/"y.jsonl").open("a") as f: f.write("{\n")
    return [folder/f"{name}.jsonl" for name in "xyz"]


@pytest.fixture
def small_parts(monkeypatch):
    for name, value in (("PART_BYTES", 500), ("BLOCK_BYTES", 200), ("GROUP_BYTES", 1000)): monkeypatch.setattr(parts, name, value)
    monkeypatch.setattr(formats, "BLOCK_BYTES", 200)


def parts_of(folder): return {p.name: p.stat().st_mtime_ns for p in folder.rglob("part-*")}


def test_parts_before_a_bad_record_serve_when_it_is_set_aside(tmp_path, small_parts):
    files = write_corpus(tmp_path, bad=True)
    simplify = lambda out, **options: simplified.simplify_corpus(files, tmp_path/out, WORDS, SMALL, **options)
    with pytest.raises(InputError, match="y.jsonl: line 41"): simplify("out")
    kept = parts_of(tmp_path/".out.partial")
    assert len(kept) > 5, "finished parts are deleted"
    simplify("out", bad_records="set-aside")
    assert kept.items() <= parts_of(tmp_path/"out").items(), "finished parts were made again"
    simplify("fresh", bad_records="set-aside")
    assert hashes(tmp_path/"out") == hashes(tmp_path/"fresh")


def test_parts_of_other_files_serve_when_a_file_is_mended(tmp_path, small_parts):
    simplify = lambda out, files: simplified.simplify_corpus(files, tmp_path/out, WORDS, SMALL)
    with pytest.raises(InputError, match="y.jsonl: line 41"): simplify("out", write_corpus(tmp_path, bad=True))
    kept = {name: at for name, at in parts_of(tmp_path/".out.partial").items() if name.startswith("part-00000")}
    files = write_corpus(tmp_path, bad=False)
    simplify("out", files)
    assert kept and kept.items() <= parts_of(tmp_path/"out").items(), "parts of an unchanged file were made again"
    simplify("fresh", files)
    assert hashes(tmp_path/"out") == hashes(tmp_path/"fresh")


def test_parts_of_another_corpus_are_not_deleted(tmp_path, small_parts):
    with pytest.raises(InputError, match="y.jsonl: line 41"): simplified.simplify_corpus(write_corpus(tmp_path, bad=True), tmp_path/"out", WORDS, SMALL)
    kept = parts_of(tmp_path/".out.partial")
    (tmp_path/"other").mkdir()
    write_jsonl(tmp_path/"other"/"w.jsonl", ["The dog ran."])
    with pytest.raises(InputError, match="--restart"): simplified.simplify_corpus(tmp_path/"other", tmp_path/"out", WORDS, SMALL)
    assert parts_of(tmp_path/".out.partial") == kept


# Leftovers

def test_clean_lists_and_deletes(tmp_path):
    run = tmp_path/"run"
    run.mkdir()
    with pytest.raises(KeyboardInterrupt): make_artifact(run/"one", "letters", {}, stop_after("a"))
    (run/".one.lock").touch()
    killed = multiprocessing.get_context("fork").Process(target=write_and_die, args=(run/"table.csv",))
    killed.start()
    killed.join()
    (run/".mine.lock").write_text("mine")
    (run/".my.tmp").touch()
    make_artifact(run/"two", "letters", {}, write_letters)
    before = hashes(run)
    listed = call("clean", run)
    assert listed.returncode == 0 and "unfinished letters" in listed.stdout and "3 leftovers" in listed.stdout, listed.stdout + listed.stderr
    assert ".table.csv." in listed.stdout and hashes(run) == {name: h for name, h in before.items()}
    assert call("clean", run, "--delete").returncode == 0
    assert sorted(p.name for p in run.iterdir()) == [".mine.lock", ".my.tmp", "two"]
    assert "nothing is left over" in call("clean", run).stdout


def write_and_die(path):
    with atomic_write(path) as f:
        f.write("a")
        f.flush()
        os._exit(1)


def test_clean_leaves_what_a_process_works_on(tmp_path):
    found = []
    def build(folder):
        (folder/"a").write_text("a")
        with atomic_write(tmp_path/"table.csv") as f:
            f.write("a")
            found.append(find_leftovers(tmp_path))
        return {}
    make_artifact(tmp_path/"one", "letters", {}, build)
    assert found == [[]]


def test_a_leftover_that_is_taken_up_stays(tmp_path):
    with pytest.raises(KeyboardInterrupt): make_artifact(tmp_path/"one", "letters", {}, stop_after("a"))
    left, = find_leftovers(tmp_path)
    def build(folder):
        assert not remove_leftover(left)
        return write_letters(folder)
    make_artifact(tmp_path/"one", "letters", {}, build)
    assert check_files(tmp_path/"one").counts == dict(letters=2)


# Several processes

def slow_letters(folder):
    for letter in "abcd":
        if not (folder/letter).exists():
            with atomic_write(folder/letter) as f: f.write(letter)
    time.sleep(random.random()/300)
    if random.random() < 0.1: raise InputError("a bad record")
    return {}


def hammer(place, seed, calls, said):
    """Make the same few artifacts again and again, and delete some of them; nothing but one-line errors is raised."""
    random.seed(seed)
    for _ in range(calls):
        folder = Path(place)/f"new{random.randrange(2)}"/f"{random.randrange(3)}"
        try: outcome = "made" if make_artifact(folder, "letters", {}, slow_letters).files.keys() == set("abcd") else "not whole"
        except InputError as e: outcome = "refused: " + str(e).split(":")[-1].split(";")[0].strip()
        except BaseException as e: outcome = f"{type(e).__name__}: {e}"
        said.put(outcome)
        if random.random() < 0.3:
            try: os.replace(folder, Path(place)/f"gone-{os.getpid()}-{random.random()}")
            except OSError: pass


def test_processes_that_make_the_same_artifacts(tmp_path, monkeypatch):
    monkeypatch.setattr(artifacts, "sync", lambda path: None) # the disk's confirmation takes most of the time, and is not what is tested
    context, processes, calls = multiprocessing.get_context("fork"), 4, 150
    said = context.Queue()
    workers = [context.Process(target=hammer, args=(tmp_path, seed, calls, said)) for seed in range(processes)]
    for worker in workers: worker.start()
    outcomes = [said.get(timeout=120) for _ in range(processes*calls)]
    for worker in workers: worker.join()
    one_line = {"a bad record", "another process is making it", "not an artifact (it has no manifest.json)", # what others delete is missing
                "missing, though its manifest lists it", "cannot be read (No such file or directory)"}
    assert set(outcomes) <= {"made", *(f"refused: {reason}" for reason in one_line)}, set(outcomes)
    assert outcomes.count("made") > calls
    assert not list(tmp_path.rglob(".*.lock")) and not list(tmp_path.rglob("*.tmp"))


def write_often(path, letter, times):
    for _ in range(times):
        with atomic_write(path) as f: f.write(letter*10_000)


def test_processes_that_write_the_same_file(tmp_path, monkeypatch):
    monkeypatch.setattr(artifacts, "sync", lambda path: None)
    context = multiprocessing.get_context("fork")
    workers = [context.Process(target=write_often, args=(tmp_path/"table.csv", letter, 200)) for letter in "abc"]
    for worker in workers: worker.start()
    while any(worker.is_alive() for worker in workers):
        if (tmp_path/"table.csv").exists():
            read = (tmp_path/"table.csv").read_text()
            assert len(read) == 10_000 and len(set(read)) == 1
    assert [worker.exitcode for worker in workers] == [0]*3
    assert [p.name for p in tmp_path.iterdir()] == ["table.csv"]
