"""What is bad in a way that needs more than a line: records set aside, disks that are full, work that was killed, artifacts that changed."""
import gzip
import json
import os
import shutil
import subprocess

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from conftest import call, hashes, kill_when, write_jsonl

GOOD = "The dog sat on the mat. The dog saw the cat. The cat ran to the tree. The dog ran too. They sat in the sun. The sun was warm. They were happy all day."


def refused(done, *names):
    """The command said one line that holds every name, and left with 2."""
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    said = [line for line in done.stderr.splitlines() if line.startswith("simplelm: ")]
    assert len(said) == 1 and "Traceback" not in done.stderr, done.stderr
    for name in names: assert name in said[0], said[0]


def story_lines(count): return "".join(json.dumps({"text": f"{i} {GOOD}"}) + "\n" for i in range(count)).encode()


def spans_of(folder): return pa.concat_tables(pq.read_table(part) for part in sorted((folder/"data").glob("part-*.parquet"))).to_pylist()


def unlisted(folder):
    """An artifact as earlier versions made it: its manifest lists no files, so changes are not noticed by their bytes."""
    label = folder/"manifest.json"
    label.write_text(json.dumps(json.loads(label.read_text()) | {"files": {}}))


def flip(path):
    """Turn round every bit of 64 bytes in the middle of a file."""
    content = bytearray(path.read_bytes())
    middle = len(content)//2
    content[middle:middle + 64] = bytes(b ^ 0xFF for b in content[middle:middle + 64])
    path.write_bytes(content)
    return path.name


