"""What a missing word would let in: the same as by running the plain-Python reference again with that word."""
import random

import pytest

import reference
from conftest import call, write_jsonl
from simplelm.text.gain import vocabulary_gain
from simplelm.text.simplification import SimplificationConfig
from simplelm.text.vocabulary import Vocabulary, apostrophe_parts, entry_problem, lower_ascii, word_key
from test_fuzz import expected, random_config, random_document, random_vocabulary


def kept(texts, vocabulary, config):
    """Words of the passages that the reference keeps, without those that closed them."""
    return sum(reference.word_count(passage.text, **config.word_rules._asdict()) for text in texts for passage in expected(text, vocabulary, config))


def candidates(texts, vocabulary, config):
    """Every word that could be added, and for words with apostrophes their parts."""
    rules, found = config.word_rules, set()
    for text in texts:
        for token, kind in reference.tokens(text.encode(), **rules._asdict()):
            if kind != "L" or reference.is_allowed(token, vocabulary.words, rules.split_apostrophes, rules.ascii_delimiters): continue
            word = token.decode()
            if not rules.ascii_delimiters: found |= {word_key(word), *map(word_key, apostrophe_parts(word))}
            elif rules.split_apostrophes: found.add(lower_ascii(word))
            else: found |= {lower_ascii(part) for part in (word.replace("’", "").replace("'", ""), *word.replace("’", "'").split("'"))}
    return {word for word in found if not entry_problem(word)} - set(vocabulary.words)


@pytest.mark.parametrize("seed", range(25))
def test_every_gain_is_the_difference_of_two_runs(tmp_path, seed):
    r = random.Random(f"gain {seed}")
    vocabulary, config = random_vocabulary(r), random_config(r)
    texts = [random_document(r, vocabulary.words) for _ in range(8)]
    path = write_jsonl(tmp_path/"texts.jsonl", texts)
    found = vocabulary_gain(path, vocabulary, config, size=5, verify=True)
    without = kept(texts, vocabulary, config)
    assert found.kept == without
    gains = dict(zip(found.words.word, found.words.gain))
    for word in candidates(texts, vocabulary, config):
        more = kept(texts, Vocabulary.from_words([*vocabulary.words, word]), config)
        assert gains.get(word, 0) == more - without, f"{word!r} with {config}"
    with_list = kept(texts, Vocabulary.from_words([*vocabulary.words, *found.greedy.word]), config)
    assert found.greedy.gain.sum() == with_list - without == found.verified.gain[0]


def test_what_is_bounded_is_reported(tmp_path):
    path = write_jsonl(tmp_path/"texts.jsonl", [f"The cat saw {word}." for word in ("one", "two", "six", "ten")])
    simple, rule = Vocabulary.from_words(["the", "cat", "saw"]), SimplificationConfig(min_words=3, count_closing_word=False)
    for limits, wanted in (({}, (4, 0, 4)), (dict(max_rows=4), (4, 0, 2)), (dict(max_rows=1), (4, 0, 1)), (dict(max_words=2), (1, 3, 4))):
        found = vocabulary_gain(path, simple, rule, **limits)
        assert (len(found.words), found.dropped, found.sampled) == wanted and set(found.words.gain) == {4}


def test_command(tmp_path):
    path = write_jsonl(tmp_path/"texts.jsonl", ["The cat didn't see. The cat sat on the wug."]*3)
    (tmp_path/"words.txt").write_text("the\ncat\nsat\non\nt\nsee\n")
    done = call("vocabulary", "gain", path, "--words", tmp_path/"words.txt", "--min-words", 3, "--segmentation", "paper", "--verify", "--out", tmp_path/"gain.csv")
    assert done.returncode == 0, done.stderr
    rows = [line.split(",") for line in (tmp_path/"gain.csv").read_text().splitlines()]
    assert rows[0] == ["rank", "word", "gain", "cumulative"] and {row[1] for row in rows[1:]} == {"didn", "wug"}
    assert f"chosen: {rows[-1][3]} words more" in done.stdout and "most frequent" in done.stdout
