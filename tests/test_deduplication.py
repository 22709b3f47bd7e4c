"""Copies that were planted are found, others stay, and neither the order of files, the number of threads nor a kill changes what is left."""
import random
import tracemalloc
from collections import Counter

import numpy as np
import pyarrow.parquet as pq
import pytest

from conftest import call, hashes, kill_when, write_jsonl
from simplelm.text.corpus import corpus_texts
from simplelm.text.deduplication import DeduplicationConfig, deduplicate_corpus, jaccard, shingles


def planted(seed, count, words=2000):
    """Originals; exact copies of all; copies in which 5% of the words are other ones; documents that share a half of their shingles' words in another order."""
    draw = random.Random(seed)
    originals = [draw.choices([f"w{k}" for k in range(words)], k=draw.randrange(150, 500)) for _ in range(count)]
    near, others = [], []
    for text in originals:
        changed = [*text]
        for place in draw.sample(range(len(text)), len(text)//20): changed[place] = f"v{draw.randrange(words)}"
        near.append(changed)
        # A third of the text is the same: a similarity of about .2, which is no copy.
        kept = len(text)//3
        others.append(text[:kept] + draw.choices([f"u{k}" for k in range(words)], k=len(text) - kept))
    return [[" ".join(words) for words in texts] for texts in (originals, near, others)]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("planted")
    originals, near, others = planted(7, 600)
    for name, texts in (("a", originals), ("b", originals + near), ("c", others)): write_jsonl(folder/f"{name}.jsonl", texts)
    return folder, originals, near, others


def test_planted_copies_are_found(corpus, tmp_path):
    """All exact copies, at least 99% of the near copies, and no other document."""
    folder, originals, near, others = corpus
    counts = deduplicate_corpus([folder/f"{name}.jsonl" for name in "abc"], tmp_path/"out").counts
    left = [*corpus_texts(tmp_path/"out")]
    assert Counter(left).most_common(1)[0][1] == 1
    assert {*originals} <= {*left} and {*others} <= {*left}
    assert len({*near} & {*left}) <= len(near)//100
    assert counts["documents"] == counts["documents_kept"] + counts["documents_dropped"] + counts["documents_rejected"] == 2400


def test_order_of_files_changes_the_choice_alone(corpus, tmp_path):
    folder, *_ = corpus
    forth = deduplicate_corpus([folder/f"{name}.jsonl" for name in "abc"], tmp_path/"forth").counts
    back = deduplicate_corpus([folder/f"{name}.jsonl" for name in "cba"], tmp_path/"back", workers=2).counts
    assert forth["documents_kept"] == back["documents_kept"]
    listed = [pq.read_table(tmp_path/name/"duplicates.parquet").to_pylist() for name in ("forth", "back")]
    clusters = [{frozenset((row["kept"], row["dropped"])) for row in rows} for rows in listed]
    assert clusters[0] != clusters[1] # b stands for a, and not a for b
    assert {name.split(":")[0] for row in listed[0] for name in [row["kept"]]} == {"a"}


def test_threads_change_nothing(corpus, tmp_path):
    folder, *_ = corpus
    for workers in (1, 2): deduplicate_corpus(folder/"b.jsonl", tmp_path/f"w{workers}", workers=workers)
    assert hashes(tmp_path/"w1") == hashes(tmp_path/"w2")


def test_exact_similarity_is_listed(corpus, tmp_path):
    """The similarities in the list are those of the texts, computed from the definition."""
    folder, originals, near, _ = corpus
    deduplicate_corpus(folder/"b.jsonl", tmp_path/"out")
    texts = originals + near
    rows = [row for row in pq.read_table(tmp_path/"out"/"duplicates.parquet").to_pylist() if row["jaccard"] is not None]
    assert len(rows) > 500
    for row in rows[:50]:
        one, other = (shingles(texts[int(row[side].split(":")[1])]) for side in ("kept", "dropped"))
        assert row["jaccard"] == jaccard(one, other)
        assert abs(row["similarity"] - row["jaccard"]) < 5*.0443


@pytest.mark.parametrize("unit", ["document", "sentence"])
@pytest.mark.slow
def test_killed_work_continues_to_the_same_bytes(corpus, tmp_path, unit):
    folder, originals, near, others = corpus
    write_jsonl(tmp_path/"large.jsonl", [f"{text} {k}." for k in range(40) for text in originals + near])
    command = ("curate", "deduplicate", "large.jsonl", "--unit", unit, "--out")
    whole = call(*command, "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    for sign in (".digests/data", "data"):
        kill_when(lambda sign=sign: any((tmp_path/".killed.partial"/sign).glob("part-*")), *command, "killed", cwd=tmp_path)
    again = call(*command, "killed", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert hashes(tmp_path/"whole") == hashes(tmp_path/"killed")


def test_nothing_to_remove_is_said(tmp_path):
    write_jsonl(tmp_path/"few.jsonl", ["one small text of six words", "and another one that is different"])
    done = call("curate", "deduplicate", "few.jsonl", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0 and "Nothing was removed: no document is a copy of another." in done.stdout, done.stderr


@pytest.mark.parametrize("options, said", [
    (("--threshold", "0"), "threshold is 0.0; it must be above 0, at most 1"), (("--permutations", "4"), "permutations is 4; it must be 16 or more"),
    (("--unit", "word"), "--unit"), (("--text-column", "body"), "body"), (("--shingle", "0"), "shingle is 0"),
])
def test_bad_options_are_one_line(tmp_path, options, said):
    write_jsonl(tmp_path/"few.jsonl", ["one small text of six words"])
    done = call("curate", "deduplicate", "few.jsonl", *options, "--out", "out", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") <= 1 and said in done.stderr, done.stderr


def test_memory_of_the_index(monkeypatch):
    """What grows with the documents stays below the bytes by which a corpus that is too large is refused."""
    from simplelm.text import deduplication
    peaks, sizes = [], (50_000, 150_000)
    monkeypatch.setattr(deduplication, "CHUNK", 1 << 10) # so that the pairs that are compared at once do not hide the rest
    for size in sizes:
        draw = np.random.default_rng(0)
        table = draw.integers(0, 2**32, (size, 128), dtype=np.uint32)
        table[size//2:, 20:] = table[:size//2, 20:] # a near copy of each of the first half
        exact = draw.integers(0, 2**63, (size, 2)).astype(np.uint64)
        tracemalloc.start()
        labels = deduplication.find_clusters(exact, table, np.ones(size, bool))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert len(np.unique(labels)) == size//2
    assert (peaks[1] - peaks[0])/(sizes[1] - sizes[0]) + exact[0].nbytes < deduplication.INDEX_BYTES


def test_other_library_finds_the_same(corpus, tmp_path):
    """datasketch's MinHash LSH on the same shingles finds the same near copies."""
    datasketch = pytest.importorskip("datasketch", reason="compared with datasketch where it is installed")
    _, originals, near, _ = corpus
    index = datasketch.MinHashLSH(threshold=.5, num_perm=128)
    def signed(text):
        one = datasketch.MinHash(128)
        one.update_batch([" ".join(words).encode() for words in shingles(text)])
        return one
    for k, text in enumerate(originals[:200]): index.insert(k, signed(text))
    theirs = {k for k, text in enumerate(near[:200]) if k in index.query(signed(text))}
    write_jsonl(tmp_path/"both.jsonl", originals[:200] + near[:200])
    deduplicate_corpus(tmp_path/"both.jsonl", tmp_path/"out", DeduplicationConfig())
    mine = {int(row["dropped"].split(":")[1]) - 200 for row in pq.read_table(tmp_path/"out"/"duplicates.parquet").to_pylist()}
    assert theirs <= mine and len(mine) >= 198
