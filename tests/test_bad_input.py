"""Bad input: one clear line, exit code 2, and nothing half-written.

The table calls the command in this process, a row in some milliseconds. What needs a process of its own, such as a kill or a full disk, is in `test_recovery.py`.
"""
import bz2
import gzip
import json
import lzma
import shutil
import signal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import ROOT, call, write_jsonl
from simplelm.cli import main

GOOD = "The dog sat on the mat. The dog saw the cat. The cat ran to the tree. The dog ran too. They sat in the sun. The sun was warm. They were happy all day."
LINE = json.dumps({"text": GOOD}).encode() + b"\n"
DEEP = 100_000
HUGE = 10**30
LONG = "n" * 300


def parquet(**columns):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return sink.getvalue().to_pybytes()


def doubled_parquet():
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays([pa.array([GOOD]), pa.array([GOOD])], ["text", "text"]), sink)
    return sink.getvalue().to_pybytes()


def arrow(table):
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as out: out.write_table(table)
    return sink.getvalue().to_pybytes()


# A source file of `simplelm simplify`: name, content, further options, what the line must say besides the name.
SOURCES = [
    ("broken.jsonl", LINE + b'{"text": \n', (), "line 2: invalid JSON"),
    ("cut.jsonl", LINE + b'{"text": "The dog', (), "line 2: invalid JSON"),
    ("array.json", b"[" + LINE.strip() + b"]", (), "a JSON array; one record a line is needed"),
    ("pretty.json", b'{\n  "text": "a"\n}\n', (), "a JSON record over several lines"),
    ("lists.jsonl", LINE + b"[1, 2]\n", (), "line 2: not a JSON object"),
    ("word.jsonl", LINE + b'"text"\n', (), "line 2: not a JSON object"),
    ("number.jsonl", LINE + b"17\n", (), "line 2: not a JSON object"),
    ("null.jsonl", LINE + b'{"text": null}\n', (), "line 2: its 'text' is null"),
    ("int.jsonl", LINE + b'{"text": 7}\n', (), "line 2: its 'text' is no string"),
    ("list.jsonl", LINE + b'{"text": ["a"]}\n', (), "line 2: its 'text' is no string"),
    ("other.jsonl", LINE + b'{"body": "a"}\n', (), "line 2: no 'text' in it; its fields are 'body'"),
    ("half.jsonl", LINE + b'{"text": "\\ud800"}\n', (), "line 2: its 'text' holds half of a surrogate pair"),
    ("latin.jsonl", LINE + b'{"text": "caf\xe9"}\n', (), "line 2: invalid UTF-8"),
    ("nul.jsonl", LINE + b'{"text": "a\0b"}\n', (), "line 2: invalid JSON"),
    ("deep.jsonl", LINE + b'{"text": ' + b"[" * DEEP + b"]" * DEEP + b"}\n", (), "line 2: invalid JSON"),
    ("wide.jsonl", json.dumps({"text": GOOD}).encode("utf-16"), (), "wide.jsonl: line 1: invalid UTF-8"),
    ("nothing.jsonl", b"", (), "no document in it"),
    ("blank.jsonl", b"\n\n \n", (), "no document in it"),
    ("wordless.jsonl", b'{"text": "... --- ..."}\n', (), "they hold no word"),
    ("hard.jsonl", b'{"text": "Quantum chromodynamics perplexes undergraduates."}\n', (), "0% of the words at their beginning are in"),
    ("short.jsonl", b'{"text": "The dog sat."}\n', (), "take a --min-words below"),
    ("nested.jsonl", LINE, ("--text-column", "data.text"), "line 1: no 'data.text' in it"),
    ("cut.jsonl.gz", gzip.compress(LINE*999)[:90], (), "damaged or breaks off"),
    ("cut.jsonl.bz2", bz2.compress(LINE*999)[:90], (), "damaged or breaks off"),
    ("cut.jsonl.xz", lzma.compress(LINE*999)[:90], (), "damaged or breaks off"),
    ("cut.jsonl.zst", pa.compress(LINE*999, codec="zstd", asbytes=True)[:40], (), "damaged or breaks off"),
    ("plain.jsonl.gz", LINE*9, (), "damaged or breaks off"),
    ("plain.jsonl.bz2", LINE*9, (), "damaged or breaks off"),
    ("plain.jsonl.xz", LINE*9, (), "damaged or breaks off"),
    ("plain.jsonl.zst", LINE*9, (), "damaged or breaks off"),
    ("plain.txt.gz", GOOD.encode(), (), "damaged or breaks off"),
    ("nothing.jsonl.gz", b"", (), "not even compressed"),
    ("nothing.jsonl.xz", b"", (), "not even compressed"),
    ("nothing.parquet", b"", (), "damaged or no Parquet"),
    ("junk.parquet", b"PAR1" + b"junk" * 50, (), "damaged or no Parquet"),
    ("cut.parquet", parquet(text=[GOOD]*99)[:-40], (), "damaged or no Parquet"),
    ("empty.parquet", parquet(text=pa.array([], pa.string())), (), "no document in it"),
    ("other.parquet", parquet(body=[GOOD]), (), "no column 'text'; its columns are body"),
    ("twice.parquet", doubled_parquet(), (), "has two columns 'text'"),
    ("null.parquet", parquet(text=[GOOD, None]), (), "row 1: its 'text' is null"),
    ("same.parquet", parquet(text=pa.DictionaryArray.from_arrays(pa.array([0]*3000, pa.int32()), ["x" * (65 << 20)])), (), "row 0: a text of more than 64 MiB"),
    ("nulls.parquet", parquet(text=pa.nulls(3)), (), "row 0: its 'text' is null"),
    ("ints.parquet", parquet(text=[1, 2]), (), "column 'text'"),
    ("lists.parquet", parquet(text=[["a"], ["b"]]), (), "column 'text' holds list"),
    ("structs.parquet", parquet(text=[{"a": GOOD}]), (), "column 'text' holds struct"),
    ("floats.parquet", parquet(text=[1.5]), (), "column 'text'"),
    ("flags.parquet", parquet(text=[True]), (), "column 'text'"),
    ("latin.parquet", parquet(text=pa.array([GOOD.encode(), b"caf\xe9"])), (), "row 1: its 'text' is invalid UTF-8"),
    ("nothing.arrow", b"", (), "damaged or no Arrow file"),
    ("junk.arrow", b"junk" * 50, (), "damaged or no Arrow file"),
    ("cut.arrow", arrow(pa.table(dict(text=[GOOD]*99)))[:300], (), "damaged or no Arrow file"),
    ("other.arrow", arrow(pa.table(dict(body=[GOOD]))), (), "no column 'text'; its columns are body"),
    ("nothing.csv", b"", (), "no column 'text'"),
    ("header.csv", b"text\n", (), "no document in it"),
    ("other.csv", b"id,body\n1,a\n", (), "no column 'text'; its columns are id, body"),
    ("twice.csv", b"text,text\na,b\n", (), "has two columns 'text'"),
    ("ragged.csv", b"id,text\n1,a\n2\n", (), "has 1 fields, the header 2"),
    ("latin.csv", b"text\ncaf\xe9\n", (), "invalid UTF-8"),
    ("wide.csv", "text\na\n".encode("utf-16"), (), "no column 'text'"),
    ("latin.txt", b"A good line.\nA caf\xe9.\n", (), "invalid UTF-8 at byte 18"),
    ("nothing.txt", b"", (), "they hold no word"),
    ("open.txt", b"<|endoftext|>\n<|endoftext|>\n", (), "no document in it"),
    ("wiki_00", b'<doc id="1">\nA dog.\n', (), "an article without its end </doc>"),
    ("notes.doc", GOOD.encode(), (), "is not a file that can be read; readable: .jsonl"),
    ("data.bin", LINE, ("--format", "parquet"), "damaged or no Parquet"),
    ("data.bin", b"\0\1\2", ("--format", "jsonl"), "line 1: invalid JSON"),
    ("a.jsonl", LINE, ("--encoding", "klingon"), "which Python does not know"),
    ("a.jsonl", LINE, ("--encoding", "base64"), "which Python does not know"),
    ("a.txt", "café".encode(), ("--encoding", "ascii"), "is not ascii"),
    ("a.jsonl", b"\xff\xff\xff", ("--encoding", "utf-16"), "damaged or breaks off here (UTF-16"),
    ("a.parquet", parquet(text=[GOOD]), ("--encoding", "latin-1"), "holds no text file"),
    ("a.jsonl", LINE, ("--separator", "---"), "used by text files"),
    ("a.txt", GOOD.encode(), ("--separator", "a\nb"), "must be one line"),
    ("a.jsonl", LINE, ("--split", "test"), "taken as it is"),
    ("a.jsonl", LINE, ("--columns", "start"), "start is a column of every simplified corpus"),
    ("a.parquet", parquet(text=[GOOD]), ("--columns", "age"), "no column 'age'"),
    ("a.jsonl", LINE, ("--min-words", "-1"), "min_words"),
    ("a.jsonl", LINE, ("--min-words", HUGE), "2^63"),
    ("a.jsonl", LINE, ("--max-oov", "nan"), "max_oov"),
    ("a.jsonl", LINE, ("--max-oov", "2"), "max_oov"),
    ("a.jsonl", LINE, ("--workers", "0"), "workers"),
    ("a.jsonl", LINE, ("--workers", HUGE), "2^63"),
    ("a.jsonl", LINE, ("--engine", "local"), "--tasks"),
    ("a.jsonl", LINE, ("--tasks", "3"), "not used by --engine threads"),
    ("a.jsonl", LINE, ("--vocabulary", "none.csv"), "none.csv"),
    ("a.jsonl", LINE, ("--vocabulary", "."), "a folder"),
]

