"""Documents have the same scores whatever the order of files, the number of threads, the format and the kills; what is planted to be hard is hard."""
import json
import random

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import processes
from conftest import call, hashes, kill_when, write_jsonl
from simplelm.text.corpus import corpus_texts
from simplelm.text.difficulty import DIFFICULTY_MEASURES, DifficultyConfig, measure_difficulty


def sentence(draw, words, length): return " ".join(draw.choices(words, k=length)).capitalize() + "."


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """Easy documents of short sentences with frequent words, and hard ones of long sentences with rare words."""
    folder, draw = tmp_path_factory.mktemp("difficulty"), random.Random(3)
    letters = "abcdefghijklmnopqrstuvwxyz"
    frequent = ["".join(draw.choices(letters, k=3)) for _ in range(300)]
    rare = ["".join(draw.choices(letters, k=9)) for _ in range(20_000)]
    for name in "ab":
        easy = [" ".join(sentence(draw, frequent, 6) for _ in range(draw.randrange(5, 30))) for _ in range(150)]
        hard = [" ".join(sentence(draw, frequent + rare, 24) for _ in range(draw.randrange(3, 8))) for _ in range(150)]
        write_jsonl(folder/f"{name}.jsonl", [text for pair in zip(easy, hard) for text in pair])
    return folder


def table(folder): return pq.read_table(folder/"data").to_pandas()


def test_planted_difficulty_is_found(corpus, tmp_path):
    """Every measure that does not depend on length tells the two kinds apart, in every pair."""
    counts = measure_difficulty([corpus/"a.jsonl", corpus/"b.jsonl"], tmp_path/"out").counts
    rows = table(tmp_path/"out")
    assert counts["documents"] == len(rows) == 600
    assert counts["words"] == rows.words.sum() and counts["sentences"] == rows.sentences.sum()
    for name in ("sentence_length", "beyond_1000", "beyond_3000", "unigram", "trigram", "difficulty"): assert rows[name][::2].max() < rows[name][1::2].min(), name
    assert rows.sentence_length[::2].eq(6).all() and rows.sentence_length[1::2].eq(24).all()


def test_order_of_files_and_threads_change_nothing(corpus, tmp_path):
    files = [corpus/"a.jsonl", corpus/"b.jsonl"]
    measure_difficulty(files, tmp_path/"one")
    measure_difficulty(files, tmp_path/"two", workers=2)
    assert hashes(tmp_path/"one") == hashes(tmp_path/"two")
    measure_difficulty(files[::-1], tmp_path/"back")
    one, back = (table(tmp_path/name).sort_values("document").reset_index(drop=True) for name in ("one", "back"))
    pd.testing.assert_frame_equal(one, back)


def test_formats_say_the_same(corpus, tmp_path):
    texts = [*corpus_texts(corpus/"a.jsonl")]
    pq.write_table(pa.table(dict(body=texts)), tmp_path/"a.parquet")
    measure_difficulty(corpus/"a.jsonl", tmp_path/"lines")
    measure_difficulty(tmp_path/"a.parquet", tmp_path/"rows", text_column="body")
    columns = ["words", *DIFFICULTY_MEASURES, "difficulty"]
    pd.testing.assert_frame_equal(table(tmp_path/"lines")[columns], table(tmp_path/"rows")[columns])


def test_a_sample_of_the_words_says_nearly_the_same(corpus, tmp_path):
    measure_difficulty(corpus/"a.jsonl", tmp_path/"all")
    measure_difficulty(corpus/"a.jsonl", tmp_path/"some", DifficultyConfig(model_words=6000))
    whole, some = table(tmp_path/"all"), table(tmp_path/"some")
    assert not whole.trigram.equals(some.trigram) and whole.sentence_length.equals(some.sentence_length)
    assert np.corrcoef(whole.difficulty, some.difficulty)[0, 1] > 0.9


def test_killed_work_continues_to_the_same_bytes(corpus, tmp_path):
    """Killed in the first pass and in the last, with a part for each of 16 files."""
    texts = [*corpus_texts([corpus/"a.jsonl", corpus/"b.jsonl"])]
    (tmp_path/"large").mkdir()
    for k in range(16): write_jsonl(tmp_path/"large"/f"{k:02}.jsonl", [f"{text} {k}." for text in texts])
    command = ("curate", "difficulty", "large", "--out")
    whole = processes.run(processes.small_parts, *command, "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    for sign in (".hashes/data", "data"):
        begun = lambda: len([*(tmp_path/".killed.partial"/sign).glob("part-*.parquet")]) > 1
        kill_when(begun, *command, "killed", cwd=tmp_path, program=processes.small_parts)
    assert 1 < len([*(tmp_path/".killed.partial"/"data").glob("part-*.parquet")]) < 16
    again = processes.run(processes.small_parts, *command, "killed", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert hashes(tmp_path/"whole") == hashes(tmp_path/"killed")


ODD = ["", " ", "word", "one " * 10_000, "🙂🙂 👍🏽", "def f(x): return x**2 # code", "no final stop", "...!!!", "a\x00b", "é" * 300, "3.14 15 9", "\n\n\n", "中文没有空格", "it's it’s"]

def test_odd_texts_have_finite_scores(tmp_path):
    draw = random.Random(0)
    texts = ODD + ["".join(draw.choices("ab é.!?\n'’1🙂", k=draw.randrange(40))) for _ in range(2000)]
    write_jsonl(tmp_path/"odd.jsonl", texts)
    counts = measure_difficulty(tmp_path/"odd.jsonl", tmp_path/"out").counts
    rows = table(tmp_path/"out")
    assert len(rows) == counts["documents"] == len(texts)
    assert np.isfinite(rows[[*DIFFICULTY_MEASURES, "difficulty"]].to_numpy()).all()
    assert rows.difficulty.between(0, 1).all() and (rows[rows.words == 0][[*DIFFICULTY_MEASURES]] == 0).all(axis=None)


@pytest.mark.parametrize("options, said", [
    (("--measures", "length"), "measures: 'length' is no measure"), (("--measures", "trigram", "trigram"), "'trigram' is named twice"),
    (("--model-words", "0"), "model_words is 0; it must be at least 1"), (("--text-column", "body"), "body"), (("--workers", "0"), "workers=0"),
])
def test_bad_options_are_one_line(corpus, tmp_path, options, said):
    done = call("curate", "difficulty", corpus/"a.jsonl", *options, "--out", "out", cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr and "\n" not in done.stderr.strip(), done.stderr


def test_bad_records_are_counted(tmp_path):
    (tmp_path/"bad.jsonl").write_text(json.dumps(dict(text="a good text")) + "\n{broken\n")
    done = call("curate", "difficulty", "bad.jsonl", "--out", "out", cwd=tmp_path)
    assert done.returncode == 2 and "bad" in done.stderr
    counts = measure_difficulty(tmp_path/"bad.jsonl", tmp_path/"aside", bad_records="set-aside").counts
    assert (counts["documents"], counts["documents_rejected"]) == (2, 1)


def test_scores_are_no_corpus(corpus, tmp_path):
    measure_difficulty(corpus/"a.jsonl", tmp_path/"scores")
    done = call("tokenize", "scores", "--out", "out", cwd=tmp_path)
    assert done.returncode == 2 and "holds the result of the stage difficulty, which is no corpus" in done.stderr
