"""Random documents made to be nasty: the kernel and the plain-Python reference must agree on every span. `python tests/test_fuzz.py --documents 100000` runs more of them."""
import argparse
import random
import sys
import time

import pyarrow as pa

import reference
from simplelm.text.simplification import SimplificationConfig, count_array_words, simplify_array
from simplelm.text.vocabulary import Vocabulary, entry_problem

BATCH = 50 # documents in one column, so that they also lie behind one another in its buffer

# Words up to and over 8, 16 and 32 bytes, with letters of two, three and four bytes, and with bytes that begin as ’ does
STEMS = ["a", "i", "to", "the", "dog", "cats", "house", "purple", "seventh", "eighteen", "nineteens", "fifteenletters", "sixteenlettersxx", "sevenseventeenxxx",
         "s", "t", "didnt", "didn", "isnt", "abc" * 10, "b" * 31, "c" * 32, "d" * 33, "e" * 70, "é", "école", "straße", "日本", "日本語の長い単語", "😀", "x😀y",
         "“come", "end”", "—", "…", "a—b", "naïve", "zażółć", "\u2019s", "rock\u2019n\u2019roll", "don't", "\u20ac", "\u2018til", "nan", "ǅ", "İ", "K"]
GAPS = [" "] * 12 + [". "] * 3 + ["? ", "! ", ".\n", "\n", "\n\n", "\t", "  ", ", ", "-", "'", "’", "''", "’’", "'’", " '", "' ", "\"", "(", ")", ".", "/", "…", "“", "”", "—"]
ODD = ["e\u0301", "\u0323\u0301", "\u00a0", "\u00ad", "\u00ad'", "\u200b", "\u200e", "ǆ", "ﬁnd", "ＣＡＴ", "ſ", "½", "٣", "３", "ʼ", "＇", "_", "`", "。", "！", "«", "»", "\u3000", "\ufe0f", "👩\u200d👧", "\ufffd", "Ἀ", "ệ", "ê\u0323",
       "\0", "\u2028", "\u2029", "\u0085", "\x0b", "\x0c", "\r", "\r\n", "\ufeff", "\u200d", "\ud7ff", "\ue000", "\uffff", "\U0010ffff", "\x7f", "\x80", "À", "‘", "⁙", "ℙ", "★"]
DELIMITERS = list(" .,:;?!\n\t-()[]{}=<>\"'&^%$#@*+/|\\~")


def random_case(r, word):
    """A word as texts have it: mostly lower, some capitalised, some all upper case or mixed."""
    kind = r.random()
    if kind < 0.7: return word
    if kind < 0.85: return word[:1].upper() + word[1:]
    return word.upper() if kind < 0.93 else "".join(c.upper() if r.random() < 0.5 else c for c in word)


def random_piece(r, words):
    """A word of the vocabulary, another word, a number beside something, an odd character, or a long run."""
    kind = r.random()
    if kind < 0.62: return random_case(r, r.choice(words)) + r.choice(GAPS)
    if kind < 0.72: return random_case(r, r.choice(STEMS)) + r.choice(GAPS)
    if kind < 0.80: return str(r.randrange(10 ** r.randint(1, 12))) + r.choice(DELIMITERS + ["", "’", "s", "é"]) * r.randint(1, 2)
    if kind < 0.84: return r.choice(words) + r.choice("'’") + r.choice(["s", "t", "ll", "", r.choice(words)])
    if kind < 0.88: return r.choice(DELIMITERS) * r.randint(1, 3) + str(r.randrange(100))
    if kind < 0.93: return r.choice(ODD)
    if kind < 0.96: return r.choice(words) + r.choice(STEMS) # a known word and more
    if kind < 0.98: return r.choice(words)[:-1] # and less
    return r.choice([" ", "\n", "x", "7", "'", "’", ".", "é", "\0", "\t"]) * r.choice([7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 400])