# A list of words: name, content, what the line must say.
VOCABULARIES = [
    ("words.csv", b"", "no words in it"), ("words.csv", b"word,frequency\n", "no words in it"), ("words.csv", b"token\nthe\n", "no column 'word'"),
    ("words.csv", b"word,frequency\nthe,many\n", "'many' is not a count"), ("words.csv", b"word,frequency\nthe,-3\n", "'-3' is not a count"),
    ("words.csv", b"word,frequency\nthe\n", "line 2 has 1 fields, the header 2"), ("words.csv", b"word\nthe cat\n", "is not one word"),
    ("words.csv", b'word\n"the, cat, sat"\n', "is not one word"), ("words.csv", b"word\n17\n", "is a number"), ("words.csv", b"word\n---\n", "holds no word"),
    ("words.csv", b"word\ncaf\xe9\n", "not UTF-8"), ("words.csv", b'word\n"the\n', "words.csv"), ("words.csv", "word\nthe\n".encode("utf-16"), "not UTF-8"),
    ("words.csv", b"word\nthe\n,\n", "line 3"), ("words.csv", b"word\na\0b\n", "words.csv"), ("words.csv", b"word\n" + b"x" * 200_000 + b"\n", "words.csv"),
    ("words.txt", b"", "needs at least one word"), ("words.txt", b"the, cat, sat\n", "line 1"), ("words.txt", b"the\ncaf\xe9\n", "not UTF-8"),
    ("words.txt", b"the\n12\n", "line 2"),
]

