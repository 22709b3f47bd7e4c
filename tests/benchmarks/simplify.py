"""How near simplification comes to reading alone, measured in one run; the last line is one JSON object.

    python tests/benchmarks/simplify.py                # $SIMPLELM_DATA/corpora; without it, generated stories
    python tests/benchmarks/simplify.py --big          # peak memory on 5 GB in many files and on one file of 2 GB; takes 7 GB of disk
    python tests/benchmarks/simplify.py --megabytes 5  # a trial that measures nothing worth quoting

Whatever is compared is run in turns and by the median of its times, on one core and with everything compiled before.

- `kernel_mb_per_s`: `simplify_array` over an Arrow column in memory, regular English, MB of text a second.
- `kernel_over_scan`: its time over that of adding up the same bytes as 64-bit integers.
- `whole_over_read_zst`, `whole_over_read_parquet`: `simplify_corpus` with one worker, from files to Parquet parts, over only decompressing and parsing
  the same files with pyarrow, on some 1.4 GB of text. Start-up and compiling, which a larger corpus would hide, are not in it.
- `speedup_2_workers`: the time of `simplify_corpus` with one worker over that with two, on the same 1.4 GB.
- `peak_mb_per_worker`: the most resident memory of a process `simplelm simplify`, divided by its workers; the worst of several runs.
- `encode_over_tokenizers`: the rate of `FastEncoder` over that of `tokenizers` on one thread, simplified text, ids compared; the encoder starts empty
  each time.
"""
import os

os.environ |= {"TQDM_DISABLE": "1", "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"} # read when the libraries are loaded

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.json
import pyarrow.parquet as pq

from simplelm.text.corpus import corpus_texts
from simplelm.text.simplified import simplify_corpus
from simplelm.text.simplification import SimplificationConfig, simplify_array
from simplelm.stories.lexicon import child_vocabulary
from simplelm.stories.dials import StoryWorldConfig
from simplelm.stories.story import write_stories
from simplelm.models.tokenizer import TokenizerConfig, learn_bpe
from simplelm.models.encoding import FastEncoder
from simplelm.text.vocabulary import Vocabulary

BLOCK = 8 << 20 # bytes that simplify_corpus reads at once
SCHEMA = pa.schema([("text", pa.string())])


def in_turns(repeats, *functions):
    """Seconds of each function, by the wall and of the processor: medians of runs in turns, after one run of each that does not count."""
    for function in functions: function()
    wall, processor = [[] for _ in functions], [[] for _ in functions]
    for _ in range(repeats):
        for k, function in enumerate(functions):
            began, worked = time.perf_counter(), time.process_time()
            function()
            wall[k].append(time.perf_counter() - began)
            processor[k].append(time.process_time() - worked)
    return [(statistics.median(w), statistics.median(p)) for w, p in zip(wall, processor)]


def show(what, seconds, megabytes, over=None):
    """One line of the table."""
    ratio = f"  {seconds[0]/over[0]:7.2f} times (processor: {seconds[1]/over[1]:.2f})" if over else ""
    print(f"{what:<44}{seconds[0]:9.3f} s {seconds[1]:9.3f} s processor {megabytes/seconds[0]:9.1f} MB/s{ratio}", flush=True)


def clipped(texts, megabytes):
    """The first texts, up to so many MB."""
    kept, size = [], 0
    for text in texts:
        kept.append(text)
        size += len(text.encode())
        if size >= megabytes * 1e6: break
    return kept


def as_lines(texts): return "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts).encode()


