"""What the rules for sentences do and how fast, beside a parser alone, a judge and the truth; each part writes the table that its page reads.

    python tests/benchmarks/sentences.py stories --out nbs/results/story_clauses.csv
    python tests/benchmarks/sentences.py judge --model SmolLM2-135M-Instruct.Q4_1.gguf --out nbs/results/judged_sentences.csv
    python tests/benchmarks/sentences.py rate --out nbs/results/sentence_rates.csv

- `stories`: the generator says which clauses it joined by which word; `recovered` counts those that the rules give back as sentences of their own.
- `judge`: bits that a language model needs for sentences of ASSET which the rules change: as they were, split, and with two neighbours exchanged.
- `rate`: words a second of the processor, on sentences of $SIMPLELM_DATA/corpora; what is compared is run in turns, by the median.

It needs pip install 'simplelm[parsing,gguf]'.
"""
import argparse
import gzip
import json
import os
import random
import re
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

import pandas as pd

from simplelm.stories import grammar
from simplelm.stories.dials import StoryWorldConfig
from simplelm.stories.story import story_table
from simplelm.text.corpus import corpus_texts
from simplelm.text.parsing import load_parser, parse_texts
from simplelm.text.sentence_corpus import cut_pieces, split_pieces, split_sentences
from simplelm.text.sentences import SplitConfig, split_text

JOINER = re.compile(r"^(but|so|then|meanwhile|and) ", re.I)


def told(config):
    """Sentences of stories with one clause joined to the core: connective, place, and both clauses as the plain version says them."""
    scenes, scene = [], grammar.scene
    def recorded(t):
        scenes.append(scene(t))
        return scenes[-1]
    grammar.scene = recorded
    try: texts = story_table(range(config.documents), config)["text"].to_pylist()
    finally: grammar.scene = scene
    sentences = [s for text in texts for s in re.split(r"(?<=[.!?]) ", text) if not re.search(r'[?!"]', s)]
    clause = re.compile("|".join(map(re.escape, sorted({*scenes}, key=len, reverse=True))))
    for text in dict.fromkeys(sentences):
        found = clause.findall(text)
        if len(found) != 1 or re.search(r"\b(who|that)\b", text): continue # an embedded clause besides
        front = re.fullmatch(rf"(\w+) {re.escape(found[0])}, (.+)\.", text)
        back = re.fullmatch(rf"(.+) (\w+) {re.escape(found[0])}\.", text)
        if front and front[1].lower() in grammar.BEFORE: yield text, front[1].lower(), "front", found[0], front[2]
        if back and back[2] in grammar.AFTER: yield text, back[2], "back", found[0], back[1]


def own_sentences(text):
    """The sentences of a text without the word that joins them, in lower case."""
    return {JOINER.sub("", s.strip().rstrip(".")).lower() for s in re.split(r"(?<=\.) ", text)}


def stories(documents=2000, depth=1):
    """Clauses recovered, by connective and place."""
    rows = [*told(StoryWorldConfig(documents=documents, depth=depth, redundancy=0., sentence_length=8))]
    parses = parse_texts([row[0] for row in rows])
    counts = Counter()
    for (text, word, place, *clauses), sentences in zip(rows, parses):
        own = own_sentences(split_text(sentences, SplitConfig(passive=False)))
        counts[word, place, "sentences"] += 1
        counts[word, place, "changed"] += own != own_sentences(text)
        counts[word, place, "recovered"] += sum(clause.lower() in own for clause in clauses)
    keys = sorted({key[:2] for key in counts})
    columns = "sentences", "changed", "recovered"
    return pd.DataFrame([dict(connective=word, place=place) | {c: counts[word, place, c] for c in columns} for word, place in keys])


def asset_pairs(most):
    """Sentences of ASSET that the rules change, and their outputs."""
    path = Path(os.environ["SIMPLELM_DATA"])/"simplification"/"asset_valid.jsonl.gz"
    texts = sorted({json.loads(line)["original"] for line in gzip.open(path, "rt")})
    random.Random(0).shuffle(texts)
    found = []
    for first in range(0, len(texts), 100):
        batch = texts[first:first + 100]
        made = [split_text(sentences, SplitConfig()) for sentences in parse_texts(batch)]
        found += [(a, b) for a, b in zip(batch, made) if a != b]
        if len(found) >= most: break
    return found[:most]


def exchanged(text, draw):
    """A text with two neighbours exchanged: words that are no longer a sentence."""
    words = text.split()
    k = draw.randrange(1, len(words) - 2)
    words[k], words[k + 1] = words[k + 1], words[k]
    return " ".join(words)


def judge(model, most=50):
    """Bits of each text, and its tokens; the beginning of a text is given."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    given = dict(gguf_file=model.name)
    network = AutoModelForCausalLM.from_pretrained(model.parent, dtype=torch.float32, **given).eval()
    tokenizer = AutoTokenizer.from_pretrained(model.parent, **given)
    draw, rows = random.Random(0), []
    for sentence, (before, after) in enumerate(asset_pairs(most)):
        texts = dict(original=before, split=after, exchanged=exchanged(before, draw))
        for name, text in texts.items():
            tokens = torch.tensor([[tokenizer.bos_token_id, *tokenizer(text)["input_ids"]]])
            with torch.inference_mode(): logits = network(tokens).logits[0, :-1]
            bits = torch.nn.functional.cross_entropy(logits, tokens[0, 1:], reduction="sum").item()/0.6931471805599453
            rows.append(dict(sentence=sentence, text=name, bits=round(bits, 2), tokens=tokens.shape[1] - 1, bytes=len(text.encode())))
    return pd.DataFrame(rows)


def in_turns(rounds, **functions):
    """Median processor seconds of each function."""
    times = {name: [] for name in functions}
    for turn in range(rounds + 1):
        for name, function in functions.items():
            began = time.process_time()
            function()
            if turn: times[name].append(time.process_time() - began)
    return {name: statistics.median(found) for name, found in times.items()}


def rate(words=40_000, rounds=2):
    """Processor seconds of the parser alone, of the rules with it, and of the whole job on a corpus."""
    texts, count = [], 0
    for text in corpus_texts(Path(os.environ["SIMPLELM_DATA"])/"corpora"/"regular.jsonl.zst"):
        texts.append(text)
        count += len(text.split())
        if count > words: break
    pieces = [piece for text in texts for piece in cut_pieces(text) if piece.strip()]
    folder = Path(tempfile.mkdtemp())
    (folder/"in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    outs = (folder/f"out{k}" for k in range(99))
    def parser_alone():
        nlp = load_parser()
        with nlp.memory_zone():
            for _ in nlp.pipe(pieces, batch_size=128): pass
    found = in_turns(rounds, parser=parser_alone, step=lambda: split_pieces(pieces, SplitConfig()),
                     job=lambda: split_sentences(folder/"in.jsonl", next(outs)))
    rows = [dict(what=name, words=count, seconds=round(seconds, 2), words_per_second=round(count/seconds)) for name, seconds in found.items()]
    return pd.DataFrame(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["stories", "judge", "rate"])
    parser.add_argument("--model", type=Path, help="judge: a GGUF file")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    table = judge(given.model) if given.part == "judge" else dict(stories=stories, rate=rate)[given.part]()
    table.to_csv(given.out, index=False)
    print(table.head(20).to_string())
