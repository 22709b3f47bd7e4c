"""Controls against truths that are known: which documents, which lengths, which sentences, how many words."""
import random
from collections import Counter

import pyarrow.parquet as pq
import pytest

from conftest import hashes, write_jsonl
from simplelm.artifacts import InputError
from simplelm.text import controls
from simplelm.text import corpus
from simplelm.text import formats
from simplelm.text import parts
from simplelm.text.controls import (copy_documents, closed_class, documents_of, passage_lengths, passages_of, random_vocabulary,
                                    sample_documents, sentences_of, shuffle_sentences)
from simplelm.text.corpus import corpus_texts
from simplelm.text.simplification import SimplificationConfig
from simplelm.text.simplified import simplify_corpus
from simplelm.text.vocabulary import Vocabulary, split_words

WORDS = Vocabulary.from_words("the dog cat saw a sat on mat and ran".split(), name="toy")
RULE = SimplificationConfig(min_words=3, max_oov=0)
HARD = "revenue profits shares fell rose sharply".split()


def make_text(r):
    """Sentences of simple words, of hard words, and of both."""
    sentences = []
    for _ in range(r.randint(0, 12)):
        words = WORDS.words if r.random() < .6 else HARD if r.random() < .7 else [*WORDS.words, *HARD]
        sentences.append(" ".join(r.choices(words, k=r.randint(1, 12))).capitalize() + r.choice([".", "!", "?", ".\n", "’s.", "…"]))
    return " ".join(sentences)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Three files of sixty documents, and their simple passages."""
    folder, r = tmp_path_factory.mktemp("controls"), random.Random(5)
    texts = [[make_text(r) for _ in range(60)] for _ in range(3)]
    files = [folder/f"{name}.jsonl" for name in "abc"]
    for path, found in zip(files, texts): write_jsonl(path, found)
    simplify_corpus(files, folder/"simple", WORDS, RULE)
    return folder, files, {f"{name}:{n}": text for name, found in zip("abc", texts) for n, text in enumerate(found)}


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(parts, "PART_BYTES", 2000)
    monkeypatch.setattr(parts, "GROUP_BYTES", 1)
    monkeypatch.setattr(controls, "PART_BYTES", 2000)
    monkeypatch.setattr(controls, "BUCKET_BYTES", 20_000)
    monkeypatch.setattr(formats, "BLOCK_BYTES", 1500)
    monkeypatch.setattr(parts, "BLOCK_BYTES", 1500)


def rows_of(folder): return pq.read_table(folder/"data").to_pylist()


MAKERS = {
    "documents": lambda folder, files, out, **options: documents_of(files, out, folder/"simple", **options),
    "passages": lambda folder, files, out, **options: passages_of(files, out, folder/"simple", **options),
    "shuffled": lambda folder, files, out, **options: shuffle_sentences(files, out, seed=3, **options),
    "copies": lambda folder, files, out, **options: copy_documents(files, out, seed=3, **options),
    "sample": lambda folder, files, out, **options: sample_documents(files, out, 3000, seed=3, **options),
}


def test_documents_are_those_of_the_passages(world, tmp_path):
    folder, files, texts = world
    wanted = {row["document"] for row in rows_of(folder/"simple")}
    assert 20 < len(wanted) < len(texts)
    manifest = documents_of(files, tmp_path/"out", folder/"simple")
    assert [(row["document"], row["text"]) for row in rows_of(tmp_path/"out")] == [item for item in texts.items() if item[0] in wanted]
    assert manifest.counts == dict(documents=len(wanted), words=sum(len(split_words(texts[name])) for name in wanted))


def test_passages_are_as_long_as_the_simple_ones_and_stand_in_their_documents(world, tmp_path):
    folder, files, texts = world
    manifest = passages_of(files, tmp_path/"out", folder/"simple")
    assert passage_lengths(tmp_path/"out") == passage_lengths(folder/"simple")
    end = Counter()
    for row in rows_of(tmp_path/"out"):
        assert texts[row["document"]][row["start"]:row["end"]] == row["text"]
        assert len(split_words(row["text"])) == row["word_count"]
        assert row["start"] >= end[row["document"]], "passages overlap"
        end[row["document"]] = row["end"]
    words = [len(split_words(row["text"])) for row in rows_of(folder/"simple")]
    assert (manifest.counts["spans"], manifest.counts["words"]) == (len(words), sum(words))


def test_passages_of_passages_of_are_the_same(world, tmp_path):
    folder, files, _ = world
    passages_of(files, tmp_path/"one", folder/"simple")
    passages_of(files, tmp_path/"two", tmp_path/"one")
    assert rows_of(tmp_path/"one") == rows_of(tmp_path/"two")


def test_like_may_be_several_corpora(world, tmp_path):
    folder, files, _ = world
    for path in files: simplify_corpus(path, tmp_path/path.stem, WORDS, RULE)
    likes = [tmp_path/path.stem for path in files]
    documents_of(files, tmp_path/"many", likes)
    documents_of(files, tmp_path/"one", folder/"simple")
    assert rows_of(tmp_path/"many") == rows_of(tmp_path/"one")


def test_most_passages_begin_a_sentence(world, tmp_path):
    folder, files, texts = world
    passages_of(files, tmp_path/"out", folder/"simple")
    begins = [texts[row["document"]][:row["start"]].rstrip()[-1:] in ("", *".!?…") for row in rows_of(tmp_path/"out")]
    assert sum(begins) > .5*len(begins)


def test_shuffling_keeps_every_sentence_and_every_length(world, tmp_path, small_parts):
    folder, files, texts = world
    manifest = shuffle_sentences(files, tmp_path/"out", seed=1)
    before, after = ([sentences_of(text) for text in found] for found in (texts.values(), corpus_texts(tmp_path/"out")))
    assert [*map(len, before)] == [*map(len, after)]
    assert Counter(s for found in before for s in found) == Counter(s for found in after for s in found)
    assert before != after
    assert manifest.counts["sentences"] == sum(map(len, before))
    assert len([*(tmp_path/"out"/"data").iterdir()]) > 3 and manifest.config["buckets"] > 1


def test_sentences_go_everywhere(tmp_path, small_parts):
    """With a uniform order, the mean place of the sentences of the first half is the middle."""
    write_jsonl(tmp_path/"a.jsonl", [f"Sentence {n}." for n in range(4000)])
    shuffle_sentences(tmp_path/"a.jsonl", tmp_path/"out")
    order = [int(text.split()[1][:-1]) for text in corpus_texts(tmp_path/"out")]
    assert sorted(order) == list(range(4000))
    first_half = [place for place, n in enumerate(order) if n < 2000]
    assert abs(sum(first_half)/2000 - 1999.5) < 4*4000/(12*4000)**.5 # four standard errors of a draw without replacement
    assert sum(a + 1 == b for a, b in zip(order, order[1:])) < 8 # one is expected


def test_a_sample_has_as_many_words_as_requested(world, tmp_path):
    folder, files, texts = world
    lengths = {name: len(split_words(text)) for name, text in texts.items()}
    samples = {}
    for seed in range(4):
        manifest = sample_documents(files, tmp_path/f"{seed}", 2000, seed=seed)
        samples[seed] = [row["document"] for row in rows_of(tmp_path/f"{seed}")]
        assert manifest.counts["words"] == sum(lengths[name] for name in samples[seed])
        assert abs(manifest.counts["words"] - 2000) <= max(lengths.values())/2
        assert samples[seed] == [name for name in texts if name in samples[seed]]
    assert len({*map(tuple, samples.values())}) == 4
    sample_documents(files, tmp_path/"larger", 4000, seed=0)
    assert {*samples[0]} < {row["document"] for row in rows_of(tmp_path/"larger")}


def test_all_words_are_all_documents(world, tmp_path):
    folder, files, texts = world
    total = sum(len(split_words(text)) for text in texts.values())
    sample_documents(files, tmp_path/"all", total)
    assert {name for name, text in texts.items() if split_words(text)} <= {row["document"] for row in rows_of(tmp_path/"all")}
    with pytest.raises(InputError, match=f"holds {total:,} words, not {total + 1:,}"): sample_documents(files, tmp_path/"more", total + 1)
    assert not (tmp_path/"more").exists()


@pytest.mark.parametrize("name", MAKERS)
def test_the_same_bytes_after_a_kill(world, tmp_path, small_parts, monkeypatch, name):
    folder, files, _ = world
    MAKERS[name](folder, files, tmp_path/"whole")
    written, write = [], corpus.write_part
    def write_and_die(path, table):
        if len(written) == 3: raise KeyboardInterrupt
        write(path, table)
        written.append(path)
    for module in (parts, controls): monkeypatch.setattr(module, "write_part", write_and_die)
    with pytest.raises(KeyboardInterrupt): MAKERS[name](folder, files, tmp_path/"out")
    assert len(written) == 3
    for module in (parts, controls): monkeypatch.setattr(module, "write_part", write)
    MAKERS[name](folder, files, tmp_path/"out")
    assert hashes(tmp_path/"out") == hashes(tmp_path/"whole")


@pytest.mark.parametrize("name", ["documents", "passages", "sample"])
def test_the_same_bytes_for_three_workers(world, tmp_path, small_parts, name):
    folder, files, _ = world
    MAKERS[name](folder, files, tmp_path/"one")
    MAKERS[name](folder, files, tmp_path/"three", workers=3)
    assert hashes(tmp_path/"one") == hashes(tmp_path/"three")


@pytest.mark.parametrize("name", MAKERS)
def test_a_second_call_makes_nothing(world, tmp_path, name):
    folder, files, _ = world
    first = MAKERS[name](folder, files, tmp_path/"out")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path/"out").rglob("*")}
    assert MAKERS[name](folder, files, tmp_path/"out") == first
    assert times == {path: path.stat().st_mtime_ns for path in (tmp_path/"out").rglob("*")}


def test_parts_of_another_corpus_of_passages_do_not_serve(world, tmp_path, small_parts, monkeypatch):
    """Stopped with one corpus of passages, continued with another: nothing of the first may stay."""
    folder, files, _ = world
    simplify_corpus(files, tmp_path/"like", WORDS, RULE)
    write = corpus.write_part
    def write_and_die(path, table):
        write(path, table)
        raise KeyboardInterrupt
    monkeypatch.setattr(parts, "write_part", write_and_die)
    with pytest.raises(KeyboardInterrupt): documents_of(files, tmp_path/"out", tmp_path/"like")
    monkeypatch.setattr(parts, "write_part", write)
    (tmp_path/"like").rename(tmp_path/"old")
    simplify_corpus(files, tmp_path/"like", WORDS, SimplificationConfig(min_words=8, max_oov=0))
    with pytest.raises(InputError, match="unfinished result of another request"): documents_of(files, tmp_path/"out", tmp_path/"like")


def test_what_cannot_be_is_said_in_one_line(world, tmp_path):
    folder, files, _ = world
    with pytest.raises(InputError, match="a.jsonl: holds .* of the .* documents that passages came from"): documents_of(files[0], tmp_path/"out", folder/"simple")
    simplify_corpus(files, tmp_path/"joined", WORDS, RULE, joined=True)
    with pytest.raises(InputError, match="holds joined documents"): passages_of(files, tmp_path/"out", tmp_path/"joined")
    with pytest.raises(InputError, match="words=0"): sample_documents(files, tmp_path/"out", 0)
    write_jsonl(tmp_path/"empty.jsonl", ["", "..."])
    with pytest.raises(InputError, match="no sentence in it"): shuffle_sentences(tmp_path/"empty.jsonl", tmp_path/"out")
    assert not (tmp_path/"out").exists() and not (tmp_path/".out.partial").exists()


# Random vocabularies

def zipf_counts(r, size=3000): return {f"w{''.join(chr(97 + int(d)) for d in str(n))}": 50_000//(n + 2) + r.randint(0, 3) for n in range(size)}


@pytest.mark.parametrize("seed", range(5))
def test_a_random_vocabulary_covers_as_much(seed):
    r = random.Random(seed)
    counts = zipf_counts(r)
    closed = [word for word in ("the", "of", "dont", "seventeen", "notwithstanding")]
    counts |= {word: r.randint(100, 40_000) for word in closed}
    like = Vocabulary.from_words([*r.sample(sorted(counts), 1200), "the", "dont", "seventeen", "neverseen"], name="like")
    control = random_vocabulary(counts, like, seed)
    total = lambda words: sum(counts.get(word, 0) for word in words)
    assert 0 <= total(like) - total(control) <= max(10, min(counts.values()))
    ranked = sorted(like.words, key=lambda word: (-counts.get(word, 0), word))
    assert {*ranked[:300]} <= control.word_set
    assert {word for word in like if word in closed_class()} <= control.word_set
    others = control.word_set - {*ranked[:300]} - closed_class()
    assert others <= counts.keys() and len(others - like.word_set) > len(others)/3
    assert not (closed_class() & control.word_set) - like.word_set, "a closed-class word was drawn"
    assert random_vocabulary(counts, like, seed) == control and random_vocabulary(counts, like, seed + 1) != control


def test_copies_are_found_again_by_deduplication(tmp_path):
    """The step that removes near copies takes out what the control put in, and nothing else."""
    from simplelm.stories.story import StoryWorldConfig, write_stories
    from simplelm.text.deduplication import DeduplicationConfig, deduplicate_corpus
    write_stories(tmp_path/"stories", StoryWorldConfig(documents=400, redundancy=0.0, story_length=15))
    made = copy_documents(tmp_path/"stories", tmp_path/"twice", share=0.5, changed=0.05, seed=1).counts
    assert 160 <= made["copies"] <= 240 and 0.04 < made["words_changed"]/(made["words"]*made["copies"]/made["documents"]) < 0.06
    kept = deduplicate_corpus(tmp_path/"twice", tmp_path/"once", DeduplicationConfig(threshold=0.5)).counts
    names = set(pq.read_table(tmp_path/"once"/"data")["document"].to_pylist())
    left = sum(name.endswith("/copy") for name in names)
    assert left <= 0.02*made["copies"] and len(names) - left >= 398, kept