# Where a result goes. FILE is a file, DIR a folder with a file in it.
PLACES = [
    (("simplify", "a.jsonl", "--vocabulary", "words.csv", "--out", "FILE"), "FILE: exists and is no artifact"),
    (("simplify", "a.jsonl", "--vocabulary", "words.csv", "--out", "FILE/x"), "FILE"),
    (("simplify", "a.jsonl", "--vocabulary", "words.csv", "--out", "DIR"), "DIR: exists and is no artifact"),
    (("simplify", "a.jsonl", "--vocabulary", "words.csv", "--out", LONG), "File name too long"),
    (("simplify", "a.jsonl", "--vocabulary", "words.csv", "--out", "/proc/simplelm"), "/proc"),
    (("simplify", LONG, "--vocabulary", "words.csv", "--out", "x"), "File name too long"),
    (("simplify", "a.jsonl", "--vocabulary", LONG, "--out", "x"), "File name too long"),
    (("simplify", "a.jsonl", "--vocabulary", "words.csv", "--out", "caf\udce9"), "is not UTF-8"),
    (("simplify", "caf\udce9.jsonl", "--vocabulary", "words.csv", "--out", "x"), "is not UTF-8"),
    (("simplify", "a.jsonl", "a.jsonl", "--vocabulary", "words.csv", "--out", "x"), "given twice"),
    (("simplify", "*.nothing", "--vocabulary", "words.csv", "--out", "x"), "no file matches"),
    (("simplify", "nowhere.jsonl", "--vocabulary", "words.csv", "--out", "x"), "nowhere.jsonl"),
    (("simplify", "EMPTY", "--vocabulary", "words.csv", "--out", "x"), "holds no file that can be read"),
    (("simplify", "DIR", "--split", "test", "--vocabulary", "words.csv", "--out", "x"), "holds no split 'test'"),
    (("simplify", "--vocabulary", "words.csv", "--out", "x"), "no source given"),
    (("tokenize", "a.jsonl", "--out", "FILE"), "FILE"),
    (("tokenize", "a.jsonl", "--out", LONG), "File name too long"),
    (("vocabulary", "a.jsonl", "--out", "EMPTY"), "EMPTY: is a folder"),
    (("vocabulary", "a.jsonl", "--out", "nowhere/words.csv"), "its folder nowhere does not exist"),
    (("vocabulary", "a.jsonl", "--out", f"{LONG}.csv"), "too long"),
    (("vocabulary", "a.jsonl", "--out", "FILE/words.csv"), "its folder FILE does not exist"),
    (("vocabulary", "a.jsonl"), "--out: name the CSV"),
    (("vocabulary", "a.jsonl", "--out", "new.csv", "--size", "0"), "needs at least one word"),
    (("vocabulary", "a.jsonl", "--out", "new.csv", "--size", HUGE), "2^63"),
    (("vocabulary", "empty.jsonl", "--out", "new.csv"), "at least one word"),
    (("vocabulary", "gain", "a.jsonl", "--words", "words.csv", "--out", "nowhere/g.csv"), "its folder nowhere does not exist"),
    (("vocabulary", "gain", "a.jsonl", "--words", "words.csv", "--size", "0"), "size"),
    (("vocabulary", "gain", "a.jsonl", "--words", "words.csv", "--size", "-4"), "size"),
    (("fit", "law.csv", "--out", "nowhere/fit.json"), "its folder nowhere does not exist"),
    (("fit", "law.csv", "--out", "EMPTY"), "EMPTY: is a folder"),
    (("fit", "law.csv", "--drop", "7"), "--drop 7"), (("fit", "law.csv", "--drop", "-1"), "must not be negative"),
    (("fit", "law.csv", "--bootstraps", "-1"), "must not be negative"), (("fit", "law.csv", "--bootstraps", HUGE), "2^63"),
    (("fit", "law.csv", "--loss", "none"), "none"), (("fit", "law.csv", "--x", "none"), "none"), (("fit", "law.csv", "--parameters", "none"), "none"),
    (("fit", "two.csv"), "3"), (("fit", "junk.csv"), "junk.csv"), (("fit", "empty.csv"), "empty.csv"), (("fit", "nowhere.csv"), "nowhere.csv"),
    (("fit", "EMPTY"), "models.csv: not found"), (("fit", "text.csv"), "text.csv"), (("fit", "infinite.csv"), "point 1 of 4 is inf"),
    (("report", "nowhere"), "nowhere"), (("report", "FILE"), "FILE"), (("report", "EMPTY"), "models.csv: not found"),
    (("compare", "EMPTY", "EMPTY"), "EMPTY"), (("compare", "nowhere", "nothing"), "nowhere"),
    (("forecast", "EMPTY", "--size", "256x4"), "models.csv: not found"), (("forecast", "EMPTY", "--size", "256x4", "--level", "2"), "--level 2.0"),
    (("forecast", "score", "EMPTY", "nowhere.json"), "models.csv: not found"), (("forecast", "calibrate", "EMPTY"), "models.csv: not found"),
    (("clean", "nowhere"), "nowhere"), (("extend", "EMPTY", "--out", "x"), "EMPTY"), (("extend", "nowhere", "--out", "x"), "nowhere"),
    (("train", "EMPTY", "--out", "x"), "EMPTY"), (("train", "nowhere", "--out", "x"), "nowhere"),
    (("evaluate", "--model", "nowhere"), "nowhere"), (("evaluate", "--model", "EMPTY"), "EMPTY"), (("evaluate", "--model"), "--model"),
    (("evaluate", "--model", "EMPTY", "--tasks", "grammer"), "no task or group 'grammer'"), (("evaluate", "--model", "EMPTY", "--tasks", ""), "tasks is empty"),
    (("evaluate", "--model", "EMPTY", "--add-bos", "--no-add-bos"), "give one of them"),
    (("contamination", "nothing", "--corpus", "a.jsonl"), "no task or group 'nothing'"), (("contamination", "EMPTY", "--corpus", "a.jsonl"), "EMPTY"),
    (("plan", "gigantic"), "gigantic"), (("plan", "tiny", "--accelerator", "abacus"), "abacus"), (("plan", "tiny", "--count", "0"), "count"),
    (("plan", "tiny", "--count", HUGE), "2^63"), (("plan", "tiny", "--utilization", "0"), "utilization"), (("plan", "tiny", "--utilization", "nan"), "utilization"),
    (("plan", "EMPTY"), "EMPTY"), (("plan", f"{LONG}.toml"), "File name too long"),
    (("run", "gigantic"), "tiny"), (("run", "EMPTY"), "EMPTY"), (("run", "tiny", "--workers", "0"), "workers"), (("run", "tiny", "--out", "FILE"), "FILE"),
]

NAMED, WORLD = 'description = "Four models small enough for a test"', "[source.storyworld]\ndocuments = 1000"
STEP = '{ simplify = { vocabulary = "storyworld" } }'
CLAIM = '[[claims]]\nname = "c"\nkind = "difference"\ncompare = ["simple", "regular"]\nmeasure = "storyworld/simple"\n'

def about_size(kind, rest): return f'[[claims]]\nname = "c"\nkind = "{kind}"\n{rest}\n'


