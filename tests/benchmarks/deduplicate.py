"""How fast near copies are found beside other libraries, measured in one run; writes the table of the page on deduplication.

    python tests/benchmarks/deduplicate.py --out nbs/results/deduplication_rates.csv
    python tests/benchmarks/deduplicate.py --documents 300 --rounds 1 --out trial.csv # a trial

Documents of $SIMPLELM_DATA/corpora, a tenth of them written again with 5% of their words changed. Shingles of five words, signatures of 128 numbers,
threshold .5. All are run in turns, one thread; seconds are the processor's, by the median of the rounds after the first, which does not count. `found` is the share of planted copies.

- `simplelm`: the whole job, from a file of JSON lines to files of Parquet, with the list of copies and statistics before and after.
- `simplelm in memory`: signatures and clusters of the same texts, in memory.
- `rensa`: its own signatures, index of bands and queries, on the same shingles as strings, which are made before.
- `rensa from text`: the same, and its shingles made from the texts in Python.
- `rensa signatures`: signatures alone, of the same shingles as numbers.
- `datasketch`: its signatures, index and queries, on the same shingles, which are made before.
- `datatrove`: its MinHash steps with its own words and shingles, in memory and on disk: signatures, buckets, clusters. It compares no pairs: 25 bands of 5
  numbers, whose curve rises at .53.

It needs pip install 'simplelm[cluster,parsing]' datasketch 'xxhash<4'.
"""
import os

os.environ |= {"TQDM_DISABLE": "1", "OMP_NUM_THREADS": "1"} # read when the libraries are loaded

import argparse
import json
import random
import shutil
import statistics
import tempfile
import time
from collections import deque
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from simplelm.text.corpus import corpus_texts
from simplelm.text.deduplication import DeduplicationConfig, deduplicate_corpus, find_clusters, shingle_hashes, shingles, signatures

BANDS, ROWS = 25, 5 # of datatrove


def with_copies(count):
    """Texts and copies of every tenth, in which 5% of the words are changed."""
    texts, draw = [], random.Random(0)
    for text in corpus_texts(Path(os.environ["SIMPLELM_DATA"])/"corpora"/"regular.jsonl.zst"):
        if len(text.split()) >= 100: texts.append(text[:20_000])
        if len(texts) == count: break
    copies = []
    for text in texts[::10]:
        words = text.split(" ")
        for place in draw.sample(range(len(words)), len(words)//20): words[place] = "other"
        copies.append(" ".join(words))
    return texts, copies


def datatrove_clusters(texts, folder):
    """The documents that datatrove removes."""
    from datatrove.data import Document
    from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets, MinhashDedupCluster, MinhashDedupSignature
    from datatrove.utils.hashing import HashConfig
    shutil.rmtree(folder, ignore_errors=True)
    config = MinhashConfig(5, BANDS, ROWS, hash_config=HashConfig(precision=32))
    at = lambda name: str(folder/name)
    documents = (Document(text, str(k)) for k, text in enumerate(texts))
    MinhashDedupSignature(at("signatures"), config).run(documents)
    for band in range(BANDS): MinhashDedupBuckets(at("signatures"), at("buckets"), config=config).run(None, band, BANDS)
    deque(MinhashDedupCluster(at("buckets"), at("removed"), config=config).run(None, 0, 1) or ())
    paths = [*(folder/"removed").glob("*.remove")]
    return {int(k) for path in paths for k in np.fromfile(path, "<u4")}


def index_clusters(texts, make, index):
    """Copies of earlier documents by an index of bands, and a comparison of what it names."""
    signed, dropped = [], set()
    for k, text in enumerate(texts):
        signed.append(make(text))
        if any(signed[int(other)].jaccard(signed[k]) >= .5 for other in index.query(signed[k])): dropped.add(k)
        else: index.insert(k, signed[k])
    return dropped


def measure(documents, rounds):
    """A row for each way."""
    from datasketch import MinHash, MinHashLSH
    from rensa import RMinHash, RMinHashLSH
    originals, copies = with_copies(documents)
    texts, column = originals + copies, pa.array(originals + copies)
    folder = Path(tempfile.mkdtemp())
    (folder/"in.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    flat, starts = shingle_hashes(column)
    strings = [[" ".join(words) for words in shingles(text)] for text in texts]
    encoded = [[s.encode() for s in one] for one in strings]
    own = np.stack([np.arange(len(texts), dtype=np.uint64)]*2, 1)
    def job():
        shutil.rmtree(folder/"out", ignore_errors=True)
        deduplicate_corpus(folder/"in.jsonl", folder/"out")
        return {int(name.split(":")[1]) for name in pq.read_table(folder/"out"/"duplicates.parquet")["dropped"].to_pylist()}
    def in_memory():
        labels = find_clusters(own, signatures(column), np.ones(len(texts), bool))
        return {*np.flatnonzero(labels != np.arange(len(labels))).tolist()}
    def rensa_signed(one):
        made = RMinHash(num_perm=128, seed=0)
        made.update(one)
        return made
    def rensa(): return index_clusters(strings, rensa_signed, RMinHashLSH(threshold=.5, num_perm=128, num_bands=32))
    def rensa_from_text():
        shingled = [[" ".join(words) for words in shingles(text)] for text in texts]
        return index_clusters(shingled, rensa_signed, RMinHashLSH(threshold=.5, num_perm=128, num_bands=32))
    def rensa_signatures():
        RMinHash.digest_matrix_from_flat_token_hashes(flat, starts.astype(np.uint64), 128, 0).to_rows()
        return set()
    def datasketch_signed(one):
        made = MinHash(128)
        made.update_batch(one)
        return made
    def datasketch(): return index_clusters(encoded, datasketch_signed, MinHashLSH(threshold=.5, num_perm=128))
    ways = {"simplelm": job, "simplelm in memory": in_memory, "rensa": rensa, "rensa from text": rensa_from_text, "rensa signatures": rensa_signatures,
            "datasketch": datasketch, "datatrove": lambda: datatrove_clusters(texts, folder/"theirs")}
    times, dropped = {name: [] for name in ways}, {}
    for turn in range(rounds + 1):
        for name, way in ways.items():
            if name == "datatrove" and turn != rounds: continue # once, as it takes long
            began = time.process_time()
            dropped[name] = way()
            if turn: times[name].append(time.process_time() - began)
    planted = {*range(len(originals), len(texts))}
    size, rows = sum(len(text.encode()) for text in texts)/1e6, []
    twin = {k: (k - len(originals))*10 for k in planted}
    for name, found in times.items():
        seconds, gone = statistics.median(found), dropped[name]
        share = sum(k in gone or twin[k] in gone for k in planted)/len(planted)
        rows.append(dict(way=name, seconds=round(seconds, 3), mb_per_s=round(size/seconds, 2), found=round(share, 4) if gone else None))
    return pd.DataFrame(rows), dict(documents=len(texts), megabytes=round(size, 1), planted=len(planted))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    table, about = measure(given.documents, given.rounds)
    table.assign(**about).to_csv(given.out, index=False)
    print(table.to_string(), about)
