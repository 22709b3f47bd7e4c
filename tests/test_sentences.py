"""Simple sentences: the rules on trees written by hand, and the whole way from text to corpus with a parser."""
import importlib.util
import json
import random

import pyarrow.parquet as pq
import pytest

from benchmarks import sentences as sentence_truth
from conftest import call, hashes, kill_when, write_jsonl
from simplelm.stories.dials import StoryWorldConfig
from simplelm.studies.languages import parse_step
from simplelm.text import sari, sentence_corpus
from simplelm.text.parsing import Sentence, count_clauses, parser_name, sentence_depth
from simplelm.text.sentence_corpus import cut_pieces, split_sentences
from simplelm.text.sentences import OPERATIONS, SplitConfig, split_sentence

needs_parser = pytest.mark.skipif(importlib.util.find_spec("spacy") is None or not parser_name(),
                                  reason="needs spaCy with an English model, of the extra `parsing`")


def tree(rows):
    """A sentence from lines of word, tag, relation and head."""
    words, tags, deps, heads = zip(*(row.split() for row in rows.strip().splitlines()))
    spaces = ["" if word in ".," else " " for word in (*words[1:], ".")]
    return Sentence(words, spaces, tags, deps, [*map(int, heads)])


CAME = tree("""
He PRP nsubj 1
came VBD ROOT 1
home NN advmod 1
and CC cc 1
she PRP nsubj 5
left VBD conj 1
. . punct 1
""")
DOG = tree("""
The DT det 1
dog NN nsubj 7
, , punct 1
which WDT nsubj 4
was VBD relcl 1
old JJ acomp 4
, , punct 1
ran VBD ROOT 7
home NN advmod 7
. . punct 7
""")


def test_rules_on_trees_written_by_hand():
    """Needs no parser."""
    assert split_sentence(CAME) == ["He came home.", "She left."]
    assert split_sentence(DOG) == ["The dog ran home.", "The dog was old."]
    assert split_sentence(DOG, SplitConfig(relative=False)) == ["The dog, which was old, ran home."]
    assert (sentence_depth(DOG), count_clauses(DOG), count_clauses(CAME)) == (3, 2, 2)


def test_questions_and_titles_stay():
    question = Sentence([*CAME.words[:-1], "?"], CAME.spaces, CAME.tags, CAME.deps, CAME.heads)
    assert split_sentence(question) == ["He came home and she left?"]
    title = Sentence(*(field[:-1] for field in (CAME.words, CAME.spaces, CAME.tags, CAME.deps, CAME.heads)))
    assert split_sentence(title) == ["He came home and she left"]


def test_pieces_are_the_document():
    r = random.Random(3)
    for _ in range(200):
        text = "".join(r.choice(["word ", "End. Then ", "\n", "  ", "x"*r.randint(1, 3000), "“q.” "]) for _ in range(r.randint(0, 60)))
        pieces = [*cut_pieces(text)]
        assert "".join(pieces) == text and all(0 < len(piece) <= max(2000, 60) or not piece.strip() for piece in pieces)


def test_a_study_file_names_the_step():
    step, config = parse_step({"split_sentences": {"passive": False}})
    assert (step.name, config) == ("split_sentences", SplitConfig(passive=False))


def test_a_missing_parser_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr("simplelm.text.parsing.entry_points", lambda group: [])
    from simplelm.artifacts import InputError
    from simplelm.text.parsing import load_parser
    load_parser.cache_clear()
    with pytest.raises(InputError, match=r"pip install 'simplelm\[parsing\]'"): load_parser()


EXAMPLES = {
    "coordination": ("He came and she left.", "He came. She left."),
    "adverbial": ("Although it rained, he came.", "It rained. But he came."),
    "parentheses": ("Ann (she is a nurse) came late.", "Ann came late. She is a nurse."),
    "apposition": ("Ann, a nurse, came late.", "Ann came late. Ann was a nurse."),
    "relative": ("The dog, which was old, ran home.", "The dog ran home. The dog was old."),
    "participle": ("Founded in 1990, the club grew quickly.", "The club was founded in 1990. The club grew quickly."),
    "passive": ("The book was written by Ann.", "Ann wrote the book."),
}


@needs_parser
def test_each_operation_is_a_switch():
    from simplelm.text.parsing import parse_texts
    assert {*EXAMPLES} == {*OPERATIONS}
    for name, (before, after) in EXAMPLES.items():
        sentence, = parse_texts([before])[0]
        assert " ".join(split_sentence(sentence)) == after
        assert " ".join(split_sentence(sentence, SplitConfig(**{name: False}))) == before


QUOTED = 'She said "he came and she left" and went home.'


