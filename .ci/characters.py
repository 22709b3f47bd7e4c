"""Make `simplelm/lexicon/characters.csv`: what each character of Unicode 14 does to words.

Python 3.11, the oldest that simplelm runs on, knows Unicode 14. The table is committed, so that a text has the same words under every Python.
Characters that are not in the table separate words. Sentence terminals come from the package `regex`, since Python's own data has none.

    python3.11 .ci/characters.py
"""
import csv
import sys
import unicodedata
from pathlib import Path

import regex

JOINERS = "'\u2018\u2019\u02bc\uff07"
ZERO_WIDTH_SPACE = "\u200b"
LOST_LETTER = "\ufffd"
LINE_ENDS = "\n\v\f\r\x85\u2028\u2029"
ELLIPSIS = "\u2026"
TERMINAL = regex.compile(r"[\p{Sentence_Break=STerm}\p{Sentence_Break=ATerm}]")
WHITE_SPACE = regex.compile(r"\p{White_Space}")


def character_class(character):
    """The class of a character, or None if it separates words and does nothing else."""
    category = unicodedata.category(character)
    if character in JOINERS: return "joiner"
    if character in LINE_ENDS: return "line"
    if character == ZERO_WIDTH_SPACE or WHITE_SPACE.fullmatch(character): return "space"
    if category == "Cn": return None
    if category[0] == "L" or character == LOST_LETTER: return "letter"
    if category[0] == "M": return "mark"
    if category[0] == "N": return "digit"
    if category == "Cf": return "ignorable"
    return "end" if character == ELLIPSIS or TERMINAL.fullmatch(character) else None


def class_ranges():
    """First code point, last code point and class of every run of characters of one class."""
    ranges = []
    for code in range(0x110000):
        kind = character_class(chr(code))
        if kind is None: continue
        if ranges and ranges[-1][1] == code - 1 and ranges[-1][2] == kind: ranges[-1][1] = code
        else: ranges.append([code, code, kind])
    return ranges


def main():
    if unicodedata.unidata_version != "14.0.0": sys.exit("run this with Python 3.11, whose tables are those of Unicode 14")
    path = Path(__file__).resolve().parents[1]/"simplelm"/"lexicon"/"characters.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("first", "last", "class"))
        rows.writerows((f"{first:04X}", f"{last:04X}", kind) for first, last, kind in class_ranges())


if __name__ == "__main__": main()
