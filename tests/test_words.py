"""What a word is: one table of character classes for the kernel, the vocabulary, statistics, gain and strict items."""
import sys
import unicodedata

import pyarrow as pa
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st

import reference
from conftest import call, write_jsonl
from simplelm.artifacts import InputError
from simplelm.scoring.tasks import is_simple
from simplelm.text.simplification import SimplificationConfig, count_array_words, simplify_array, simplify_text
from simplelm.text.statistics import collect, count_sentences, oov_counts
from simplelm.text.vocabulary import Vocabulary, character_classes, split_words, word_key

KNOWN = Vocabulary.from_words("the cat sat on a mat and it was hot don't café".split())
RULE = SimplificationConfig(min_words=3)
CATEGORIES = ("Cf", "Pd", "Pi", "Pf", "Ps", "Pe", "Po")
CHARACTERS = "".join(map(chr, range(sys.maxunicode + 1)))
WHITE = set(regex.findall(r"\p{White_Space}", CHARACTERS))
SEPARATORS = [c for c in CHARACTERS if unicodedata.category(c) in CATEGORIES or c in WHITE]
EVERYTHING = SimplificationConfig(min_words=0, max_oov=1, from_sentence_start=False)


@pytest.mark.parametrize("text", ["The cat\u00a0sat on a\u00a0mat and it was hot.", "The cat _sat_ on a `mat` and it was hot.",
                                  *(f"The cat{c}sat on a{c}mat and it was hot." for c in "\u200b\u2028\f…—“»😀\x85\u3000")])
def test_what_a_reader_sees_as_separate_words(text):
    assert KNOWN.coverage(text) == 1 and len(split_words(text)) == 10
    assert [s.text for s in simplify_text(text, KNOWN, RULE)] == [text]


@pytest.mark.parametrize("c", ["\u00ad", "\ufeff", "\u200d", "\u200e"])
def test_what_cannot_be_seen_is_passed_over(c):
    text = f"{c}The c{c}at sat{c} on {c} a don{c}'t mat."
    assert KNOWN.coverage(text) == 1 and count_array_words(pa.array([text])).tolist() == [len(split_words(text))]
    assert len(simplify_text(text, KNOWN, RULE)) == 1


def test_every_space_sign_and_format_character():
    """Beside a word it changes nothing; between two words all but ignorable characters and apostrophes separate."""
    assert len(SEPARATORS) > 700
    beside = [f"The cat {c} sat{c} {c}on a mat." for c in SEPARATORS]
    between = [f"The cat{c}sat on a mat." for c in SEPARATORS]
    for text in beside: assert KNOWN.coverage(text) == 1, ascii(text)
    joined = {c for c, text in zip(SEPARATORS, between) if len(split_words(text)) != 6}
    assert {c for c in joined if unicodedata.category(c) != "Cf"} == set("'’‘＇") and "\u200b" not in joined
    for texts in (beside, between):
        spans = simplify_array(pa.array(texts), KNOWN, EVERYTHING)
        assert spans["word_count"].to_pylist() == [len(split_words(t)) for t in texts]
        assert spans["oov_count"].to_pylist() == [sum(not KNOWN.allows(w) for w in split_words(t)) for t in texts]


# A letter of another script, a caseless one, marks, digits, signs, what cannot be seen, and words known and unknown.
PIECES = ["the", "The", "cat", "café", "cafe\u0301", "CAFÉ", "zug", "don't", "don’t", "12", "٣", " ", " ", " ", ". ", "…", "—", "“", "”", "\u00a0",
          "\u00ad", "\u200b", "\u200d", "\ufeff", "\u2028", "ж", "\u0301", "'", "’", "(", "»", "😀", "\n"]


def uax_words(text):
    """Words of a Unicode segmenter that hold a letter or digit, with two exceptions: a cut where letter and digit meet, and no mark opens a word."""
    found = []
    for segment in regex.split(r"(?w)\b", text, flags=regex.VERSION1):
        if regex.search(r"[\p{L}\p{N}]", segment): found += regex.findall(r"\p{L}[\p{L}\p{M}\p{Cf}'’]*|\p{N}[\p{N}\p{M}\p{Cf}]*", segment)
    return found


@settings(max_examples=1500, deadline=None, derandomize=True, database=None)
@given(st.lists(st.sampled_from([p for p in PIECES if p not in "'’"]), max_size=25).map("".join)) # `regex` cuts some words at a lone apostrophe
def test_coverage_agrees_with_a_unicode_segmenter(text):
    words = [w for w in uax_words(text) if regex.search(r"[\p{L}\p{N}]", w)]
    covered = sum(bool(regex.search(r"\p{N}", w)) or KNOWN.allows(w) for w in words) / len(words) if words else 1
    assert [word_key(w) for w in split_words(text)] == [word_key(w) for w in words]
    assert KNOWN.coverage(text) == covered