def gather(folder, megabytes):
    """The corpus as .jsonl.zst and as Parquet, its texts in memory, those of regular English, and a vocabulary."""
    data = Path(os.environ["SIMPLELM_DATA"])/"corpora" if os.environ.get("SIMPLELM_DATA") else None
    if data and data.is_dir():
        share = megabytes / 7 if megabytes else float("inf")
        by_name = {p.name.removesuffix(".jsonl.zst"): clipped(corpus_texts(p), share) for p in sorted(data.glob("*.jsonl.zst"))}
        regular, vocabulary = by_name["regular"], Vocabulary.from_csv("vocab/aochildes_word_frequency.csv")
    else:
        write_stories(folder/"stories", StoryWorldConfig(documents=max(300, int((megabytes or 30) * 1500))))
        regular, vocabulary = list(corpus_texts(folder/"stories")), child_vocabulary()
        by_name = {f"stories-{k}": regular for k in range(3)}
    files = dict(zst=[], parquet=[])
    for name, texts in by_name.items():
        files["zst"].append(folder/f"{name}.jsonl.zst")
        with pa.CompressedOutputStream(str(files["zst"][-1]), "zstd") as f: f.write(as_lines(texts))
        pq.write_table(pa.table(dict(text=texts), schema=SCHEMA), folder/f"{name}.parquet", compression="zstd")
        files["parquet"].append(folder/f"{name}.parquet")
    if data and data.is_dir() and not megabytes: files["zst"] = sorted(data.glob("*.jsonl.zst")) # as they are
    return files, by_name, regular, vocabulary


def read_zst(files):
    """Only decompress and parse."""
    parse = pyarrow.json.ParseOptions(explicit_schema=SCHEMA, unexpected_field_behavior="ignore")
    for path in files:
        with pa.OSFile(str(path)) as file, pa.CompressedInputStream(file, "zstd") as stream:
            rest = b""
            while chunk := stream.read(BLOCK):
                cut = chunk.rfind(b"\n") + 1
                lines, rest = rest + chunk[:cut], chunk[cut:]
                pyarrow.json.read_json(pa.BufferReader(lines), pyarrow.json.ReadOptions(use_threads=False, block_size=len(lines) + 1), parse)


def read_parquet(files):
    """Only decompress."""
    for path in files:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(2048, columns=["text"], use_threads=False): pass