TWO, ONE, TEXT = 'compare = ["simple", "regular"]\n', 'compare = ["simple"]\n', 'measure = "text/simple"\n'
SIZE_CLAIMS = [
    ("size_factor", TWO + TEXT, "size_factor needs 3 sizes, and there are 2"),
    ("size_factor", ONE + TEXT, "size_factor compares two languages; `compare` names 1"),
    ("size_factor", f"{TWO}{TEXT}factor = 0.0", "factor is 0.0; it must be above 0"),
    ("size_factor", f"{TWO}{TEXT}factor = inf", "`claims.factor` is inf"),
    ("size_factor", f"{TWO}{TEXT}margin = 0.1", "others have none"),
    ("size_factor", f'{TWO}{TEXT}sizes = [["32x2", "64x2"]]', "name sizes, not pairs"),
    ("difference", f'{TWO}{TEXT}sizes = [["32x2", 5]]', "sizes has ('32x2', 5)"),
    ("difference", f"{TWO}{TEXT}sizes = [5]", "sizes has 5"),
    ("power_law", ONE + TEXT, "power_law needs 5 sizes, and there are 2"),
    ("power_law", TWO + TEXT, "power_law is about one language; `compare` names 2"),
    ("power_law", f'{ONE}measure = "storyworld/simple"', "power_law is about a loss"),
    ("power_law", ONE, "`measure` is missing"),
    ("power_law", f'{ONE}{TEXT}x = "tokens"', "leave `measure` out"),
    ("power_law", f'{ONE}{TEXT}x = "flops"', "x"),
    ("forecast", f"{ONE}{TEXT}margin = 0.05", "forecast needs 4 sizes, and there are 2"),
    ("forecast", ONE + TEXT, "need a `margin`"),
    ("difference", f"{TWO}{TEXT}factor = 2.0", "`factor` belongs to claims of kind size_factor"),
    ("difference", f'{TWO}{TEXT}x = "tokens"', "`x` belongs to claims of kind power_law"),
]

