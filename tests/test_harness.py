"""Prompts are those of lm-evaluation-harness, and what is exported runs there as it is."""
import gzip
import json
import os
import subprocess
import sys

import pytest

from hub_records import RECORDS
from simplelm.scoring.items import load_items, read_records
from simplelm.scoring.public_tasks import BLIMP_NAMES, PUBLIC, TASKS, register
from simplelm.scoring.tasks import Task, make_item, simple_words
from simplelm.text.vocabulary import Vocabulary, split_words, word_key

pytest.importorskip("lm_eval", reason="prompts are compared with those of lm-evaluation-harness, of the extra `harness`")
from lm_eval.tasks._yaml_loader import load_yaml
from simplelm.scoring import harness

OTHERS = [f"blimp_{name}" for name in BLIMP_NAMES if f"blimp_{name}" not in RECORDS] # all of one layout


def test_every_task_has_records(): assert {t.name for t in PUBLIC} == RECORDS.keys() | {*OTHERS}


@pytest.mark.parametrize("shots", [0, 2])
@pytest.mark.parametrize("name", RECORDS)
def test_prompts(name, shots):
    records, own = RECORDS[name], not TASKS[name].shots_split
    found = harness.compare_prompts(name, records if own else records[:3], () if own else records[3:], shots)
    if name == "lambada_openai": found = found[shots:] # the harness puts these questions among their own examples
    different = found[~(found.same_request & found.same_label)]
    assert len(found) >= 3 and not len(different), different.iloc[0].to_dict()


def test_prompts_of_all_blimp():
    for name in OTHERS: assert harness.compare_prompts(name, RECORDS["blimp_adjunct_island"]).same_request.all(), name


@pytest.mark.skipif("SIMPLELM_DATA" not in os.environ, reason="set SIMPLELM_DATA to a folder with the benchmarks")
@pytest.mark.parametrize("name", ["arc_easy", "piqa", "rte", "hellaswag", "blimp_wh_island"])
def test_prompts_of_real_records(name):
    records = [record for _, record in read_records(TASKS[name])]
    if name == "hellaswag": # the local file has label and context joined; apart again, the harness cleans them its way
        apart = [r["query"].split(": ", 1) for r in records]
        records = [dict(activity_label=a, ctx_a=c, ctx_b="", endings=r["endings"], label=str(r["label"])) for (a, c), r in zip(apart, records)]
    found = harness.compare_prompts(name, records)
    assert len(found) == sum(len(i.choices) for i in load_items(name)) and found.same_request.all() and found.same_label.all()


@pytest.mark.parametrize("name", [t.name for t in PUBLIC])
def test_declarations(name):
    """Data, splits, version and stop texts are those of the harness."""
    task, theirs = TASKS[name], load_yaml(harness.harness_path(name))
    assert (task.hub, task.config) == (theirs["dataset_path"], theirs.get("dataset_name"))
    assert task.split == (theirs.get("test_split") or theirs["validation_split"])
    assert task.shots_split == (theirs.get("fewshot_split") or theirs.get("training_split") or "")
    assert float(task.version) == float(theirs.get("metadata", {}).get("version", 1))
    assert list(task.stop) == theirs.get("generation_kwargs", {}).get("until", [])
    assert task.metric in {"mc2", *(m["metric"] for m in theirs["metric_list"])}


@pytest.fixture
def data(tmp_path, monkeypatch):
    """All records as files in the layout of $SIMPLELM_DATA."""
    monkeypatch.setenv("SIMPLELM_DATA", str(tmp_path/"data"))
    for name, records in RECORDS.items():
        for path, rows in ((TASKS[name].path, records[:3]), (TASKS[name].shots_path, records[3:])):
            if not path: continue
            if not TASKS[name].shots_split: rows = records
            file = tmp_path/"data"/path
            file.parent.mkdir(parents=True, exist_ok=True)
            with gzip.open(file, "wt", encoding="utf-8") as f: f.writelines(json.dumps(r) + "\n" for r in rows)
    (tmp_path/"texts.jsonl").write_text('{"page": "One dog ran. \\u2028 It was wet."}\n{"page": " Rain {fell}."}\n')
    yield tmp_path


def exported(folder, name, **options):
    """Requests of an exported task, as the harness makes them, and those of our items."""
    items = load_items(name, **options)
    path, = harness.export_task(name, folder, **options)
    return harness.harness_requests(harness.open_exported(path)), [harness.our_requests(TASKS[name], i) for i in items]


@pytest.mark.parametrize("options", [dict(), dict(shots=2), dict(shots=1, draw=3, shots_from="same"), dict(style="letters", shots=2), dict(tidy=True)], ids=str)
@pytest.mark.parametrize("name", RECORDS)
def test_export(data, name, options):
    if options.get("style") == "letters" and TASKS[name].kind != "choice": return
    theirs, ours = exported(data/"out", name, **options)
    assert [[request[:len(mine)] for request, mine in zip(doc, item, strict=True)] for doc, item in zip(theirs, ours, strict=True)] == ours


@pytest.mark.parametrize("name", ["piqa", "winogrande", "boolq", "copa"])
def test_export_of_simple_items(data, name):
    """Only what the vocabulary suffices for, strictly, with simple examples."""
    known = [i for i in load_items(name) if i.id == 0] + [make_item(TASKS[name], r, i, name) for i, r in enumerate(RECORDS[name][3:])]
    words = Vocabulary.from_words({word_key(w) for i in known for w in split_words(i.text)} | {w for i in known for w in simple_words(i.text)})
    theirs, ours = exported(data/"out", name, form="simple", vocabulary=words, strict=True, shots=2)
    assert theirs == ours and len(ours) == 1


def test_export_of_texts(data):
    register(Task("pages", "", ("{page}",), 0, ("page",), 0., kind="text", metric="bits_per_byte", path=str(data/"texts.jsonl")))
    theirs, ours = exported(data/"out", "pages")
    assert theirs == ours == [[("One dog ran. \u2028 It was wet.",)], [(" Rain {fell}.",)]]
    del TASKS["pages"]


@pytest.mark.slow
def test_export_runs_by_command(data):
    """The harness's own command runs exported tasks of every kind in a folder that has moved, and without this package."""
    names = ["winogrande", "truthfulqa_mc2", "lambada_openai", "gsm8k", "storyworld_color"]
    for name in names: harness.export_task(name, data/"out", shots=1, limit=2)
    (data/"out").rename(data/"moved")
    titles = [harness.export_title(name, shots=1, limit=2) for name in names]
    done = subprocess.run([sys.executable, "-m", "lm_eval", "--model", "dummy", "--include_path", str(data/"moved"), "--tasks", ",".join(titles), "--log_samples", "--output_path", str(data/"scores")],
                          cwd=data, env=os.environ | {"PYTHONPATH": "", "HF_HUB_OFFLINE": "1"}, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    for title in titles:
        assert f"|{title}" in done.stdout.replace(" ", ""), done.stdout
        logged = [json.loads(line) for line in next((data/"scores").rglob(f"samples_{title}_*.jsonl")).read_text(encoding="utf-8").splitlines()]
        assert len(logged) == 2
