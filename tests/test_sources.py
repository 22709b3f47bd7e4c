"""What of a folder is read as a corpus: splits, links, results inside their own source, and everything that is left out."""
import itertools
import json
import os
import random

import pytest

from conftest import call, hashes, write_jsonl
from simplelm.text import corpus
from simplelm.artifacts import InputError
from simplelm.text.corpus import find_sources, hub_splits, open_sources
from simplelm.text.simplified import simplify_corpus
from simplelm.text.simplification import SimplificationConfig
from simplelm.models.tokenizer import TokenizerConfig, train_tokenizer
from simplelm.models.blocks import PackingConfig, pack_blocks
from simplelm.text.vocabulary import Vocabulary

WORDS = Vocabulary.from_words("the a dog cat sat ran on mat and saw".split(), name="toy")
SMALL = SimplificationConfig(min_words=2, max_oov=0)
TEXT = "The dog saw a cat and the cat sat on the mat."


def fill(folder, *names):
    """Files that each hold one document, their own name."""
    for name in names:
        (folder/name).parent.mkdir(parents=True, exist_ok=True)
        write_jsonl(folder/name, [f"{TEXT} {name}"])
    return folder


def found(folder, *options, **more): return [os.path.relpath(path, folder) for path in find_sources(folder, *options, **more)]


@pytest.fixture(autouse=True)
def fresh_messages():
    """A message that was said in an earlier test is said again."""
    corpus._say_once.cache_clear()


# Splits

FOLDERS = [
    ["train.jsonl", "test.jsonl"], ["train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl", "validation-00000-of-00001.jsonl"],
    ["data/train-00000-of-00002.jsonl", "data/random-00000-of-00001.jsonl", "other/test.jsonl"], ["train/a.jsonl", "test/a.jsonl", "train.jsonl"],
    ["my_train_set/a.jsonl", "dev/b.jsonl"], ["a/b/training/c.jsonl", "a/b/eval-1/c.jsonl"], ["x-train.jsonl", "x-val.jsonl", "x.jsonl"],
    ["trained.jsonl", "latest.jsonl"], ["a.jsonl", "b.jsonl"], ["train1/a.jsonl", "2test.jsonl"], ["wiki train.jsonl", "wiki.dev.jsonl"],
    ["Train.jsonl", "TEST.jsonl"], ["evaluation.jsonl"], ["train/test/a.jsonl"], ["data/train-0-of-2.jsonl", "data/test.jsonl"],
    ["data/deep/train-00000-of-00001.jsonl", "data/dev-00000-of-00001.jsonl"]]


def library_splits(folder):
    """What `datasets` finds: split -> files."""
    data_files = pytest.importorskip("datasets.data_files")
    def resolve(pattern):
        try: return data_files.resolve_pattern(pattern, str(folder))
        except FileNotFoundError: return []
    patterns = data_files.get_data_patterns(str(folder))
    return {str(split): sorted({os.path.relpath(path, folder) for pattern in chosen for path in resolve(pattern)}) for split, chosen in patterns.items()}


@pytest.mark.parametrize("names", FOLDERS, ids=lambda names: ",".join(names)[:60])
def test_splits_are_those_of_datasets(tmp_path, names):
    fill(tmp_path, *names)
    ours = {split: sorted(files) for split, files in hub_splits(sorted(names)).items()} or {"train": sorted(names)}
    assert ours == library_splits(tmp_path)


def test_splits_of_random_names_are_those_of_datasets(tmp_path):
    r = random.Random(0)
    pieces = ["train", "training", "validation", "valid", "dev", "val", "test", "testing", "eval", "evaluation", "x", "set", "Train"]
    make = lambda: "".join(itertools.chain.from_iterable(zip(r.choices(pieces, k=r.randint(1, 2)), r.choices(["-", "_", ".", " ", "7", "", "a"], k=2)))) or "x"
    for number in range(40):
        folder = tmp_path/str(number)/"set"
        names = {"/".join([*(make().strip(". ") or "x" for _ in range(r.randint(0, 2))), f"n{make()}.jsonl"]) for _ in range(3)}
        fill(folder, *names)
        ours = {split: sorted(files) for split, files in hub_splits(sorted(names)).items()} or {"train": sorted(names)}
        assert ours == library_splits(folder), names


def test_train_is_read_and_the_rest_is_named(tmp_path, caplog):
    fill(tmp_path, "train.jsonl", "test.jsonl", "dev.jsonl")
    assert found(tmp_path) == ["train.jsonl"]
    said = [r.getMessage() for r in caplog.records]
    assert len(said) == 1 and all(word in said[0] for word in ("split train", "test.jsonl", "dev.jsonl", "--split")), said
    assert found(tmp_path, "test") == ["test.jsonl"]
    assert found(tmp_path, "validation") == found(tmp_path, "dev") == ["dev.jsonl"]
    assert found(tmp_path, "all") == ["dev.jsonl", "test.jsonl", "train.jsonl"]
    assert [p.name for p in find_sources(str(tmp_path/"t*.jsonl"))] == ["test.jsonl", "train.jsonl"], "what the user names is taken"