# A study: what takes the place of a line of the miniature study, and what the error must say.
STUDIES = [
    ("limit = 20", "limits = 40", "unknown key `evaluation.limits`"), ("limit = 20", "limit = 0", "limit"), ("limit = 20", "limit = -1", "limit"), ("limit = 20", 'limit = "40"', "limit"),
    ("limit = 20", "limit = true", "limit"), ("limit = 20", f"limit = {HUGE}", "limit"), ("limit = 20", "limit = 1.5", "limit"),
    ("context = 64", "context = true", "context"), ("context = 64", "context = 0", "context"), ("context = 64", "context = [64]", "context"), ("context = 64", f"context = {HUGE}", "context"),
    ("validation_fraction = 0.05", "validation_fraction = 0", "validation_fraction"), ("validation_fraction = 0.05", "validation_fraction = nan", "validation_fraction"),
    ("validation_fraction = 0.05", "validation_fraction = 1.0", "validation_fraction"), ("documents = 1000", "documents = 0", "documents"),
    ("documents = 1000", "documents = 3_000_000_000_000_000_000", "documents is 3,000,000,000,000,000,000"), ("documents = 1000", 'documents = "many"', "documents"),
    ("documents = 1000", "documents = 1000\ndepth = 7", "depth is 7"), ("documents = 1000", "documents = 1000\nlexicon = [9, 1, 2]", "lexicon"),
    ("vocab_size = 512", "vocab_size = 1", "vocab_size"), ("vocab_size = 512", f"vocab_size = {HUGE}", "vocab_size"),
    ('sizes = ["32x2", "64x2"]', 'sizes = "32x2"', "sizes"), ('sizes = ["32x2", "64x2"]', "sizes = []", "sizes is empty"), ('sizes = ["32x2", "64x2"]', 'sizes = ["32x2", "32x2"]', "twice"),
    ('sizes = ["32x2", "64x2"]', 'sizes = ["huge"]', "huge"), ('sizes = ["32x2", "64x2"]', 'sizes = ["33x2"]', "hidden 33"), ('sizes = ["32x2", "64x2"]', "sizes = [32]", "sizes"),
    ('sizes = ["32x2", "64x2"]', 'sizes = ["32x2"]\nmore_seeds = { "32x2" = [-1] }', "seed"), ('sizes = ["32x2", "64x2"]', 'sizes = ["32x2"]\nmore_seeds = { "32x2" = [0] }', "twice"),
    ('sizes = ["32x2", "64x2"]', 'sizes = ["32x2"]\nmore_seeds = { "32x2" = [4294967296] }', "seed"), ('sizes = ["32x2", "64x2"]', 'sizes = ["32x2"]\nmore_seeds = {"64x2" = [1]}', "more_seeds"),
    ("batch_size = 16", "batch_size = 0", "batch_size"), ("batch_size = 16", "batch_size = -4", "batch_size"), ("batch_size = 16", "batch_size = 16\nlearning_rate = -1", "learning_rate"),
    ("batch_size = 16", "batch_size = 16\nlearning_rate = inf", "learning_rate"), ("batch_size = 16", 'batch_size = 16\nschedule = "sine"', "schedule"),
    ("batch_size = 16", 'batch_size = 16\nprecision = "int4"', "precision"), ("batch_size = 16", "batch_size = 16\nthreads = 0", "threads"),
    ("tokens = 16384", "tokens = -5", "tokens"), ('tasks = ["storyworld"]', "tasks = []", "tasks"), ('tasks = ["storyworld"]', 'tasks = ["grammer"]', "grammer"),
    ('tasks = ["storyworld"]', 'tasks = "storyworld"', "tasks"), ('prompts = ["The dog"]', 'prompts = "The dog"', "prompts"), ('prompts = ["The dog"]', "prompts = [1]", "prompts"),
    ("max_tokens = 12", "max_tokens = 0", "max_tokens"), ("[models]", "[modells]", "modells"),
    *[(NAMED, f"{NAMED}\nname = {name}", said) for name, said in (
        ('".."', "name is '..'"), ('"a/b"', "name is 'a/b'"), ('""', "name is ''"), (f'"{"n"*250}"', "name is 'nnn"),
        ('"a\\u0000b"', "name is 'a"), ('"-rf"', "name is '-rf'"))],
    (NAMED, f"description = {'['*5000}{']'*5000}", "mine.toml"), (NAMED, 'description = "Four', "not valid TOML"),
    (NAMED, f"{NAMED}\n{NAMED}", "not valid TOML"), (NAMED, f"{NAMED}\n[corpus]\nsources = []", "earlier version"),
    (WORLD, "[source]", "sources"), (WORLD, '[source]\nsources = ["nowhere.jsonl"]', "nowhere.jsonl"),
    (WORLD, '[source]\nsources = ["a\\u0000b"]', "a"), (WORLD, "[source]\nsources = []\n", "sources"),
    (WORLD, '[source]\nsources = ["a.jsonl"]\n[source.reading]\nencoding = "klingon"', "klingon"),
    (WORLD, '[source]\nsources = ["a.jsonl"]\n[source.reading]\nformat = "doc"', "format"),
    (WORLD, '[source]\nsources = ["a.jsonl"]\nheld_out = 0.9', "held_out is 0.9"),
    (WORLD, '[source]\nsources = ["a.jsonl"]\nheld_out_sources = ["lost.jsonl"]', "lost.jsonl"),
    (WORLD, '[source.reading]\nencoding = "latin-1"\n[source.storyworld]', "generated, not read"),
    *[(STEP, step, said) for step, said in (
        ('"simplfy"', "no step is called 'simplfy'; did you mean simplify?"), ('""', "no step is called ''"), ("{}", "is not a step"),
        ("{ simplify = 7 }", "vocabulary"), ("{ simplify = {}, sample = 7 }", "is not a step"), ("[]", "is not a step"),
        ('{ simplify = { vocabulary = "none.csv" } }', "none.csv"), ("{ simplify = { vocabulary = 5 } }", "vocabulary"),
        ('{ simplify = { vocabulary = "random" } }', "needs `like`"), ("{ simplify = { max_oov = 2 } }", "max_oov"),
        ('{ simplify = { vocabulary = "random", like = "plain" } }', "like = 'plain' is no language"),
        ('{ simplify = { vocabulary = "random", like = "simple" } }', "simple → simple is a circle"),
        ('{ documents_of = "regulr" }', "did you mean regular?"), ("{ documents_of = 5 }", "like"), ("{ sample = -1 }", "words"),
        ("{ shuffle_sentences = -1 }", "seed"), ('{ passages_of = "" }', "like is empty"))],
    ("[languages.regular]", "[languages.regular]\norder = 'sorted'", "order"), ("[languages.regular]", "[languages.'a b']", "'a b' is no name"),
    ("[languages.regular]", "[languages.regular]\nworld = { deph = 2 }", "did you mean `depth`?"),
    ("[languages.regular]", "[languages.regular]\nworld = 2", "world"), (NAMED, f'{NAMED}\nreference = "none"', "reference: 'none'"),
    ("[models]", '[[dials]]\nname = "depth"\nvalues = [0]\n[models]', "two values"),
    ("[models]", '[[dials]]\nname = "depth"\nvalues = [0, 1]\n[models]', "its reference"),
    ("[models]", '[[dials]]\nname = "deep"\nvalues = [0, 1]\n[models]', "deep"),
    ("[models]", '[[texts]]\nname = "simple"\nworld = { depth = 0 }\n[models]', "is a language"),
    ("[models]", '[[texts]]\nname = "a/b"\n[models]', "is no name"), ("limit = 20", 'limit = 20\ncommon_texts = ["plain"]', "common_texts"),
    ("limit = 20", 'limit = 20\nvocabulary = "plain"', "vocabulary"), ("limit = 20", "limit = 20\nngrams = [4]", "ngrams has 4"),
    ("limit = 20", "limit = 20\ntext_documents = 1", "text_documents"),
    *[('sizes = ["32x2", "64x2"]\nseeds = 1', f'sizes = ["32x2", "64x2"]\nseeds = 3\n{about_size(kind, rest)}', said)
      for kind, rest, said in SIZE_CLAIMS],
    ("[models]", CLAIM + "[models]", "needs 3 seeds of each size, and 32x2 has 1"),
    *[("[models]\nsizes = [\"32x2\", \"64x2\"]\nseeds = 1", CLAIM.replace(old, new) + '[models]\nsizes = ["32x2"]\nseeds = 3', said) for old, new, said in (
        ('"difference"', '"better"', "kind"), ('"simple", "regular"', '"simple", "plain"', "'plain' is not there"), ('"simple", "regular"', '"simple"', "compares two languages"),
        ("storyworld/simple", "storyworld", "neither TASK/FORM nor text/NAME"), ("storyworld/simple", "text/plain", "'plain' is not there"),
        ('"difference"', '"equivalence"', "need a `margin`"), ('"difference"', '"difference"\nmargin = 0.1', "others have none"),
        ('"difference"', '"equivalence"\nmargin = -1', "margin"), ('"difference"', '"difference"\nsizes = ["64x2"]', "'64x2' is not there"),
        ('"difference"', '"difference"\nover = "all"', "over"))],
]
TASK = dict(name='"mine"', context='"Q: {q}\\nA:"', choices='["{a}", "{b}"]', label='"right"', fields='["q"]', chance="0.5", path='"mine.jsonl"')
RECORD = dict(q="Which?", a="this", b="that", right=1)
GENERATE = dict(kind='"generate"', choices='"{a}"', label="0", metric='"exact_match"')

# A task file and its second record: what is wrong in them, and what the line must say.
TASKS = [
    (dict(context=None), {}, ("mine.toml", "`context` is missing")), (dict(kind='"essay"'), {}, ("mine.toml", "kind")),
    (dict(chance='"half"'), {}, ("mine.toml", "chance")), (dict(chance="2.0"), {}, ("mine.toml", "chance")), (dict(chance="nan"), {}, ("mine.toml", "chance")),
    (dict(promt='"a"'), {}, ("mine.toml", "unknown key `promt`")), (dict(name='"piqa"'), {}, ("piqa", "taken")), (dict(name='"../x"'), {}, ("mine.toml", "name")),
    (dict(name='"mine'), {}, ("mine.toml", "not TOML")), (dict(path='"lost.jsonl"'), {}, ("lost.jsonl not found", "SIMPLELM_DATA")),
    (dict(path=None, hub='"nobody/nothing"'), {}, ("nobody/nothing", "SIMPLELM_DATA", "network")), (dict(answer='"(["', kind='"generate"'), {}, ("mine.toml", "no pattern")),
    (dict(answer='"yes"', kind='"generate"'), {}, ("mine.toml", "group")), (dict(metric='"beauty"'), {}, ("mine.toml", "metric")), (dict(fields="[]"), {}, ("mine.toml", "fields")),
    (dict(context='"{q.__class__}"'), {}, ("mine.toml", "template")), (dict(context='"{q:>2000000000}"'), {}, ("mine.toml", "template")), (dict(context='"{q"'), {}, ("mine.toml", "template")),
    (dict(choices='["{a}"]'), {}, ("mine.toml", "choices")), (dict(label="5"), {}, ("mine.toml", "label 5")), (dict(extra="[" * 5000 + "]" * 5000), {}, ("mine.toml",)),
    ({}, dict(q=None), ("mine.jsonl, line 2", "'q'")), ({}, dict(right=2), ("mine.jsonl, line 2", "label 2 is not one of 0 to 1")),
    ({}, dict(right=True), ("mine.jsonl, line 2", "label")), ({}, dict(right=-1), ("mine.jsonl, line 2", "label")), ({}, dict(right=HUGE), ("mine.jsonl, line 2", "label")),
    ({}, dict(b=" "), ("mine.jsonl, line 2", "choice 1 is empty")), ({}, dict(b="this"), ("mine.jsonl, line 2", "equal")), ({}, dict(a=[1]), ("mine.jsonl, line 2",)),
    ({}, dict(q="half \ud800"), ("mine.jsonl, line 2", "half of a surrogate pair")), ({}, dict(right=None), ("mine.jsonl, line 2", "'right'")), ({}, dict(right="1.5"), ("mine.jsonl, line 2", "label")),
]

