"""Make `simplelm/lexicon/synonyms.csv` from the files of WordNet 3.0, such as Debian's package wordnet-base brings.

    python .ci/synonyms.py /usr/share/wordnet

A word gets those synonyms only that can stand for it without its sense being known: both words are used mostly as the same part of speech (four times as
often as any other in WordNet's tagged texts), and the synset is the most frequent sense of both.
"""
import csv
import re
import sys
from collections import defaultdict
from pathlib import Path

PARTS = dict(noun="NOUN", verb="VERB", adj="ADJ", adv="ADV")
SINGLE = re.compile("[a-z]{2,}")


def lines(path): return (line.split() for line in path.read_text(encoding="ascii").splitlines() if not line.startswith(" "))


def main(folder):
    counts, first, members = defaultdict(lambda: dict.fromkeys(PARTS, 0)), {}, {}
    for part in PARTS:
        for lemma, _, _, pointers, *rest in lines(folder/f"index.{part}"):
            first[lemma, part] = rest[int(pointers) + 2] # offset of its most frequent sense
            counts[lemma][part] += 1 # being there counts as one use
        for offset, _, _, words, *rest in lines(folder/f"data.{part}"):
            members[offset, part] = [re.sub(r"\(.*", "", w).lower() for w in rest[:2 * int(words, 16):2]]
    for key, _, uses in lines(folder/"cntlist.rev"):
        lemma, kind = key.split("%")
        counts[lemma][("noun", "verb", "adj", "adv", "adj")[int(kind[0]) - 1]] += int(uses)

    def mostly(lemma, part): return all(counts[lemma][part] >= 4 * n for other, n in counts[lemma].items() if other != part)

    rows = []
    for (lemma, part), offset in sorted(first.items()):
        if not SINGLE.fullmatch(lemma) or not mostly(lemma, part): continue
        others = [w for w in members[offset, part] if w != lemma and SINGLE.fullmatch(w) and first.get((w, part)) == offset and mostly(w, part)]
        if others: rows.append((lemma, PARTS[part], " ".join(dict.fromkeys(others))))
    target = Path(__file__).resolve().parents[1]/"simplelm"/"lexicon"/"synonyms.csv"
    with target.open("w", encoding="utf-8", newline="") as f:
        table = csv.writer(f, lineterminator="\n")
        table.writerow(("word", "part", "synonyms"))
        table.writerows(rows)
    print(f"{len(rows):,} words, {target.stat().st_size:,} bytes")


if __name__ == "__main__": main(Path(sys.argv[1]))
