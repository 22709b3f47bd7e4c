"""Make `synonyms.csv` and `beings.csv` in `simplelm/lexicon` from the files of WordNet 3.0, such as Debian's package wordnet-base brings.

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
BEINGS = {"05": "animal", "14": "group", "18": "person"} # WordNet's lexicographer files of nouns
SINGLE = re.compile("[a-z]{2,}")


def lines(path): return (line.split() for line in path.read_text(encoding="ascii").splitlines() if not line.startswith(" "))


def write(name, header, rows):
    """Write a table of the lexicon."""
    target = Path(__file__).resolve().parents[1]/"simplelm"/"lexicon"/name
    with target.open("w", encoding="utf-8", newline="") as f: csv.writer(f, lineterminator="\n").writerows([header, *rows])
    print(f"{name}: {len(rows):,} words, {target.stat().st_size:,} bytes")


def main(folder):
    uses, first, senses, members, kinds = defaultdict(lambda: defaultdict(int)), {}, {}, {}, {}
    for part in PARTS:
        for lemma, _, _, pointers, *rest in lines(folder/f"index.{part}"):
            first[lemma, part] = rest[int(pointers) + 2] # offset of its most frequent sense
            senses[lemma, part] = int(rest[int(pointers)])
        for offset, file, _, words, *rest in lines(folder/f"data.{part}"):
            members[offset, part] = [re.sub(r"\(.*", "", w).lower() for w in rest[:2 * int(words, 16):2]]
            kinds[offset, part] = BEINGS.get(file)
    for key, sense, n in lines(folder/"cntlist.rev"):
        lemma, kind = key.split("%")
        uses[lemma, ("noun", "verb", "adj", "adv", "adj")[int(kind[0]) - 1]][int(sense)] += int(n)

    def count(lemma, part): return sum(uses[lemma, part].values()) + senses.get((lemma, part), 0) # being there counts as one use
    def clear(lemma, part):
        mostly = all(count(lemma, part) >= 4 * count(lemma, other) for other in PARTS if other != part)
        return mostly and 2 * (uses[lemma, part][1] + 1) > count(lemma, part)

    synonyms, beings = [], []
    for (lemma, part), offset in sorted(first.items()):
        if not SINGLE.fullmatch(lemma): continue
        if part == "noun" and kinds[offset, part]: beings.append((lemma, kinds[offset, part]))
        if not clear(lemma, part): continue
        others = [w for w in members[offset, part] if w != lemma and SINGLE.fullmatch(w) and first.get((w, part)) == offset and clear(w, part)]
        if others: synonyms.append((lemma, PARTS[part], " ".join(dict.fromkeys(others))))
    write("synonyms.csv", ("word", "part", "synonyms"), synonyms)
    write("beings.csv", ("word", "kind"), beings)


if __name__ == "__main__": main(Path(sys.argv[1]))
