"""The filter as the released code describes itself, in plain Python over UTF-8 bytes: slow, obvious, and sharing nothing with the kernel."""
import unicodedata
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


@lru_cache(maxsize=None)
def character_kind(character):
    """What a character does to words, from Python's own tables: a letter of L M D J I, or S N E and blank for those that separate words."""
    category = unicodedata.category(character)
    if character in "'\u2018\u2019\u02bc\uff07": return "J"
    if character in "\n\v\f\r\x85\u2028\u2029": return "N"
    if character in "\t\u200b" or category == "Zs": return "S"
    if character in ".?!\u2026\u3002\uff0e\uff1f\uff01": return "E"
    if character == "\ufffd": return "L"
    return "I" if category == "Cf" else {"L": "L", "M": "M", "N": "D"}.get(category[0], " ")


def character_tokens(text, digit_quirk, split_apostrophes):
    """Tokens of `segmentation="words"`, character by character."""
    kinds = [character_kind(c) for c in text]
    last = None # of the characters before, what the word is made of: L, D, or nothing
    owners = [] # of each character the kind of word it belongs to
    for k, kind in enumerate(kinds):
        if kind in "LD": last = kind
        elif kind == "J" and last == "L" and not split_apostrophes:
            after = next((x for x in kinds[k + 1:] if x not in "MI"), " ")
            last = "L" if after == "L" else None
        elif kind not in "MI": last = None
        owners.append(last)
    if digit_quirk:
        for k in range(1, len(text) - 1):
            if owners[k - 1] == "D" and owners[k] is None and owners[k + 1] == "L" and text[k].isascii(): owners[k] = "L"
    tokens = []
    for character, kind, owner in zip(text, kinds, owners):
        if tokens and owner and tokens[-1][1] == owner: tokens[-1][0] += character
        else: tokens.append([character, owner, kind if owner is None else owner])
    return [(token.encode(), kind) for token, _, kind in tokens]


def units(data, split_apostrophes):
    """The bytes of a text one by one; where apostrophes may join a word, the three bytes of ’ are one unit."""
    found, i = [], 0
    while i < len(data):
        width = 3 if not split_apostrophes and data[i:i + 3] == CURLY else 1
        found.append(data[i:i + width])
        i += width
    return found


def listed_tokens(data, digit_quirk, split_apostrophes):
    """Tokens by the released list of delimiters; joined, they are the text."""
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


def listed_kind(token, split_apostrophes):
    """The kind of a token by the released list."""
    if token in DELIMITERS or (token == CURLY and not split_apostrophes):
        return {b" ": "S", b"\n": "N"}.get(token, "E" if token in SENTENCE_ENDS else " ")
    return "D" if all(bytes([b]) in DIGITS for b in token) else "L"


def tokens(data, digit_quirk, split_apostrophes, ascii_delimiters):
    """The tokens of a text, each with its kind: L a word, D a number, S a space, N the end of a line, E that of a sentence, I what cannot be seen."""
    if not ascii_delimiters: return character_tokens(data.decode(), digit_quirk, split_apostrophes)
    return [(token, listed_kind(token, split_apostrophes)) for token in listed_tokens(data, digit_quirk, split_apostrophes)]


def word_count(text, digit_quirk, split_apostrophes, ascii_delimiters):
    """Words of a text, numbers included."""
    return sum(kind in "LD" for _, kind in tokens(text.encode(), digit_quirk, split_apostrophes, ascii_delimiters))


def without_apostrophes(word): return word.replace(STRAIGHT, b"").replace(CURLY, b"")


@lru_cache(maxsize=None)
def folded(word):
    """A word as it is looked up: without apostrophes and what cannot be seen, in one case and one form."""
    seen = "".join(c for c in word if character_kind(c) not in "JI")
    for _ in range(2): seen = unicodedata.normalize("NFKD", "".join(c.casefold() for c in seen))
    return seen


@lru_cache(maxsize=64)
def known_words(words, split_apostrophes, ascii_delimiters):
    """The words as they are looked up."""
    if not ascii_delimiters: return {folded(w) for w in words}
    return {w.encode() if split_apostrophes else without_apostrophes(w.encode()) for w in words}


def is_allowed(token, words, split_apostrophes, ascii_delimiters):
    """Whether simple text may hold a word: one of the vocabulary, or made of parts that all are."""
    known = known_words(words, split_apostrophes, ascii_delimiters)
    if not ascii_delimiters:
        word = token.decode()
        if character_kind(word[0]) != "L": return False # a delimiter opens it by the digit quirk
        parts = "".join("'" if character_kind(c) == "J" else c for c in word).split("'")
        return folded(word) in known or (len(parts) > 1 and all(folded(p) in known for p in parts))
    lowered = token.lower() # of bytes: A to Z and nothing else
    if split_apostrophes or token[:1] in DELIMITERS: return lowered in known # as it stands; a delimiter before it came by the digit quirk
    parts = lowered.replace(CURLY, STRAIGHT).split(STRAIGHT)
    return without_apostrophes(lowered) in known or (len(parts) > 1 and all(p in known for p in parts))


def simplify(text, words, min_words=32, max_oov=0.01, from_sentence_start=True, digit_quirk=False, split_apostrophes=False,
             ascii_delimiters=False, oov_floor=None, count_closing_word=True):
    """The simple passages of a text: the rule, each quirk of the released code by itself."""
    data = text.encode()
    oov_floor = min_words if oov_floor is None else oov_floor
    blank = "SN" if ascii_delimiters else "SNI"
    passages, span, start, word_count, oov_count, sentence_ended, place = [], [], 0, 0, 0, True, 0

    def close(closing):
        counts = (word_count, oov_count) if count_closing_word or not closing else (word_count - 1, oov_count - 1)
        while span and span[-1][1] in blank: span.pop()
        passage = b"".join(token for token, _ in span).decode()
        first = len(data[:start].decode())
        if counts[0] > min_words: passages.append(Passage(passage, first, first + len(passage), *counts))

    for token, kind in tokens(data, digit_quirk, split_apostrophes, ascii_delimiters):
        here, place = place, place + len(token)
        if not span:
            if from_sentence_start and not sentence_ended:
                sentence_ended = kind in "NE"
                continue
            if kind in blank: continue
            start = here
        if kind in "LD": word_count += 1
        if kind == "L" and not is_allowed(token, words, split_apostrophes, ascii_delimiters):
            oov_count += 1
            if not np.float32(oov_count) / np.float32(max(word_count, oov_floor)) <= np.float32(max_oov):
                close(closing=True)
                span, word_count, oov_count, sentence_ended = [], 0, 0, False # a word ends no sentence
                continue
        span.append((token, kind))
        sentence_ended = kind in "NE"
    if span: close(closing=False)
    return passages
