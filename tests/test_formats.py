"""The same three stories from every format that people have."""
import bz2
import gzip
import json
import lzma

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from simplelm.artifacts import InputError
from simplelm.text.corpus import parse_block, read_corpus
from simplelm.text.formats import read_blocks

STORIES = ["The dog ran to the tree and sat in the sun.", "A cat, and a dog, sat\non the mat all day.", "The cat saw the dog and the dog saw the cat."]
LINES = "".join(json.dumps(dict(text=t, data=dict(text=t, id=i))) + "\n" for i, t in enumerate(STORIES)).encode()
SEPARATED = "\n<|endoftext|>\n".join(STORIES).encode() + b"\n<|endoftext|>\n"
ARTICLES = "".join(f'<doc id="{i}" url="https://example.org/{i}" title="A">\n{t}\n</doc>\n' for i, t in enumerate(STORIES)).encode()


def zst(content): return pa.compress(content, codec="zstd", asbytes=True)


FILES = {
    "a.jsonl": LINES, "a.json": LINES, "a.ndjson": LINES, "a.JSON": LINES, "a.json.gz": gzip.compress(LINES), "a.jsonl.xz": lzma.compress(LINES),
    "a.jsonl.bz2": bz2.compress(LINES), "a.ndjson.zst": zst(LINES), "a.txt": SEPARATED, "a.txt.gz": gzip.compress(SEPARATED), "a.TXT.zst": zst(SEPARATED),
    "windows.txt": SEPARATED.replace(b"\n", b"\r\n"), "wiki_00": ARTICLES, "wiki_01.bz2": bz2.compress(ARTICLES), "wiki_02": LINES,
}


def csv_bytes(table):
    out = pa.BufferOutputStream()
    pyarrow.csv.write_csv(table, out)
    return out.getvalue().to_pybytes()


def texts(source, column="text", **options):
    return [t for batch in read_corpus(source, column, **options) for t in batch["text"].to_pylist()]


@pytest.mark.parametrize("name", FILES)
def test_reads(tmp_path, name):
    (tmp_path/name).write_bytes(FILES[name])
    assert [t.replace("\r", "") for t in texts(tmp_path/name)] == STORIES


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz", "a.arrow", "a.parquet"])
def test_reads_tables(tmp_path, name):
    table = pa.table(dict(id=[1, 2, 3], text=STORIES))
    if name == "a.parquet": pq.write_table(table, tmp_path/name)
    elif name == "a.arrow":
        with pa.ipc.new_stream(tmp_path/name, table.schema) as out: out.write_table(table)
    else:
        content = csv_bytes(table)
        if name == "a.tsv": content = ("id\ttext\n" + "".join(f'{i}\t"{t}"\n' for i, t in enumerate(STORIES))).encode()
        (tmp_path/name).write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert texts(tmp_path/name) == STORIES


def test_reads_what_datasets_saved(tmp_path):
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict(dict(text=STORIES)).save_to_disk(tmp_path/"saved")
    assert texts(tmp_path/"saved") == STORIES


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet", "a.arrow"])
def test_reads_a_column_within_another(tmp_path, name):
    table = pa.table(dict(data=[dict(text=t, id=i) for i, t in enumerate(STORIES)]))
    if name == "a.jsonl": (tmp_path/name).write_bytes(LINES)
    elif name == "a.parquet": pq.write_table(table, tmp_path/name)
    else:
        with pa.ipc.new_stream(tmp_path/name, table.schema) as out: out.write_table(table)
    assert texts(tmp_path/name, "data.text") == STORIES
    tables = [parse_block(block, "data.text", ("data.id",))[0] for block in read_blocks("a", tmp_path/name, "data.text", ("data.id",))]
    assert pa.concat_tables(tables)["data.id"].to_pylist() == ["0", "1", "2"]


BAD = {
    "array.json": (b"[" + LINES.replace(b"\n", b",")[:-1] + b"]", "array.json: line 1: a JSON array; one record a line is needed"),
    "pretty.json": (json.dumps(dict(text=STORIES[0]), indent=1).encode(), "over several lines; one record a line is needed"),
    "open.txt": (b"\xff\n<|endoftext|>\nA dog.\n", "row 0: its 'text' is invalid UTF-8"),
    "wiki_00": (ARTICLES[:-9], "row 2: an article without its end </doc>"),
    "short.csv": (b"id,text\n1,a dog\n2\n", "has 1 fields, the header 2"),
    "twice.csv": (b"text,text\na,b\n", "has two columns 'text'"),
    "empty.csv": (b"", "empty.csv"),
    "latin.csv": (b"text\ncaf\xe9\n", "row 0: its 'text' is invalid UTF-8"),
    "cut.jsonl.xz": (lzma.compress(LINES*100)[:-30], "the file is damaged or breaks off here"),
    "no.jsonl.bz2": (LINES, "the file is damaged or breaks off here"),
    "no.arrow": (LINES, "the file is damaged or no Arrow file"),
    "no.csv": (b"id,name\n1,a\n", "no column 'text'; its columns are id, name"),
    "no.xyz": (LINES, "is not a file that can be read"),
}


@pytest.mark.parametrize("name", BAD)
def test_refuses(tmp_path, name):
    content, reason = BAD[name]
    (tmp_path/name).write_bytes(content)
    with pytest.raises(InputError) as refused: texts(tmp_path/name)
    assert "\n" not in str(refused.value)
    assert reason in str(refused.value) and name in str(refused.value)


def test_sets_bad_rows_of_csv_aside(tmp_path):
    (tmp_path/"a.csv").write_bytes(b'id,text\n1,The dog ran to the tree.\n2\n3,"The cat sat, too, in the sun."\n')
    rejected = []
    assert texts(tmp_path/"a.csv", bad_records="set-aside", rejected=rejected) == ["The dog ran to the tree.", "The cat sat, too, in the sun."]
    assert [r.reason for r in rejected] == ["has 1 fields, the header 2"]
