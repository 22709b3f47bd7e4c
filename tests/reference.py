"""The filter as the released code describes itself, in plain Python over UTF-8 bytes: slow, obvious, and sharing nothing with the kernel."""
from functools import lru_cache
from typing import NamedTuple

import numpy as np

DELIMITERS = {bytes([b]) for b in b" .,:;?!\n\t-()[]{}=<>\"'&^%$#@*+/|\\~"}
DIGITS = {bytes([b]) for b in b"0123456789"}
SENTENCE_ENDS = {b".", b"?", b"!", b"\n"}
STRAIGHT, CURLY = b"'", "’".encode()


class Passage(NamedTuple):
    """A simple passage: its text, its first and end character, and its counts."""
    text: str
    start: int
    end: int
    word_count: int
    oov_count: int


def units(data, split_apostrophes):
    """The bytes of a text one by one; where apostrophes may join a word, the three bytes of ’ are one unit."""
    found, i = [], 0
    while i < len(data):
        width = 3 if not split_apostrophes and data[i:i + 3] == CURLY else 1
        found.append(data[i:i + width])
        i += width
    return found


def tokens(data, digit_quirk, split_apostrophes):
    """The tokens of a text; joined, they are the text."""
    text, found, run = units(data, split_apostrophes), [], b""
    apostrophes = set() if split_apostrophes else {STRAIGHT, CURLY}
    is_letter = lambda k: 0 <= k < len(text) and text[k] not in DELIMITERS | DIGITS | apostrophes
    for k, unit in enumerate(text):
        after_digit = k > 0 and text[k - 1] in DIGITS
        cut = run and (unit in DIGITS) != after_digit # where a digit meets anything else
        joins = unit in apostrophes and is_letter(k - 1) and is_letter(k + 1)
        alone = unit in DELIMITERS | apostrophes and not joins
        if digit_quirk and after_digit and unit in DELIMITERS: alone = False # here it opens a word
        if run and (cut or alone):
            found.append(run)
            run = b""
        if alone: found.append(unit)
        else: run += unit
    return found + [run] if run else found


def is_delimiter(token, split_apostrophes): return token in DELIMITERS or (token == CURLY and not split_apostrophes)


def without_apostrophes(word): return word.replace(STRAIGHT, b"").replace(CURLY, b"")


@lru_cache(maxsize=64)
def known_words(words, split_apostrophes):
    """The words as they are looked up: as they stand where apostrophes split them anyway, else without apostrophes."""
    return {w.encode() if split_apostrophes else without_apostrophes(w.encode()) for w in words}


def is_allowed(token, words, split_apostrophes):
    """Whether simple text may hold a word: a number, one of the vocabulary, or made of parts that all are."""
    if all(bytes([b]) in DIGITS for b in token): return True
    known, lowered = known_words(words, split_apostrophes), token.lower() # of bytes: A to Z and nothing else
    if split_apostrophes or token[:1] in DELIMITERS: return lowered in known # as it stands; a delimiter before it came by the digit quirk
    parts = lowered.replace(CURLY, STRAIGHT).split(STRAIGHT)
    return without_apostrophes(lowered) in known or (len(parts) > 1 and all(p in known for p in parts))


def simplify(text, words, min_words=32, max_oov=0.01, from_sentence_start=True, digit_quirk=False, split_apostrophes=False,
             oov_floor=None, count_closing_word=True):
    """The simple passages of a text: the released rule, each of its quirks by itself."""
    data = text.encode()
    oov_floor = min_words if oov_floor is None else oov_floor
    passages, span, start, word_count, oov_count, sentence_ended, place = [], b"", 0, 0, 0, True, 0

    def close(closing):
        counts = (word_count, oov_count) if count_closing_word or not closing else (word_count - 1, oov_count - 1)
        passage = span.rstrip(b" \n")
        first = len(data[:start].decode())
        if counts[0] > min_words: passages.append(Passage(passage.decode(), first, first + len(passage.decode()), *counts))

    for token in tokens(data, digit_quirk, split_apostrophes):
        here, place = place, place + len(token)
        if not span:
            if from_sentence_start and not sentence_ended:
                sentence_ended = token in SENTENCE_ENDS
                continue
            if token in (b" ", b"\n"): continue
            start = here
        delimiter = is_delimiter(token, split_apostrophes)
        if not delimiter: word_count += 1
        if not delimiter and not is_allowed(token, words, split_apostrophes):
            oov_count += 1
            if not np.float32(oov_count) / np.float32(max(word_count, oov_floor)) <= np.float32(max_oov):
                close(closing=True)
                span, word_count, oov_count, sentence_ended = b"", 0, 0, False # a word ends no sentence
                continue
        span += token
        sentence_ended = token in SENTENCE_ENDS
    if span: close(closing=False)
    return passages