@settings(max_examples=600, deadline=None, derandomize=True, database=None)
@given(st.one_of(st.text(max_size=40), st.lists(st.sampled_from(PIECES), max_size=25).map("".join)))
def test_all_users_of_words_agree(text):
    text = text.encode(errors="ignore").decode()
    words = split_words(text)
    unknown = [w for w in words if not KNOWN.allows(w)]
    assert count_array_words(pa.array([text])).tolist() == [len(words)]
    assert [(s.word_count, s.oov_count) for s in simplify_text(text, KNOWN, EVERYTHING)] == ([(len(words), len(unknown))] if words else [])
    assert oov_counts([text], KNOWN).total() == len(unknown) and collect([text]).words == len(words)


def test_the_table_is_that_of_unicode_14():
    """Where this Python's own tables are those of Unicode 14, every code point must agree with them."""
    if unicodedata.unidata_version != "14.0.0": pytest.skip("needs the tables of Unicode 14, as in Python 3.11")
    letters = {"L": 1, "M": 2, "D": 3, "J": 4, "I": 5}
    for code, kind in enumerate(character_classes().tolist()):
        wanted = letters.get(reference.character_kind(chr(code)))
        assert kind == wanted if wanted else kind not in letters.values(), hex(code)


def test_case_and_normal_form():
    for text in ("CAFÉ", "Cafe\u0301", "ｃａｆé", "café"): assert KNOWN.allows(text)
    vocabulary = Vocabulary.from_words(["ﬁnd", "ệ"])
    for text in ("find", "FIND", "e\u0302\u0323", "e\u0323\u0302", "Ệ"): assert simplify_text(text, vocabulary, EVERYTHING)[0].oov_count == 0, ascii(text)


def test_sentences_and_strict_items():
    assert count_sentences("One. Two… Three\u2028Four。Five？") == 5
    spans = simplify_text("zug zug… The cat sat on a mat.\u00a0\u2028", KNOWN, RULE)
    assert [s.text for s in spans] == ["The cat sat on a mat."]
    text = "the cat\u00a0sat on a mat"
    assert is_simple("the cat sat on “a” mat", KNOWN, "words")
    assert not is_simple(text, KNOWN, "paper")


@pytest.mark.parametrize("name, content, line", [
    ("w.txt", "dog\nthe, cat, sat\n", 2), ("w.txt", "ice-cream\n", 1), ("w.txt", "dog\n\n42\n", 3), ("w.txt", "...\n", 1), ("w.txt", "a\u00a0b\n", 1),
    ("w.csv", "word,frequency\ndog,1\nNew York,2\n", 3), ("w.csv", "word\nmp3\n", 2), ("w.csv", 'word,frequency\n"",1\n', 2), ("w.csv", "word\n\n_sat_\n", 3)])
def test_entries_that_can_never_match_are_refused(tmp_path, name, content, line):
    (tmp_path/name).write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match=rf"{name}: line {line}\b"): Vocabulary.from_csv(tmp_path/name)


def test_entries_in_python_obey_the_same_rule():
    for words in (["the cat"], ["ice-cream"], ["42"], ["😀"], [""]):
        with pytest.raises(InputError): Vocabulary.from_words(words)
        with pytest.raises(InputError): Vocabulary(tuple(words))


def test_every_entry_that_is_read_can_match(tmp_path):
    (tmp_path/"w.csv").write_text("\ufeffword,frequency\nDog,1\ndon't,2\no’clock,1\n cat ,3\ncafe\u0301,1\nÉcole,1\n'til,1\n\n", encoding="utf-8")
    vocabulary = Vocabulary.from_csv(tmp_path/"w.csv")
    assert len(vocabulary) == 7
    for word in vocabulary: assert simplify_text(f"{word}.", vocabulary, EVERYTHING)[0].oov_count == 0, word


def test_nothing_left_names_the_coverage(tmp_path):
    path = write_jsonl(tmp_path/"t.jsonl", ["zug zug zug the cat."] * 3)
    (tmp_path/"w.txt").write_text("the\ncat\n")
    done = call("simplify", path, "--vocabulary", tmp_path/"w.txt", "--out", tmp_path/"out")
    assert done.returncode == 2 and "40% of the words" in done.stderr and "zug" in done.stderr, done.stderr
