"""How fast a corpus is searched for test items, measured in one run; the last line is one JSON object.

    python tests/benchmarks/contamination.py            # $SIMPLELM_DATA: its corpora and benchmarks; without it, stories and their tasks
    python tests/benchmarks/contamination.py --rounds 1 # a trial

Whatever is compared is run in turns, after one run of each that does not count, and by the median of its times; ratios are of the processor's time, which a busy machine changes
less. Reading is decompressing and parsing, one thread.

- `mb_per_s`, `mb_per_s_2_workers`: MB of text a second of `scan_corpus`, from files, for all phrases of all items.
- `over_read`: its time with one worker over that of only reading the same files.
- `over_set`: the time of what one would write instead, over its own, on one file of medium size: a Python set of the items' 13-grams, and a loop over the words of each document. It answers one question of
  five, has no places, and is not counted for its building.
- `over_datatrove`: the same for the n-gram filter of datatrove, with its own words and an index of the same items' 13-grams; on the first megabyte of that file, since it
  is slow. Only where datatrove and its English tokenizer, spaCy, are installed. It stops at the first gram of a document.
- `mb_per_processor_s`: as `mb_per_s`, a second of the processor.
- `kernel_mb_per_s`: the kernel alone on text in memory, a second of the processor.
- `phrases`, `megabytes`: how much was looked for, and in how much.
"""
import os

os.environ |= {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"} # read when the libraries are loaded

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

from simplelm.scoring.contamination import LONGEST, NOWHERE, claim_phrases, load_tasks, scan_corpus, split_phrase, text_pieces
from simplelm.text.corpus import find_sources, read_corpus
from simplelm.stories.dials import StoryWorldConfig
from simplelm.stories.story import write_stories


def in_turns(rounds, **functions):
    """Median seconds of each function, by the wall and of the processor."""
    times = {name: [] for name in functions}
    for turn in range(rounds + 1):
        for name, function in functions.items():
            began, worked = time.perf_counter(), time.process_time()
            function()
            if turn: times[name].append((time.perf_counter() - began, time.process_time() - worked))
    return {name: [statistics.median(column) for column in zip(*found)] for name, found in times.items()}


def set_of_grams(items):
    """The 13-grams of all pieces."""
    rows = (words for task, item in items for words in map(split_phrase, text_pieces(task, item)))
    return {" ".join(words[i:i + LONGEST]) for words in rows for i in range(len(words) - LONGEST + 1)}


def search_set(grams, source):
    """The grams that stand in a corpus."""
    found = set()
    for text in (t for b in read_corpus(source) for t in b["text"].to_pylist()):
        words = split_phrase(text)
        found.update(gram for i in range(len(words) - LONGEST + 1) if (gram := " ".join(words[i:i + LONGEST])) in grams)
    return found


def datatrove_filter(items, folder):
    """The filter of datatrove with an index of the 13-grams of all pieces; `None` where it is not installed."""
    try:
        from datatrove.pipeline.decont import NGramsDecontConfig, NGramsDecontFilter
        from datatrove.utils.text import ngrams, simplify_text
        from xxhash import xxh64_intdigest
        config = NGramsDecontConfig(n_grams=LONGEST)
        decont = NGramsDecontFilter(str(folder), config)
        decont.tokenizer.word_tokenize("one")
        decont.hash_func = lambda gram: xxh64_intdigest(gram.encode()) # its own, which xxhash 4 refuses to give text
    except ImportError as e: return print(f"without datatrove: {e}")
    rows = (decont.tokenizer.word_tokenize(simplify_text(text, config.norm_config)) for task, item in items for text in text_pieces(task, item))
    hashes = {decont.hash_func(" ".join(gram)) for words in rows for gram in ngrams(words, LONGEST)}
    np.array(list(hashes), config.hash_config.np_descr).tofile(folder/"items.index.hashes")
    return decont


def search_datatrove(decont, texts):
    """How many texts hold a gram."""
    from datatrove.data import Document
    return sum(decont.filter(Document(text=text, id="")) is not True for text in texts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as place:
        if "SIMPLELM_DATA" in os.environ: names, sources = "blimp,hellaswag,arc_easy,piqa,rte", find_sources("corpora/*.jsonl.zst")
        else:
            write_stories(Path(place)/"stories", StoryWorldConfig(documents=100_000))
            names, sources = "storyworld", find_sources(Path(place)/"stories")
        _, items = load_tasks(names)
        table, one = claim_phrases(items).table, [sorted(sources, key=lambda p: p.stat().st_size)[min(1, len(sources) - 1)]]
        column = pa.concat_arrays([b["text"] for b in read_corpus(one)])
        grams = set_of_grams(items)
        assert search_set(grams, one) <= {" ".join(split_phrase(table.phrase(p))) for p in scan_corpus(table, one).places}, "the kernel missed a gram"
        megabytes, part = (sum(len(t.encode()) for b in read_corpus(s) for t in b["text"].to_pylist())/1e6 for s in (sources, one))
        def read():
            for _ in read_corpus(sources): pass
        seconds = in_turns(rounds, read=read, scan=lambda: scan_corpus(table, sources), scan_2=lambda: scan_corpus(table, sources, workers=2),
                           kernel=lambda: table.find(column, np.full(len(table), NOWHERE)), scan_one=lambda: scan_corpus(table, one))
        seconds |= in_turns(1, set=lambda: search_set(grams, one))
        texts = column.to_pylist()
        first = texts[:int(np.searchsorted(np.cumsum([len(t.encode()) for t in texts]), 1e6)) + 1]
        (index := Path(place)/"index").mkdir()
        if decont := datatrove_filter(items, index):
            print(f"datatrove finds {search_datatrove(decont, first)} of {len(first)} documents")
            seconds |= in_turns(1, datatrove=lambda: search_datatrove(decont, first))
    sizes = {name: part if name in ("kernel", "scan_one", "set") else megabytes for name in seconds}
    if "datatrove" in seconds: sizes["datatrove"] = sum(len(t.encode()) for t in first)/1e6
    for name, (wall, processor) in seconds.items(): print(f"{name:<10}{wall:9.3f} s {sizes[name]/wall:9.1f} MB/s{processor:9.3f} s of the processor {sizes[name]/processor:9.1f} MB/s")
    wall, processor = ({name: s[k] for name, s in seconds.items()} for k in range(2))
    rate = {name: sizes[name]/processor[name] for name in seconds}
    peer = dict(over_datatrove=round(rate["scan_one"]/rate["datatrove"], 1)) if "datatrove" in rate else {}
    print(json.dumps(dict(mb_per_s=round(megabytes/wall["scan"], 1), mb_per_s_2_workers=round(megabytes/wall["scan_2"], 1), mb_per_processor_s=round(megabytes/processor["scan"], 1),
                          over_read=round(processor["scan"]/processor["read"], 2), over_set=round(processor["set"]/processor["scan_one"], 1),
                          **peer, kernel_mb_per_s=round(part/processor["kernel"], 1), phrases=len(table), megabytes=round(megabytes, 1))))


if __name__ == "__main__": main()
