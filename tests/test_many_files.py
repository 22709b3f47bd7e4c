"""Many small files: bounded memory, and no file costs a call of the kernel."""
import json
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from conftest import call

STORY = "The dog sat on the mat and it was hot. The cat ran to the tree and the dog ran too. They sat in the sun and it was warm. They were happy all day."


def write_files(folder, count, ending):
    """So many files of one story each, a thousand a folder."""
    for i in range(count):
        if i % 1000 == 0: (folder/f"{i//1000:03}").mkdir(parents=True)
        text = f"{STORY} {i}"
        (folder/f"{i//1000:03}"/f"{i:05}{ending}").write_text(json.dumps({"text": text}) + "\n" if ending == ".jsonl" else text)
    return folder


# VmHWM begins anew with each program, unlike `ru_maxrss`, which remembers the process that started it
PEAK = """
import re, sys
from pathlib import Path
from simplelm.cli import main
main(sys.argv[1:])
print("peak", int(re.search(r"VmHWM:\\s+([0-9]+)", Path("/proc/self/status").read_text())[1]) // 1024)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak of memory from /proc")
@pytest.mark.parametrize("ending", [".jsonl", pytest.param(".txt", marks=pytest.mark.slow)])
def test_memory_does_not_grow_with_files(tmp_path, words, ending):
    write_files(tmp_path/"many", 20_000, ending)
    command = ["simplify", tmp_path/"many", "--out", tmp_path/"out", "--vocabulary", words, "--min-words", 4, "--max-oov", 1.0]
    done = subprocess.run([sys.executable, "-c", PEAK, *map(str, command)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split("peak ")[1]) < 600, "megabytes"
    assert "20,000 documents," in done.stdout


def test_small_files_give_what_one_file_gives(tmp_path, words):
    """The borders of blocks and files change nothing: texts and counts equal those of one file."""
    write_files(tmp_path/"many", 30, ".jsonl")
    lines = "".join(p.read_text() for p in sorted((tmp_path/"many").rglob("*.jsonl")))
    (tmp_path/"one.jsonl").write_text(lines)
    found = []
    for source in ("many", "one.jsonl"):
        done = call("simplify", tmp_path/source, "--out", tmp_path/f"out-{source}", "--vocabulary", words, "--min-words", 4, "--max-oov", 0.2)
        assert done.returncode == 0, done.stderr
        parts = sorted((tmp_path/f"out-{source}").rglob("part-*.parquet"))
        table = pq.ParquetDataset([str(p) for p in parts]).read(columns=["text", "start", "end", "word_count", "oov_count"])
        found.append((table.to_pylist(), json.loads((tmp_path/f"out-{source}"/"manifest.json").read_text())["counts"]))
    assert len(found[0][0]) >= 30
    assert found[0] == found[1]