def random_document(r, words):
    """Pieces in any order; every third document ends at, before or behind a boundary of 64 bytes."""
    if r.random() < 0.03: return ""
    document = "".join(random_piece(r, words) for _ in range(int(r.expovariate(1 / 30)) + 1))
    if r.random() < 0.33:
        size = 64 * r.randint(1, 4) + r.choice([-1, 0, 0, 1])
        document = document.encode()[:size].decode(errors="ignore")
        document += r.choice([" ", "x", ".", "7", "'"]) * (size - len(document.encode()))
    return document


def random_vocabulary(r):
    """One to sixty words, some of them made up."""
    made_up = ["".join(r.choice("abcdefgxyzé日’'") for _ in range(r.choice([1, 2, 3, 5, 8, 9, 16, 17, 33]))) for _ in range(6)]
    words = [word for word in STEMS + made_up if not entry_problem(word)]
    return Vocabulary.from_words(r.sample(words, r.randint(1, len(words))))


def random_config(r):
    """Any rule, small enough that documents of thirty words have spans, 5 of 6 being less in 32 bits than in 64; now and then the paper's own."""
    segmentation = r.choice(["words", "paper"])
    if r.random() < 0.1: return SimplificationConfig(segmentation=segmentation)
    config = dict(segmentation=segmentation, min_words=r.choice([0, 0, 1, 2, 3, 5, 8]), max_oov=r.choice([0, 0, 0.01, 0.1, 0.25, 1 / 3, 0.5, 5 / 6, 1]),
                  from_sentence_start=r.random() < 0.6)
    if r.random() < 0.5: # each quirk by itself
        config |= dict(digit_quirk=r.choice([None, True, False]), ascii_delimiters=r.choice([None, True, False]), split_apostrophes=r.choice([None, True, False]),
                       oov_floor=r.choice([None, 1, 6, 10]), count_closing_word=r.random() < 0.7)
    return SimplificationConfig(**config)


def expected(document, vocabulary, config):
    """The spans of one document by the reference."""
    return reference.simplify(document, vocabulary.words, config.min_words, config.max_oov, config.from_sentence_start,
                              **config.word_rules._asdict(), oov_floor=config.oov_floor, count_closing_word=config.count_closing_word)


def compare(documents, seed=0):
    """Compare that many documents; returns how many spans they had, or fails at the first difference."""
    spans = 0
    for number in range(0, documents, BATCH):
        r = random.Random(f"{seed} {number}")
        vocabulary, config = random_vocabulary(r), random_config(r)
        texts = [random_document(r, vocabulary.words) for _ in range(min(BATCH, documents - number))]
        skipped = r.randrange(len(texts)) if r.random() < 0.3 else 0 # a slice starts within its buffers
        column = pa.array(texts, r.choice([pa.string(), pa.large_string()])).slice(skipped)
        found = [[] for _ in texts]
        for span in simplify_array(column, vocabulary, config).to_pylist(): found[skipped + span.pop("row")].append(reference.Passage(**span))
        for text, passages in list(zip(texts, found))[skipped:]:
            wanted = expected(text, vocabulary, config)
            assert passages == wanted, f"batch {number}: {text!r}\nwith {vocabulary.words}\nand {config}:\n{passages}\ninstead of\n{wanted}"
            for p in passages: assert text[p.start:p.end] == p.text
        for segmentation in ("words", "paper"):
            paper = segmentation == "paper"
            wanted = [reference.word_count(text, paper, paper, paper) for text in texts[skipped:]]
            assert count_array_words(column, segmentation).tolist() == wanted, f"batch {number}: words of {segmentation}"
        spans += sum(map(len, found))
    return spans


def test_kernel_equals_reference(): assert compare(2000) > 2000


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--documents", type=int, default=100_000)
    parser.add_argument("--seed", default="0")
    options = parser.parse_args()
    started = time.monotonic()
    spans = compare(options.documents, options.seed)
    print(f"{options.documents:,} documents, {spans:,} spans, no difference, {time.monotonic() - started:.0f} s")
    sys.exit(0 if spans else 1)