@needs_parser
def test_corpus_adds_up_and_workers_change_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(sentence_corpus, "BATCH", 4)
    texts = [before for before, _ in EXAMPLES.values()] + [QUOTED, "A title and a line"]
    write_jsonl(tmp_path/"a.jsonl", texts)
    counts = split_sentences(tmp_path/"a.jsonl", tmp_path/"one").counts
    split_sentences(tmp_path/"a.jsonl", tmp_path/"two", workers=2)
    assert hashes(tmp_path/"one") == hashes(tmp_path/"two")
    made = pq.read_table(tmp_path/"one"/"data")["text"].to_pylist()
    assert made == [after for _, after in EXAMPLES.values()] + texts[-2:]
    gained = sum(counts[name]["added"] - counts[name]["removed"] for name in OPERATIONS)
    assert counts["words_after"] == counts["words"] + gained
    assert not [*(tmp_path/"one").glob(".parses*")]


def test_the_generator_tells_its_clauses():
    """The truth that the rules are held to: a sentence of a story is its two clauses and the word between them."""
    told = [*sentence_truth.told(StoryWorldConfig(documents=60, redundancy=0.))]
    for text, word, place, scene, core in told:
        joined = f"{word} {scene}, {core}" if place == "front" else f"{core} {word} {scene}"
        assert text.lower() == f"{joined}.".lower()
    assert len({(word, place) for _, word, place, _, _ in told}) > 10


@needs_parser
def test_clauses_of_stories_are_recovered():
    """Those joined by and, but, because and after, where the rules take them apart; a time such as *until* is left alone."""
    found = sentence_truth.stories(documents=150).set_index(["connective", "place"]).astype(int)
    for way in (("and", "back"), ("but", "back"), ("because", "front")):
        assert found["recovered"][way] > .75*2*found["sentences"][way], way
    for way in (("until", "back"), ("when", "front"), ("as", "front")): assert found["changed"][way] <= .1*found["sentences"][way], way


def odd_text(r):
    pieces = ["", " ", "\n", "word", "and", ", which", "(", ")", '"', "“", "😀", "def f(x): return x", "He came", "was seen by", "...", "?", "é", "\u2028",
              "1990", ".", ", a dog,", "because", "It is", "\t", "&amp;", "—", "x"*300]
    return " ".join(r.choice(pieces) for _ in range(r.choice([0, 1, 2, 5, 12, 40])))


@needs_parser
@pytest.mark.parametrize("n", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_odd_texts(tmp_path, n):
    """Nothing fails, counts add up, and a text without a sentence that is split stays to the byte."""
    r = random.Random(n)
    texts = [odd_text(r) for _ in range(n)] + ["word " * 10_000, "He came and she left " * 2500 + "."]
    write_jsonl(tmp_path/"a.jsonl", texts)
    counts = split_sentences(tmp_path/"a.jsonl", tmp_path/"out").counts
    gained = sum(counts.get(name, {}).get("added", 0) - counts.get(name, {}).get("removed", 0) for name in OPERATIONS)
    assert counts["words_after"] == counts["words"] + gained
    off = SplitConfig(**dict.fromkeys(OPERATIONS, False))
    split_sentences(tmp_path/"a.jsonl", tmp_path/"off", off)
    assert pq.read_table(tmp_path/"off"/"data")["text"].to_pylist() == texts


@needs_parser
@pytest.mark.slow
def test_killed_work_continues_to_the_same_bytes(tmp_path):
    r = random.Random(1)
    befores = [before for before, _ in EXAMPLES.values()]
    write_jsonl(tmp_path/"a.jsonl", [" ".join(f"{r.choice(befores)} It was {k}." for _ in range(20)) for k in range(400)])
    command = ("curate", "split-sentences", "a.jsonl", "--out")
    whole = call(*command, "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    kill_when(lambda: (tmp_path/".killed.partial"/".parses.db").exists(), *command, "killed", cwd=tmp_path)
    again = call(*command, "killed", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert hashes(tmp_path/"whole") == hashes(tmp_path/"killed")
    assert json.loads((tmp_path/"killed"/"statistics.json").read_text())["text"]["after"]["words"]


def test_tokens_are_those_of_the_published_scorer():
    """SARI counts the tokens of mteval 13a, as sacrebleu makes them."""
    tokenizer = pytest.importorskip("sacrebleu.tokenizers.tokenizer_13a", reason="compared with sacrebleu where it is installed").Tokenizer13a()
    r = random.Random(4)
    for _ in range(500):
        text = "".join(r.choice(["word", " ", "-", "'s", "1,000", "3.5", ".", ", ", "(", ")", "é", "/", "10-12", "%", "“", "U.S."]) for _ in range(20)).lower()
        assert sari._tokens(text) == tokenizer(text).split()


def test_sari_by_hand():
    """Words to add, keep and delete are all right, in both orders that there are; of two words no pair is kept."""
    right = sari.sari(["a b"], ["a c"], [["a c"]])
    assert (right["add"], right["keep"], right["delete"]) == (50, 25, 50) # of four orders
    none = sari.sari(["a b"], ["a b"], [["c d"]])
    assert (none["add"], none["keep"], none["delete"]) == (0, 0, 0)