def truncated_zst(folder):
    zstandard = pytest.importorskip("zstandard", reason="needed to make a truncated file, of the extra `dev`")
    whole = zstandard.compress(story_lines(20_000))
    (folder/"cut.jsonl.zst").write_bytes(whole[:len(whole)//2])
    return "cut.jsonl.zst"


def truncated_gz(folder):
    whole = gzip.compress(story_lines(2000))
    (folder/"cut.jsonl.gz").write_bytes(whole[:len(whole)//2])
    return "cut.jsonl.gz"


def corrupt_zst(folder):
    zstandard = pytest.importorskip("zstandard", reason="needed to make a corrupt file, of the extra `dev`")
    (folder/"flipped.jsonl.zst").write_bytes(zstandard.compress(story_lines(20_000)))
    return flip(folder/"flipped.jsonl.zst")


def corrupt_gz(folder):
    (folder/"flipped.jsonl.gz").write_bytes(gzip.compress(story_lines(2000)))
    return flip(folder/"flipped.jsonl.gz")


def corrupt_parquet(folder):
    pq.write_table(pa.table(dict(text=[f"{i} {GOOD}" for i in range(2000)])), folder/"flipped.parquet", compression="zstd", use_dictionary=False)
    return flip(folder/"flipped.parquet")


def truncated_parquet(folder):
    pq.write_table(pa.table(dict(text=[f"{i} {GOOD}" for i in range(2000)])), folder/"cut.parquet")
    os.truncate(folder/"cut.parquet", (folder/"cut.parquet").stat().st_size//2)
    return "cut.parquet"


def null_text(folder):
    (folder/"null.jsonl").write_text(json.dumps({"text": GOOD}) + "\n" + json.dumps({"text": None}) + "\n")
    return "null.jsonl"


def null_text_parquet(folder):
    pq.write_table(pa.table(dict(text=[GOOD, None])), folder/"null.parquet")
    return "null.parquet"


def raw_nul(folder):
    """JSON has NUL as \\u0000 only."""
    (folder/"raw.jsonl").write_bytes(json.dumps({"text": GOOD}).encode() + b'\n{"text": "a\0b"}\n')
    return "raw.jsonl"


def endless_line(folder):
    """One line of 200 MB between two good ones."""
    good = json.dumps({"text": GOOD}).encode() + b"\n"
    with (folder/"endless.jsonl").open("wb") as f:
        f.write(good + b'{"text": "')
        for _ in range(200): f.write((GOOD.encode() + b" ") * (10**6//(len(GOOD) + 1)))
        f.write(b'"}\n' + good)
    return "endless.jsonl"


def invalid_utf8(folder):
    (folder/"latin.jsonl").write_bytes(json.dumps({"text": GOOD}).encode() + b'\n{"text": "caf\xe9"}\n')
    return "latin.jsonl"


def invalid_utf8_text(folder):
    (folder/"latin.txt").write_bytes(b"A good line.\nA caf\xe9.\n")
    return "latin.txt"


def without_text(folder):
    (folder/"other.jsonl").write_text(json.dumps({"text": GOOD}) + "\n" + json.dumps({"body": GOOD}) + "\n")
    return "other.jsonl"


def invalid_json(folder):
    (folder/"broken.jsonl").write_text(json.dumps({"text": GOOD}) + '\n{"text": \n')
    return "broken.jsonl"


def empty_file(folder):
    (folder/"nothing.jsonl").touch()
    return "nothing.jsonl"


def empty_gz(folder):
    (folder/"nothing.jsonl.gz").touch()
    return "nothing.jsonl.gz"


def empty_parquet(folder):
    pq.write_table(pa.table(dict(text=pa.array([], pa.string()))), folder/"nothing.parquet")
    return "nothing.parquet"


BAD_RECORDS = [truncated_zst, truncated_gz, truncated_parquet, corrupt_zst, corrupt_gz, corrupt_parquet, null_text, null_text_parquet, raw_nul, endless_line,
               invalid_utf8, invalid_utf8_text, without_text, invalid_json, empty_gz]
CASES = [corrupt_zst, corrupt_gz, corrupt_parquet, endless_line] # the others are rows of test_bad_input.py


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.__name__)
def test_simplify_refuses(tmp_path, words, case):
    name = case(tmp_path)
    before = sorted(p.name for p in tmp_path.rglob("*"))
    refused(call("simplify", name, "--vocabulary", words, "--out", "out", cwd=tmp_path), name.split(".")[0])
    assert sorted(p.name for p in tmp_path.rglob("*")) == before, "something half-written was left"


@pytest.mark.parametrize("case", BAD_RECORDS, ids=lambda c: c.__name__)
def test_all_but_the_bad_record_stays(tmp_path, words, case):
    name = case(tmp_path)
    write_jsonl(tmp_path/"intact.jsonl", [GOOD]*50)
    done = call("simplify", name, "intact.jsonl", "--vocabulary", words, "--out", "out", "--min-words", 8, "--bad-records", "set-aside", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    counts = json.loads((tmp_path/"out"/"manifest.json").read_text())["counts"]
    assert counts["documents"] == counts["documents_kept"] + counts["documents_emptied"] + counts["documents_rejected"]
    rejected = [json.loads(line) for line in (tmp_path/"out"/"rejected.jsonl").read_text().splitlines()]
    assert len(rejected) == counts["documents_rejected"] > 0 and {r["file"] for r in rejected} == {name.split(".")[0]}
    assert len({span["document"] for span in spans_of(tmp_path/"out") if span["source"] == "intact"}) == 50
    if case is endless_line:
        assert (counts["documents_kept"], counts["documents_rejected"]) == (52, 1), "its good lines are lost"
        assert "more than 64 M" in rejected[0]["reason"]


def test_nul_separates_words_and_stays(tmp_path, words):
    """Kept in the text; between words it is what a space is, as any control character."""
    spaced, nul = (f"{GOOD} The {word} ran. {GOOD}" for word in ("d g", "d\0g"))
    write_jsonl(tmp_path/"nul.jsonl", [spaced, nul])
    done = call("simplify", "nul.jsonl", "--vocabulary", words, "--out", "out", "--min-words", 8, "--max-oov", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    one, other = spans_of(tmp_path/"out")
    assert (one["text"], other["text"]) == (spaced, nul) and other["end"] == len(nul)
    assert (other["word_count"], other["oov_count"]) == (one["word_count"], one["oov_count"])


def test_an_empty_file_among_others_does_no_harm(tmp_path, words):
    for case in (empty_file, empty_parquet): case(tmp_path)
    write_jsonl(tmp_path/"intact.jsonl", [GOOD])
    done = call("simplify", "nothing.jsonl", "intact.jsonl", "nothing.parquet", "--vocabulary", words, "--out", "out", "--min-words", 8, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path/"out"/"manifest.json").read_text())["counts"]["documents"] == 1


def test_a_full_disk(tmp_path, words):
    disk = tmp_path/"disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode: pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        (tmp_path/"many.jsonl").write_bytes(story_lines(100_000))
        arguments = "simplify", tmp_path/"many.jsonl", "--vocabulary", words, "--min-words", 8
        (disk/"filler").write_bytes(bytes(960_000))
        done = call(*arguments, "--out", disk/"out", cwd=tmp_path)
        said = [line for line in done.stderr.splitlines() if line.startswith("simplelm: ")]
        assert done.returncode != 0 and len(said) == 1 and "no space left" in said[0].lower() and "Traceback" not in done.stderr, done.stderr
        assert not (disk/"out").exists() and not list(disk.rglob("part-*.parquet")), "a partial result is visible"
        subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
        assert call(*arguments, "--out", disk/"out", cwd=tmp_path).returncode == 0
        assert call(*arguments, "--out", tmp_path/"whole", cwd=tmp_path).returncode == 0
        assert hashes(disk/"out") == hashes(tmp_path/"whole")
    finally: subprocess.run(["umount", disk], check=True)


def test_a_source_that_changed_since_it_was_simplified(tmp_path, words):
    write_jsonl(tmp_path/"corpus.jsonl", [GOOD])
    arguments = "simplify", "corpus.jsonl", "--vocabulary", words, "--min-words", 8, "--out", "out"
    assert call(*arguments, cwd=tmp_path).returncode == 0
    before = hashes(tmp_path/"out")
    write_jsonl(tmp_path/"corpus.jsonl", [GOOD]*2)
    refused(call(*arguments, cwd=tmp_path), "out", "inputs")
    assert hashes(tmp_path/"out") == before


def test_a_source_that_changed_after_a_kill(tmp_path, words):
    (tmp_path/"corpus.jsonl").write_bytes(story_lines(400_000))
    arguments = "simplify", "corpus.jsonl", "--vocabulary", words, "--min-words", 8, "--out"
    kill_when(lambda: any((tmp_path/".out.partial").rglob("part-*.parquet")), *arguments, "out", cwd=tmp_path)
    kept = hashes(tmp_path/".out.partial")
    (tmp_path/"corpus.jsonl").write_bytes(story_lines(50_000).replace(b"dog", b"cat"))
    refused(call(*arguments, "out", cwd=tmp_path), "inputs.corpus", "--restart")
    assert hashes(tmp_path/".out.partial") == kept, "finished parts are gone"
    assert call(*arguments, "out", "--restart", cwd=tmp_path).returncode == 0
    assert call(*arguments, "fresh", cwd=tmp_path).returncode == 0
    assert hashes(tmp_path/"out") == hashes(tmp_path/"fresh")


def test_a_bad_record_can_be_set_aside(tmp_path, words):
    name = without_text(tmp_path)
    done = call("simplify", name, "--vocabulary", words, "--out", "out", "--min-words", 8, "--bad-records", "set-aside", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    counts = json.loads((tmp_path/"out"/"manifest.json").read_text())["counts"]
    assert (counts["documents"], counts["documents_kept"], counts["documents_rejected"]) == (2, 1, 1)
    rejected = [json.loads(line) for line in (tmp_path/"out"/"rejected.jsonl").read_text().splitlines()]
    assert [(r["file"], r["row"]) for r in rejected] == [("other", 1)] # rows count from 0
    assert json.loads(rejected[0]["record"]) == {"body": GOOD}


def test_another_configuration_is_never_written_over(tmp_path, stories, words):
    assert call("simplify", stories, "--vocabulary", words, "--out", "out", cwd=tmp_path).returncode == 0
    refused(call("simplify", stories, "--vocabulary", words, "--out", "out", "--min-words", 16, cwd=tmp_path), "out", "config")


def test_real_data_that_is_not_there(tmp_path):
    refused(call("run", "child_directed", cwd=tmp_path), "SIMPLELM_DATA")
    assert not (tmp_path/"runs").exists()


def test_blocks_with_another_tokenizer(tmp_path, blocks):
    shutil.copytree(blocks, tmp_path/"blocks")
    unlisted(tmp_path/"blocks")
    tokenizer = json.loads((tmp_path/"blocks"/"tokenizer.json").read_text())
    first = max(tokenizer["model"]["vocab"], key=tokenizer["model"]["vocab"].get)
    del tokenizer["model"]["vocab"][first]
    tokenizer["model"]["merges"] = [m for m in tokenizer["model"]["merges"] if "".join(m) != first]
    (tmp_path/"blocks"/"tokenizer.json").write_text(json.dumps(tokenizer))
    refused(call("train", "blocks", "--size", "32x2", "--batch-size", 16, "--out", "model", cwd=tmp_path), "its tokenizer has 511 entries, but its tokens were made by one of 512")
    assert not list(tmp_path.glob("*model*"))


def test_damaged_blocks(tmp_path, blocks):
    """A token that is no entry of the vocabulary is named when a step meets it; what has been done stays."""
    shutil.copytree(blocks, tmp_path/"blocks")
    unlisted(tmp_path/"blocks")
    path = next((tmp_path/"blocks").glob("train-*.bin"))
    path.write_bytes(b"\xff" * path.stat().st_size)
    refused(call("train", "blocks", "--size", "32x2", "--batch-size", 16, "--out", "model", cwd=tmp_path), "holds token 65535, but its tokenizer has 512 entries")
    assert not (tmp_path/"model").exists()


def test_a_full_disk_in_training(tmp_path, blocks):
    disk = tmp_path/"disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, text=True)
    if mounted.returncode: pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    try:
        arguments = "train", blocks, "--size", "32x2", "--batch-size", 16, "--tokens", 40960, "--checkpoint-every", 10, "--evaluate-sequences", 16, "--precision", "float32", "--tracker", "none"
        refused(call(*arguments, "--out", disk/"out", cwd=tmp_path), "out", "no space left")
        assert not (disk/"out").exists()
        subprocess.run(["mount", "-o", "remount,size=100m", disk], check=True)
        for out in (disk/"out", "whole"): assert call(*arguments, "--out", out, cwd=tmp_path).returncode == 0
        assert hashes(disk/"out") == hashes(tmp_path/"whole")
    finally: subprocess.run(["umount", disk], check=True)
