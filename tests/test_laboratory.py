"""A laboratory from the command line, its numbers counted again by other means."""
import csv
import json
import re
import statistics
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from conftest import ROOT, call, hashes


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("laboratory")/"run"
    done = call("run", ROOT/"tests"/"laboratory.toml", "--out", folder)
    assert done.returncode == 0, done.stderr
    assert "report:" in done.stdout and "vocabulary, random instead of all" in done.stdout
    return folder


def texts(folder):
    return [t for part in sorted((folder/"data").glob("*.parquet")) for t in pd.read_parquet(part).text]


def test_shared_reference_is_trained_once(run):
    conditions, models = pd.read_csv(run/"conditions.csv"), pd.read_csv(run/"models.csv")
    assert conditions[conditions.reference].condition.tolist() == ["reference", "reference"] # of both dials
    assert len(conditions) == 6 and len(models) == 5*2
    assert len(list(run.glob("model-reference-*"))) == 2 # one a seed
    assert models.tokens.nunique() == 1
    manifest = next(run.glob("blocks-reference-*"))/"manifest.json"
    tokens = json.loads(manifest.read_text())["counts"]["train"]["tokens"]
    np.testing.assert_allclose(conditions.epochs[conditions.reference], models.tokens[0]/tokens, rtol=1e-9)


def test_again_makes_nothing(run):
    before, times = hashes(run), {p: p.stat().st_mtime_ns for p in run.rglob("*.safetensors")}
    assert call("run", ROOT/"tests"/"laboratory.toml", "--out", run).returncode == 0
    assert hashes(run) == before and {p: p.stat().st_mtime_ns for p in run.rglob("*.safetensors")} == times


def test_random_vocabulary_covers_as_much(run):
    """Running words counted by a regular expression. The draw stops within the rarest word left, here one of 75,000; 1 in 2,000 is far more than that and far less than any common word."""
    stories = Path(next(p for p in run.glob("stories-*") if json.loads((p/"manifest.json").read_text())["config"]["seed"] == 0 and json.loads((p/"manifest.json").read_text())["config"]["documents"] == 700))
    words = [w.lower() for t in texts(stories) for w in re.findall(r"[^\W\d_]+", t)]
    covers, sets = {}, {}
    for kind in ("child", "random"):
        with next(run.glob(f"vocabulary-{kind}-*/words.csv")).open(encoding="utf-8") as f: sets[kind] = {r["word"] for r in csv.DictReader(f)}
        covers[kind] = sum(w in sets[kind] for w in words)/len(words)
    assert abs(covers["child"] - covers["random"]) < 1/2000
    assert 0.1 < covers["child"] < 0.99 and len(sets["random"] - sets["child"]) > 50 # other words
    conditions = pd.read_csv(run/"conditions.csv")
    for kind, share in covers.items():
        assert abs(conditions[conditions.vocabulary == kind].vocabulary_coverage.iloc[0] - share) < 1/2000
    for kind in covers: # nothing is left that the vocabulary does not allow, passages of less than 100 words having no room for exceptions
        left = [re.findall(r"[^\W\d_]+", t.lower()) for t in texts(next(run.glob(f"corpus-vocabulary-{kind}-*")))]
        assert left and all(set(passage) <= sets[kind] for passage in left if len(passage) < 99)


def test_common_text_is_in_no_training_text(run):
    common = {json.loads(line)["text"] for line in next(run.glob("text-reference-*/texts.jsonl")).read_text(encoding="utf-8").splitlines()}
    assert len(common) == 20
    for corpus in run.glob("stories-*"):
        if json.loads((corpus/"manifest.json").read_text())["config"]["documents"] == 700: assert not common & set(texts(corpus))


def means(items, condition, measure):
    """Item -> mean over seeds for each task, and the mean of each seed, by loops."""
    part = items[(items.condition == condition) & ((items.task == "text_reference") if measure == "text reference" else (items.form == measure.removeprefix("tasks, ")) & ~items.task.str.startswith("text_"))]
    by_item = {task: {i: statistics.fmean(g.value) for i, g in t.groupby("item")} for task, t in part.groupby("task")}
    by_seed = [statistics.fmean(statistics.fmean(t.value) for _, t in s.groupby("task")) for _, s in part.groupby("seed")]
    return by_item, by_seed


@pytest.mark.parametrize("measure", ["tasks, standard", "tasks, simple", "text reference"])
def test_effects_from_items(run, measure):
    items, effects, conditions = pd.read_parquet(run/"items.parquet"), pd.read_csv(run/"effects.csv", dtype={"value": str}), pd.read_csv(run/"conditions.csv")
    known = {c: means(items, c, measure) for c in conditions.condition.unique()}
    spread, spread_freedom = statistics.fmean(statistics.variance(s) for _, s in known.values()), len(known) # two seeds each: one degree of freedom a language
    part = effects[effects.measure == measure]
    assert len(part) == 2 + 1 + 2 # two differences and a slope of one dial, two differences of the other

    def agree(row, weights):
        tasks = known["reference"][0]
        d = {t: [sum(w*known[c][0][t][i] for c, w in weights.items()) for i in tasks[t]] for t in tasks}
        estimate = statistics.fmean(statistics.fmean(x) for x in d.values())
        parts = [(statistics.variance(x)/len(x)/len(d)**2, len(x) - 1) for x in d.values()] + [(spread*sum(w*w for w in weights.values())/2, spread_freedom)]
        variance = sum(v for v, _ in parts)
        reach = stats.t(variance**2/sum(v*v/n for v, n in parts)).ppf(0.975)*variance**0.5
        np.testing.assert_allclose([row.estimate, row.low, row.high], [estimate, estimate - reach, estimate + reach], rtol=1e-6, atol=1e-9)
        assert row["items"] == sum(map(len, d.values())) and row.seeds == 2

    for _, row in part[part.kind == "difference"].iterrows():
        other = conditions[(conditions.dial == row.dial) & (conditions.value == row.value)].condition.iloc[0]
        agree(row, {other: 1.0, "reference": -1.0})
    _, slope = next(part[part.kind == "slope"].iterrows())
    line = conditions[conditions.dial == "corpus"]
    agree(slope, dict(zip(line.condition, [-0.5, 0.0, 0.5]))) # least squares over 0, 1, 2: (x - 1)/2
    totals = [statistics.fmean(known[c][1]) for c in line.condition]
    assert slope.estimate == pytest.approx(np.polyfit([0, 1, 2], totals, 1)[0], abs=1e-9)


def test_report_stands_alone(run, tmp_path):
    page = (run/"report.html").read_text(encoding="utf-8")
    assert page.count("<svg") == 3
    assert not [tag for tag in ('src="http', 'href="http', "@import", "<script") if tag in page]
    assert call("report", run, "--out", tmp_path/"again.html").returncode == 0
    assert (tmp_path/"again.html").read_text(encoding="utf-8") == page


def test_plan_needs_nothing():
    done = call("plan", "lab")
    assert done.returncode == 0, done.stderr
    assert re.search(r"\d+ models of \d+ languages, .* hours of training on two cores", done.stdout.splitlines()[-1])
    fast, slow = (float(re.search(r"([\d.]+) hours", call("plan", "lab", "--accelerator", "A100", "--utilization", u).stdout.splitlines()[-1])[1]) for u in (0.00002, 0.00001))
    assert slow == pytest.approx(2*fast, rel=0.02)
