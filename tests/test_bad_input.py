"""Bad input: one clear line, exit code 2, and nothing half-written."""
import json

import pytest

from conftest import ROOT, call, write_jsonl

GOOD = "The dog sat on the mat. The dog saw the cat. The cat ran to the tree. The dog ran too. They sat in the sun. The sun was warm. They were happy all day."


def refused(done, *names):
    """The command said one line that holds every name, and left with 2."""
    assert done.returncode == 2, (done.returncode, done.stdout, done.stderr)
    said = [line for line in done.stderr.splitlines() if line.startswith("simplelm: ")]
    assert len(said) == 1 and "Traceback" not in done.stderr, done.stderr
    for name in names: assert name in said[0], said[0]


def truncated_zst(folder):
    zstandard = pytest.importorskip("zstandard", reason="needed to make a truncated file, of the extra `dev`")
    whole = zstandard.compress("".join(json.dumps({"text": f"{i} {GOOD}"}) + "\n" for i in range(20_000)).encode())
    (folder/"cut.jsonl.zst").write_bytes(whole[:len(whole)//2])
    return "cut.jsonl.zst"


def truncated_gz(folder):
    import gzip
    whole = gzip.compress("".join(json.dumps({"text": f"{i} {GOOD}"}) + "\n" for i in range(2000)).encode())
    (folder/"cut.jsonl.gz").write_bytes(whole[:len(whole)//2])
    return "cut.jsonl.gz"


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


def missing_file(folder): return "nowhere.jsonl"


def empty_folder(folder):
    (folder/"empty").mkdir()
    return "empty"


def nothing_simple(folder):
    write_jsonl(folder/"hard.jsonl", ["Quantum chromodynamics perplexes undergraduates."]*5)
    return "hard.jsonl"


CASES = [truncated_zst, truncated_gz, invalid_utf8, invalid_utf8_text, without_text, invalid_json, missing_file, empty_folder, nothing_simple]


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.__name__)
def test_simplify_refuses(tmp_path, words, case):
    name = case(tmp_path)
    before = sorted(p.name for p in tmp_path.rglob("*"))
    refused(call("simplify", name, "--vocabulary", words, "--out", "out", cwd=tmp_path), name.split(".")[0])
    assert sorted(p.name for p in tmp_path.rglob("*")) == before, "something half-written was left"


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


@pytest.mark.parametrize("content, said", [
    ("word,frequency\n", "words.csv"), ("token,frequency\nthe,3\n", "word"), ("word,frequency\nthe,many\n", "words.csv")])
def test_malformed_vocabulary(tmp_path, content, said):
    (tmp_path/"words.csv").write_text(content)
    write_jsonl(tmp_path/"good.jsonl", [GOOD])
    refused(call("simplify", "good.jsonl", "--vocabulary", "words.csv", "--out", "out", cwd=tmp_path), said)
    assert not (tmp_path/"out").exists()


def test_unknown_study_key(tmp_path):
    (tmp_path/"mine.toml").write_text((ROOT/"tests"/"miniature.toml").read_text().replace("limit =", "limits ="))
    refused(call("run", "mine.toml", "--out", "run", cwd=tmp_path), "mine.toml", "evaluation.limits", "limit")
    assert not (tmp_path/"run").exists()


def test_unknown_study(tmp_path): refused(call("run", "gigantic", cwd=tmp_path), "gigantic", "tiny")


def test_real_data_that_is_not_there(tmp_path):
    refused(call("run", "child_directed", cwd=tmp_path), "SIMPLELM_DATA")
    assert not (tmp_path/"runs").exists()


def test_train_and_evaluate_refuse(tmp_path, blocks):
    refused(call("train", "nowhere", "--out", "model", cwd=tmp_path), "nowhere")
    refused(call("train", blocks, "--size", "huge", "--out", "model", cwd=tmp_path), "huge")
    refused(call("evaluate", "--model", "nowhere", cwd=tmp_path), "nowhere")
    refused(call("report", "nowhere", cwd=tmp_path), "nowhere")
    refused(call("fit", "nowhere.csv", cwd=tmp_path), "nowhere.csv")
    assert not list(tmp_path.iterdir())


def test_two_points_are_too_few_for_a_law(tmp_path):
    (tmp_path/"points.csv").write_text("flops,loss\n1e15,3.0\n1e16,2.5\n")
    refused(call("fit", "points.csv", cwd=tmp_path), "3")