LAW = b"flops,loss\n" + b"".join(b"1e%d,%f\n" % (e, 1.5 + 2000*10**(-.2*e)) for e in range(12, 19))
PLACE_FILES = {"a.jsonl": LINE*3, "empty.jsonl": b"", "FILE": b"mine", "DIR/a.jsonl": LINE, "words.csv": b"word\nthe\ndog\nsat\n", "law.csv": LAW, "two.csv": b"flops,loss\n1,2\n2,1\n",
               "junk.csv": b"\xff\xfe\0", "empty.csv": b"", "text.csv": b"flops,loss\na,b\nc,d\ne,f\n", "infinite.csv": b"flops,loss\n1,inf\n2,nan\n3,1\n4,2\n"}


class Hang(BaseException):
    """A row takes longer than anybody would wait for a line of refusal."""


def hang(*_): raise Hang


@pytest.fixture(scope="module")
def compiled(tmp_path_factory, words):
    """The kernels of a corpus are compiled before any row is timed: in a fresh clone on a busy machine this takes longer than a row may."""
    folder = tmp_path_factory.mktemp("compiled")
    write_jsonl(folder/"a.jsonl", ["The dog sat in the park. " * 20])
    main(["simplify", str(folder/"a.jsonl"), "--vocabulary", str(words), "--min-words", "4", "--out", str(folder/"out")])


