"""How fast the strings `text` and `source` of JSON lines become columns of Arrow, by our kernel and by other parsers, measured in one run.

    pip install pysimdjson msgspec orjson
    SIMPLELM_DATA=... python tests/benchmarks/json_lines.py    # corpora/reviews-00000-of-00004.jsonl.zst, decompressed in memory

All use one thread and take turns, after one turn that does not count. The table has the fewest seconds of the processor of each, and MB of JSON a second."""
import argparse
import os
import time
from pathlib import Path

import msgspec
import orjson
import pyarrow as pa
import pyarrow.json
import simdjson

from simplelm.internals.json_lines import padded, read_strings

NAMES = ("text", "source")


class Record(msgspec.Struct):
    text: str
    source: str | None = None


def columns(records):
    """Two columns from an iterator of pairs."""
    texts, sources = zip(*records)
    return dict(text=pa.array(texts), source=pa.array(sources))


def by_kernel(data):
    found, _, left = read_strings(padded(data), 0, NAMES)
    assert not len(left)
    return found


def by_pyarrow(data):
    schema = pa.schema([(name, pa.string()) for name in NAMES])
    parse = pyarrow.json.ParseOptions(schema, unexpected_field_behavior="ignore")
    read = pyarrow.json.ReadOptions(use_threads=False, block_size=1 << 20)
    return pyarrow.json.read_json(pa.BufferReader(data), read, parse)


def by_simdjson(data):
    parser = simdjson.Parser()
    def record(line):
        found = parser.parse(line)
        return found["text"], found["source"]
    return columns(map(record, data.splitlines()))


def by_msgspec(data):
    found = msgspec.json.Decoder(Record).decode_lines(data)
    return columns((record.text, record.source) for record in found)


def by_orjson(data):
    found = map(orjson.loads, data.splitlines())
    return columns((record["text"], record["source"]) for record in found)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    path = Path(os.environ["SIMPLELM_DATA"])/"corpora/reviews-00000-of-00004.jsonl.zst"
    with pa.CompressedInputStream(path.open("rb"), "zstd") as f: data = f.read()
    readers = dict(simplelm=by_kernel, pyarrow=by_pyarrow, msgspec=by_msgspec, orjson=by_orjson, pysimdjson=by_simdjson)
    expected = by_kernel(data)
    for name, reader in readers.items():
        found = reader(data)
        assert all(found[column].to_pylist() == expected[column].to_pylist() for column in NAMES), name
    seconds = {name: [] for name in readers}
    for _ in range(rounds):
        for name, reader in readers.items():
            begin = time.process_time()
            reader(data)
            seconds[name].append(time.process_time() - begin)
    own = min(seconds["simplelm"])
    print(f"{len(data)/1e6:.1f} MB of JSON, {len(expected['text']):,} records")
    for name, times in seconds.items(): print(f"{name:11}{min(times):7.3f} s{len(data)/1e6/min(times):8.0f} MB/s{min(times)/own:6.1f}")


if __name__ == "__main__": main()