def test_splits_that_are_not_there(tmp_path):
    fill(tmp_path/"tests", "test.jsonl")
    fill(tmp_path/"plain", "a.jsonl", "b.jsonl")
    with pytest.raises(InputError, match="no split 'train'; its splits are test; name one with --split"): find_sources(tmp_path/"tests")
    assert found(tmp_path/"plain", "train") == ["a.jsonl", "b.jsonl"]
    with pytest.raises(InputError, match="no split 'test'; no name in it tells of splits"): find_sources(tmp_path/"plain", "test")
    with pytest.raises(InputError, match="is taken as it is"): open_sources([tmp_path/"plain"/"a.jsonl"], "test")


def test_commands_read_the_split_that_is_named(tmp_path, words):
    fill(tmp_path/"set", "train.jsonl", "test.jsonl")
    for options, name in (((), "train"), (("--split", "test"), "test")):
        done = call("simplify", "set", "--vocabulary", words, "--min-words", 4, "--max-oov", 1, "--out", name, *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        inputs = json.loads((tmp_path/name/"manifest.json").read_text())["inputs"]
        assert list(inputs) == [name]
    done = call("tokenize", "set", "--vocab-size", 300, "--context", 4, "--split", "nothing", "--out", "tokens", cwd=tmp_path)
    assert done.returncode == 2 and "no split 'nothing'" in done.stderr and not (tmp_path/"tokens").exists(), done.stderr
    counted = [call("vocabulary", "set", "--size", 5, "--out", "words.csv", *options, cwd=tmp_path).stdout for options in ((), ("--split", "all"))]
    running = [int(line.split(" of ")[1].split()[0]) for line in counted]
    assert running[1] == 2*running[0]


# What is left out

def test_every_file_that_is_left_out_is_named(tmp_path, caplog):
    fill(tmp_path, "a.jsonl", "b.bin", "c/d.doc", "e.parquet.bak", ".hidden.jsonl")
    (tmp_path/"gone.jsonl").symlink_to("nowhere")
    assert found(tmp_path) == ["a.jsonl"]
    said, = [r.getMessage() for r in caplog.records]
    assert "4 files are left out (b.bin, c/d.doc, e.parquet.bak, gone.jsonl (no file))" in said


def test_many_files_that_are_left_out_are_counted(tmp_path, caplog):
    fill(tmp_path, "a.jsonl", *(f"{n:02}.bin" for n in range(20)))
    find_sources(tmp_path)
    said, = [r.getMessage() for r in caplog.records]
    assert "20 files are left out (00.bin, 01.bin, 02.bin, 03.bin, 04.bin and 15 more)" in said


def test_links(tmp_path, caplog):
    """Folders behind links are read, no file twice, and a circle ends."""
    fill(tmp_path/"set", "a.jsonl", "deep/b.jsonl")
    fill(tmp_path/"elsewhere", "c.jsonl", "more/d.jsonl")
    (tmp_path/"set"/"far").symlink_to(tmp_path/"elsewhere")
    (tmp_path/"set"/"again.jsonl").symlink_to("a.jsonl")
    (tmp_path/"set"/"deep"/"up").symlink_to("..")
    (tmp_path/"elsewhere"/"back").symlink_to(tmp_path/"set")
    assert found(tmp_path/"set") == ["a.jsonl", "deep/b.jsonl", "far/c.jsonl", "far/more/d.jsonl"]
    assert "again.jsonl (the same file as a.jsonl)" in caplog.text
    with pytest.raises(InputError, match="given twice"): find_sources([tmp_path/"set"/"a.jsonl", tmp_path/"set"/"again.jsonl"])


def test_a_result_inside_its_source_is_no_input(tmp_path):
    source = fill(tmp_path/"set", "a.jsonl", "b.jsonl")
    first = simplify_corpus(source, source/"simple", WORDS, SMALL)
    (source/"simple-logs").mkdir()
    write_jsonl(source/"simple-logs"/"log.jsonl", ["The dog ran."])
    assert simplify_corpus(source, source/"simple", WORDS, SMALL) == first
    assert list(first.inputs) == ["a", "b"]


def test_results_that_are_no_text_are_no_input(tmp_path, caplog):
    source = fill(tmp_path/"set", *(f"{n}.jsonl" for n in range(30)))
    train_tokenizer(source, source/"tokenizer", TokenizerConfig(vocab_size=300))
    packing = PackingConfig(context=4, validation_fraction=0.3)
    first = pack_blocks(source, source/"tokenizer", source/"blocks", packing)
    assert pack_blocks(source, source/"tokenizer", source/"blocks", packing) == first
    assert "blocks/ (the result of the stage blocks)" in caplog.text
    with pytest.raises(InputError, match="stage blocks, which is no corpus"): find_sources(source/"blocks")


def test_of_a_corpus_of_ours_only_its_own_parts_are_read(tmp_path, caplog):
    simplify_corpus(fill(tmp_path/"set", "a.jsonl"), tmp_path/"simple", WORDS, SMALL)
    fill(tmp_path/"simple", "added.jsonl")
    assert found(tmp_path/"simple") == ["data/part-00000-00000.parquet"]
    assert not hashes(tmp_path/"simple").keys() - {"README.md", "added.jsonl", "data/part-00000-00000.parquet", "manifest.json", "missing_words.csv", "statistics.json"}