@pytest.fixture
def refuse(tmp_path, monkeypatch, capsys, compiled):
    """Call the command in a folder of some files; it must say one line with every part, leave with 2, and leave nothing behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIMPLELM_DATA", raising=False)
    for name, value in dict(HF_HUB_OFFLINE="1", TQDM_DISABLE="1", ACCELERATE_USE_CPU="true").items(): monkeypatch.setenv(name, value)
    def refuse(files, arguments, *parts):
        for name, content in files.items():
            (tmp_path/name).parent.mkdir(exist_ok=True)
            (tmp_path/name).write_bytes(content)
        (tmp_path/"EMPTY").mkdir(exist_ok=True)
        before = sorted(p.name for p in tmp_path.rglob("*"))
        signal.signal(signal.SIGALRM, hang)
        signal.alarm(30)
        try:
            with pytest.raises(SystemExit) as end: main([*map(str, arguments)])
        finally: signal.alarm(0)
        told = capsys.readouterr().err
        said = [line for line in told.splitlines() if line.startswith("simplelm: ")]
        assert end.value.code == 2 and len(said) == 1 and "Traceback" not in told, (end.value.code, told)
        for part in parts: assert part in said[0], said[0]
        assert len(said[0]) < 1000, "a line that nobody reads to its end"
        assert sorted(p.name for p in tmp_path.rglob("*")) == before, "something half-written was left"
    return refuse


@pytest.mark.parametrize("name, content, options, said", SOURCES, ids=lambda v: v if isinstance(v, str) else "")
def test_sources(refuse, words, name, content, options, said):
    vocabulary = () if "--vocabulary" in options else ("--vocabulary", words)
    refuse({name: content}, ("simplify", name, *vocabulary, *options, "--out", "out"), said)


@pytest.mark.parametrize("name, content, said", VOCABULARIES)
def test_vocabularies(refuse, name, content, said):
    refuse({"a.jsonl": LINE, name: content}, ("simplify", "a.jsonl", "--vocabulary", name, "--out", "out"), said)


@pytest.mark.parametrize("arguments, said", PLACES, ids=lambda v: " ".join(map(str, v))[:60] if isinstance(v, tuple) else "")
def test_places_and_options(refuse, arguments, said): refuse(PLACE_FILES, arguments, said)


@pytest.mark.parametrize("line, other, said", STUDIES, ids=lambda v: v[:40])
def test_studies(refuse, line, other, said):
    study = (ROOT/"tests"/"miniature.toml").read_text()
    assert line in study
    refuse({"mine.toml": study.replace(line, other, 1).encode(), "a.jsonl": LINE}, ("run", "mine.toml", "--out", "run"), said)


def test_a_language_with_too_little_text(tmp_path):
    """What was made until then stays, since it is right; the line says what to change."""
    study = (ROOT/"tests"/"miniature.toml").read_text().replace("tokens = 16384", "tokens = 500_000_000").replace("documents = 1000", "documents = 400")
    (tmp_path/"mine.toml").write_text(study)
    done = call("run", "mine.toml", "--out", "run", cwd=tmp_path)
    assert done.returncode == 2 and "languages.simple.repeat = true" in done.stderr and "Traceback" not in done.stderr
    assert list((tmp_path/"run").glob("blocks-simple-*")) and not list((tmp_path/"run").glob("model-*"))


def task_files(task, record):
    """A task file and its data, each with what is wrong in it."""
    declared = "".join(f"{k} = {v}\n" for k, v in (TASK | task).items() if v is not None)
    rows = [RECORD, {k: v for k, v in (RECORD | record).items() if v is not None}]
    return {"mine.toml": declared.encode(), "mine.jsonl": "".join(json.dumps(r) + "\n" for r in rows).encode()}


@pytest.mark.parametrize("task, record, said", TASKS, ids=lambda v: ",".join(map(str, v))[:60] if v else "-")
def test_task_files(refuse, task, record, said):
    refuse(task_files(task, record), ("evaluate", "export", "mine.toml", "--out", "out"), *said)


@pytest.mark.parametrize("name, content", [("request.json", b"\xff\xfe"), ("request.json", b"{}"), ("request.json", b"[" * 100_000), ("notes.txt", b"mine"), ("manifest.json", b"{")])
def test_what_is_in_the_way_of_unfinished_work(refuse, name, content):
    refuse({"a.jsonl": LINE, "words.csv": b"word\nthe\n", f".out.partial/{name}": content}, ("simplify", "a.jsonl", "--vocabulary", "words.csv", "--out", "out"), ".out.partial: is in the way")


def test_a_task_file_of_yaml(refuse):
    for content, said in ((b"name: [", "not YAML"), (b"- a\n", "not a table"), (b"name: " + b"[" * 5000 + b"]" * 5000, "mine.yaml"), (b"name: caf\xe9\n", "cannot be read")):
        refuse({"mine.yaml": content}, ("evaluate", "export", "mine.yaml", "--out", "out"), "mine.yaml", said)


# An artifact of which one file is replaced (None: removed), its manifest listing no files, as earlier versions made it; what is done with it, and what the line must say.
JUNK = b"\xff\xfe\0junk"
DAMAGES = [
    ("simple", "manifest.json", JUNK, ("tokenize", "simple", "--out", "x"), "manifest.json: not a manifest"), ("simple", "manifest.json", b"{}", ("tokenize", "simple", "--out", "x"), "simple"),
    ("simple", "manifest.json", b'{"stage": "simplify", "fingerprint": 1}', ("tokenize", "simple", "--out", "x"), "not a manifest"),
    ("simple", "manifest.json", b"[" * 100_000, ("tokenize", "simple", "--out", "x"), "manifest.json"),
    ("simple", "data/part-00000-00000.parquet", JUNK, ("tokenize", "simple", "--out", "x"), "damaged or no Parquet"),
    ("simple", "data/part-00000-00000.parquet", None, ("tokenize", "simple", "--out", "x"), "simple"),
    ("blocks", "manifest.json", JUNK, ("train", "blocks", "--out", "x"), "not a manifest"), ("blocks", "manifest.json", None, ("train", "blocks", "--out", "x"), "not an artifact"),
    ("blocks", "tokenizer.json", JUNK, ("train", "blocks", "--out", "x"), "tokenizer"), ("blocks", "tokenizer.json", None, ("train", "blocks", "--out", "x"), "tokenizer"),
    ("blocks", "tokenizer.json", b"{}", ("train", "blocks", "--out", "x"), "tokenizer"), ("blocks", "validation.bin", None, ("train", "blocks", "--out", "x"), "validation"),
    ("blocks", "validation.bin", b"", ("train", "blocks", "--out", "x"), "validation"), ("blocks", "train-00000.bin", None, ("train", "blocks", "--out", "x"), "blocks"),
    ("model", "config.json", JUNK, ("evaluate", "--model", "model"), "config.json"), ("model", "config.json", None, ("evaluate", "--model", "model"), "model"),
    ("model", "config.json", b"[]", ("evaluate", "--model", "model"), "model"), ("model", "config.json", b"{}", ("evaluate", "--model", "model"), "model"),
    ("model", "config.json", b"[" * 100_000, ("evaluate", "--model", "model"), "model"),
    ("model", "model.safetensors", JUNK, ("evaluate", "--model", "model"), "model"), ("model", "model.safetensors", None, ("evaluate", "--model", "model"), "model"),
    ("model", "model.safetensors", b"", ("evaluate", "--model", "model"), "model"), ("model", "tokenizer.json", JUNK, ("evaluate", "--model", "model"), "tokenizer"),
    ("model", "tokenizer.json", None, ("evaluate", "--model", "model"), "tokenizer"), ("model", "tokenizer_config.json", JUNK, ("evaluate", "--model", "model"), "tokenizer"),
    ("model", "config.json", JUNK, ("extend", "model", "--out", "x"), "config.json"), ("model", "model.safetensors", JUNK, ("extend", "model", "--out", "x"), "model"),
    ("scores", "items.parquet", JUNK, ("compare", "scores", "scores2"), "items.parquet"), ("scores", "items.parquet", None, ("compare", "scores", "scores2"), "scores"),
    ("scores", "items.parquet", parquet(a=[1]), ("compare", "scores", "scores2"), "items.parquet"), ("scores", "scores.csv", JUNK, ("compare", "scores", "scores2"), "scores.csv"),
    ("scores", "scores.csv", b"", ("compare", "scores", "scores2"), "scores.csv"), ("scores", "scores.csv", b"a,b\n1,2\n", ("compare", "scores", "scores2"), "scores.csv"),
    ("scores", "provenance.json", JUNK, ("compare", "scores", "scores2"), "provenance.json"), ("scores", "provenance.json", b"[]", ("compare", "scores", "scores2"), "provenance.json"),
    ("scores", "manifest.json", JUNK, ("contamination", "scores", "--corpus", "a.jsonl"), "not a manifest"), ("scores", "items.parquet", JUNK, ("contamination", "scores", "--corpus", "a.jsonl"), "items.parquet"),
    ("run", "models.csv", JUNK, ("report", "run"), "models.csv"), ("run", "models.csv", b"", ("report", "run"), "models.csv"), ("run", "models.csv", b"language,size\na,b\n", ("report", "run"), "models.csv: lacks the column"),
    ("run", "curves.csv", JUNK, ("report", "run"), "curves.csv"), ("run", "scores.csv", JUNK, ("report", "run"), "scores.csv"), ("run", "baselines.parquet", JUNK, ("report", "run"), "baselines.parquet"),
    ("run", "outcomes.parquet", parquet(a=[1]), ("report", "run"), "outcomes.parquet: lacks the column"), ("run", "outcomes.parquet", JUNK, ("report", "run"), "outcomes.parquet"),
    ("run", "outcomes.parquet", None, ("report", "run"), "outcomes.parquet: not found"), ("run", "dials.csv", None, ("report", "run"), "dials.csv"), ("run", "study.json", JUNK, ("report", "run"), "study.json"), ("run", "study.json", b"[]", ("report", "run"), "study.json"),
    ("run", "study.json", b"[" * 100_000, ("report", "run"), "study.json"), ("run", "samples.json", JUNK, ("report", "run"), "samples.json"), ("run", "samples.json", b"{}", ("report", "run"), "samples.json"),
    ("run", "models.csv", JUNK, ("fit", "run"), "models.csv"), ("run", "curves.csv", None, ("fit", "run"), "curves.csv"), ("run", "models.csv", JUNK, ("forecast", "run", "--size", "256x4"), "models.csv"),
    ("run", "forecast.json", JUNK, ("forecast", "score", "run", "run/forecast.json"), "forecast.json"), ("run", "forecast.json", b"[]", ("forecast", "score", "run", "run/forecast.json"), "forecast.json"),
    ("run", "forecast.json", b"{}", ("forecast", "score", "run", "run/forecast.json"), "forecast.json"), ("run", "study.json", b"{}", ("forecast", "run", "--size", "huge"), "huge"),
]

# Options of training that cannot be, and what the line must say.
TRAINING = [
    (("--size", "huge"), "huge"), (("--size", "0x2"), "0x2"), (("--size", "64x0"), "64x0"), (("--size", f"{HUGE}x2"), "hidden is 1000000"), (("--batch-size", 10**7), "fewer than batch_size 10000000"),
    (("--batch-size", 0), "batch_size"), (("--batch-size", HUGE), "2^63"), (("--tokens", 5), "less than one step"), (("--tokens", -5), "tokens"), (("--tokens", HUGE), "2^63"),
    (("--warmup-tokens", 10**9), "warmup_tokens 1000000000"), (("--warmup-tokens", -1), "warmup_tokens"), (("--attention", "flash_attention_2"), "needs a CUDA GPU"),
    (("--learning-rate", "nan"), "learning_rate"), (("--learning-rate", "-1"), "learning_rate"), (("--learning-rate", "inf"), "learning_rate"), (("--beta1", 2), "beta1"), (("--eps", -1), "eps"),
    (("--clip-norm", -1), "clip_norm"), (("--seed", -1), "seed"), (("--seed", 2**40), "seed"), (("--threads", 0), "threads"), (("--threads", HUGE), "2^63"),
    (("--evaluate-every", 0), "evaluate_every"), (("--checkpoint-every", 0), "checkpoint_every"), (("--keep-checkpoints", -1), "keep_checkpoints"), (("--heads", 5), "heads"), (("--heads", 0), "heads"),
    (("--tracker", "wandb"), "wandb"), (("--micro-batch-size", 0), "micro_batch_size"),
]
RATES = [(("--steps", -1), "steps=-1"), (("--steps", 1), "steps=1"), (("--lowest", 0), "lowest"), (("--lowest", 2), "lowest"), (("--highest", "inf"), "highest"), (("--highest", "nan"), "highest"),
         (("--out", "nowhere/rates.csv"), "its folder nowhere does not exist"), (("--steps", HUGE), "2^63")]


@pytest.fixture(scope="session")
def whole(tmp_path_factory, stories, words, blocks):
    """A folder with one artifact of each kind."""
    folder = tmp_path_factory.mktemp("whole")
    shutil.copytree(blocks, folder/"blocks")
    made = [("simplify", stories, "--vocabulary", words, "--out", "simple"),
            ("train", "blocks", "--size", "32x2", "--batch-size", 16, "--tokens", 8192, "--tracker", "none", "--out", "model"),
            ("evaluate", "--model", "model", "--tasks", "storyworld", "--limit", 10, "--out", "scores")]
    for arguments in made:
        done = call(*arguments, cwd=folder, environment={"ACCELERATE_USE_CPU": "true"})
        assert done.returncode == 0, done.stderr
    shutil.copytree(folder/"scores", folder/"scores2")
    shutil.copytree(ROOT/"nbs"/"results"/"tiny", folder/"run")
    return folder


@pytest.mark.parametrize("kind, name, content, arguments, said", DAMAGES, ids=lambda v: v[:30] if isinstance(v, str) else "")
def test_damaged_artifacts(refuse, tmp_path, whole, kind, name, content, arguments, said):
    for needed in {kind, *(("scores2",) if kind == "scores" else ())}: shutil.copytree(whole/needed, tmp_path/needed)
    if (tmp_path/kind/"manifest.json").exists(): unlisted(tmp_path/kind)
    if content is None: (tmp_path/kind/name).unlink()
    else: (tmp_path/kind/name).write_bytes(content)
    refuse({"a.jsonl": LINE}, arguments, said)


@pytest.mark.parametrize("options, said", TRAINING, ids=lambda v: " ".join(map(str, v))[:40] if isinstance(v, tuple) else "")
def test_training_options(refuse, blocks, options, said):
    size = () if "--size" in options else ("--size", "32x2")
    batch = () if "--batch-size" in options else ("--batch-size", 16)
    refuse({}, ("train", blocks, *size, *batch, *options, "--out", "model"), said)


@pytest.mark.parametrize("options, said", RATES, ids=lambda v: " ".join(map(str, v))[:40] if isinstance(v, tuple) else "")
def test_rate_options(refuse, blocks, options, said):
    refuse({}, ("train", "rate", blocks, "--size", "32x2", "--batch-size", 16, *options), said)


def unlisted(folder):
    """An artifact as earlier versions made it: its manifest lists no files, so changes are not noticed by their bytes."""
    label = folder/"manifest.json"
    label.write_text(json.dumps(json.loads(label.read_text()) | {"files": {}}))


def test_the_table_is_long_enough():
    assert sum(map(len, (SOURCES, VOCABULARIES, PLACES, STUDIES, TASKS, DAMAGES, TRAINING, RATES))) >= 200


def test_twins_are_not_simple(refuse):
    refuse({}, ("evaluate", "export", "piqa", "--twins", "--simple", "--out", "out"), "--twins", "--simple")


def test_a_good_task_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name, content in task_files({}, {}).items(): (tmp_path/name).write_bytes(content)
    main(["evaluate", "export", "mine.toml", "--out", "out"])
    assert "simplelm_mine: 2 items" in capsys.readouterr().out