def measure_kernel(regular, vocabulary, repeats):
    """The kernel against a scan of memory."""
    column = pa.array(regular, pa.large_string())
    data = np.frombuffer(column.buffers()[2], np.uint8)
    scanned = data[:len(data)//8*8].view(np.uint64)
    scan, kernel = in_turns(repeats, scanned.sum, lambda: simplify_array(column, vocabulary, SimplificationConfig()))
    paper, = in_turns(repeats, lambda: simplify_array(column, vocabulary, SimplificationConfig(segmentation="paper")))
    show("scan of memory", scan, len(data)/1e6)
    show("kernel, segmentation 'words'", kernel, len(data)/1e6, scan)
    show("kernel, segmentation 'paper'", paper, len(data)/1e6, scan)
    return dict(kernel_mb_per_s=round(len(data)/1e6/kernel[0], 1), kernel_over_scan=round(kernel[0]/scan[0], 2))


def copied(folder, files, copies):
    """Several copies of some files, under names of their own."""
    return [Path(shutil.copy(path, folder/f"{k}-{path.name}")) for k in range(copies) for path in files]


def simplify(folder, files, vocabulary, workers=1):
    """The whole job, and its result thrown away."""
    simplify_corpus(files, folder/"out", vocabulary, workers=workers)
    shutil.rmtree(folder/"out")


def measure_whole(folder, files, megabytes, vocabulary, repeats):
    """The whole job against only reading."""
    found = {}
    for kind, read in (("zst", read_zst), ("parquet", read_parquet)):
        only, whole = in_turns(repeats, lambda: read(files[kind]), lambda: simplify(folder, files[kind], vocabulary))
        show(f"read only, {kind}", only, megabytes)
        show(f"whole job, {kind}", whole, megabytes, only)
        found[f"whole_over_read_{kind}"] = round(whole[0]/only[0], 3)
    return found


def measure_workers(folder, files, megabytes, vocabulary, repeats):
    """One worker against two."""
    one, two = in_turns(repeats, lambda: simplify(folder, files, vocabulary, 1), lambda: simplify(folder, files, vocabulary, 2))
    show("1 worker", one, megabytes)
    show("2 workers", two, megabytes)
    return dict(speedup_2_workers=round(one[0]/two[0], 3))


def peak(folder, sources, words, workers):
    """Most resident memory of a run of the command, MB; read from /proc, as `getrusage` counts what this process held when it started the other."""
    run = subprocess.Popen([sys.executable, "-m", "simplelm", "simplify", *map(str, sources), "--vocabulary", str(words), "--workers", str(workers),
                            "--out", str(folder/"out")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    most = 0
    while run.poll() is None:
        most = max([most, *(int(line.split()[1]) for line in Path(f"/proc/{run.pid}/status").read_text().splitlines() if line.startswith("VmHWM"))])
        time.sleep(0.01)
    assert run.returncode == 0
    shutil.rmtree(folder/"out")
    return most / 1024


def measure_memory(folder, by_name, many_megabytes, one_megabytes, vocabulary):
    """Peak memory on many files and on a large one."""
    vocabulary.to_csv(folder/"words.csv")
    lines, worst = as_lines(text for texts in by_name.values() for text in texts), 0
    for megabytes, single in ((many_megabytes, False), (one_megabytes, True)):
        copies = max(1, round(megabytes * 1e6 / len(lines)))
        (folder/"large").mkdir()
        for k in range(copies):
            with open(folder/"large"/f"{0 if single else k}.jsonl", "ab") as f: f.write(lines)
        sources = sorted((folder/"large").iterdir())
        for workers in (1, 2):
            used = peak(folder, sources, folder/"words.csv", workers)
            worst = max(worst, used / workers)
            print(f"{copies * len(lines)/1e6:,.0f} MB in {len(sources)} files, {workers} workers: {used:,.0f} MB at most, {used/workers:,.0f} MB each", flush=True)
        shutil.rmtree(folder/"large")
    return dict(peak_mb_per_worker=round(worst))


def measure_encoder(by_name, regular, vocabulary, megabytes, repeats):
    """The table of words against the library, on simplified and on regular text."""
    everything = pa.array([t for texts in by_name.values() for t in texts], pa.large_string())
    simple = clipped(simplify_array(everything, vocabulary)["text"].to_pylist(), megabytes)
    found = {}
    for name, texts in (("regular", clipped(regular, megabytes)), ("simplified", simple)):
        bpe, column = learn_bpe(texts, TokenizerConfig()), pa.array(texts, pa.large_string())
        bpe.encode_special_tokens = True
        library = lambda: bpe.encode_batch_fast(texts, add_special_tokens=False)
        ids, ends = FastEncoder(bpe).encode(column)
        wanted = [e.ids for e in library()]
        assert np.array_equal(ids, np.concatenate([np.array(i, np.uint32) for i in wanted])), "ids differ"
        assert np.array_equal(ends, np.cumsum([0, *map(len, wanted)])), "ids lie in other texts"
        theirs, ours = in_turns(repeats, library, lambda: FastEncoder(bpe).encode(column))
        size = sum(len(t.encode()) for t in texts)/1e6
        show(f"tokenizers, {name} text", theirs, size)
        show(f"FastEncoder, {name} text", ours, size)
        print(f"{'':<44}{theirs[0]/ours[0]:9.2f} times as fast, {size:.1f} MB, ids equal", flush=True)
        found["encode_over_tokenizers"] = round(theirs[0]/ours[0], 2)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=float, help="at most so much text, for a trial")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--big", action="store_true", help="measure memory on 5 GB and on one file of 2 GB instead of a tenth of it")
    options = parser.parse_args()
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        files, by_name, regular, vocabulary = gather(folder, options.megabytes)
        megabytes = sum(len(t.encode()) for texts in by_name.values() for t in texts)/1e6
        copies = 2 if options.megabytes else max(1, round(1400 / megabytes))
        scale = 10 if options.big else 1
        memory = [options.megabytes] * 2 if options.megabytes else [500 * scale, 200 * scale]
        print(f"{len(by_name)} files, {megabytes:.1f} MB of text: {', '.join(by_name)}; {len(vocabulary):,} words")
        found = measure_kernel(regular, vocabulary, options.repeats)
        many = {kind: copied(folder, paths, copies) for kind, paths in files.items()}
        found |= measure_whole(folder, many, megabytes * copies, vocabulary, max(1, options.repeats // 2))
        found |= measure_workers(folder, many["zst"], megabytes * copies, vocabulary, max(1, options.repeats // 2))
        found |= measure_memory(folder, by_name, *memory, vocabulary)
        found |= measure_encoder(by_name, regular, vocabulary, options.megabytes or 20, max(1, options.repeats // 2))
    print(json.dumps(found))


if __name__ == "__main__": main()
