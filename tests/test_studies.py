"""A study of four languages from the command line, and its numbers counted again by other means."""
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from math import isclose
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from scipy import stats

from conftest import ROOT, call, hashes

STUDY = ROOT/"tests"/"four_languages.toml"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ: base = base.parent # of all workers: the first makes it, the others find it
    folder = base/"four_languages"
    with FileLock(base/"four_languages.lock"): done = call("run", STUDY, "--out", folder, "--jobs", 2, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert "report:" in done.stdout and "Simple text teaches more" in done.stdout
    return folder


def test_baselines_stand_beside_the_languages(run):
    """A pretrained model and the n-grams of each language answer the same items, and are no languages."""
    names = {f"{gram} of {language}" for gram in ("unigram", "bigram", "trigram") for language in ("regular", "simple", "random", "shuffled")}
    table = pd.read_parquet(run/"baselines.parquet")
    assert set(table.baseline) == names | {"small_model"}
    own, beside = pd.read_parquet(run/"outcomes.parquet"), pd.read_csv(run/"beside.csv")
    asked = set(zip(own.task, own.form, own["items"]))
    assert all(set(zip(t.task, t.form, t["items"])) == asked for _, t in table.groupby("baseline"))
    assert set(beside.baseline) == {"small_model"} and set(beside.language) == {"regular", "simple", "random", "shuffled"}


def test_a_run_has_all_models_and_is_read_by_fit(run):
    models = pd.read_csv(run/"models.csv")
    wanted = {(language, size, seed) for language in ("regular", "simple", "random", "shuffled") for size in ("16x2", "32x2") for seed in range(3)}
    assert set(zip(models.language, models["size"], models.seed)) == wanted and len(models) == len(wanted)
    fit = call("fit", run)
    assert fit.returncode == 0 and "refused" in fit.stdout.lower() # two sizes do not determine three parameters


def texts(folder):
    return [t for part in sorted((folder/"data").glob("*.parquet")) for t in pd.read_parquet(part).text]


def unpacked(run):
    """(language, size, seed, task, form) -> values, by a loop over bits."""
    found = {}
    for r in pd.read_parquet(run/"outcomes.parquet").itertuples():
        if r.kind == "float32": values = np.frombuffer(r.data, "<f4").tolist()
        else: values = [float(r.data[i//8] >> 7 - i % 8 & 1) for i in range(r.count)]
        found[r.language, r.size, r.seed, r.task, r.form] = values
    return found


def test_outcomes_are_those_of_the_items(run):
    """Packed outcomes against the items that `evaluate` wrote, and against its own means."""
    items, found = pd.read_parquet(run/"items.parquet"), unpacked(run)
    for key, part in items.groupby(["language", "size", "seed", "task", "form"]):
        np.testing.assert_allclose(found[key], part.sort_values("item").correct.astype(float))
    scores = pd.read_csv(run/"scores.csv")
    for r in scores[~scores.task.isin(["storyworld"]) & ~scores.task.str.startswith("text_")].itertuples():
        assert statistics.fmean(found[r.language, r.size, r.seed, r.task, r.form]) == pytest.approx(r.accuracy, abs=1e-9)


def error_by_hand(arms):
    """The error of a difference from its definition: arms[(side, size)] is a list over seeds of {task: values}."""
    sizes = sorted({size for _, size in arms})
    seed_part, freedom_parts, kinds = 0.0, [], []
    for size in sizes:
        means = [[statistics.fmean(statistics.fmean(v) for v in model.values()) for model in arms[side, size]] for side in (0, 1)]
        pooled = statistics.fmean(statistics.variance(m) for m in means) # equal numbers of seeds
        part = pooled*sum(1/len(m) for m in means)/len(sizes)**2
        seed_part += part
        freedom_parts.append((part, sum(len(m) - 1 for m in means)))
        kinds.append("seed")
    tasks = list(arms[0, sizes[0]][0])
    item_part = residual = 0.0
    for task in tasks:
        count = len(arms[0, sizes[0]][0][task])
        d = [sum((1 if side == 0 else -1)*statistics.fmean(model[task][i] for model in arms[side, size])/len(sizes)
                 for side in (0, 1) for size in sizes) for i in range(count)]
        part = statistics.variance(d)/count/len(tasks)**2
        item_part += part
        freedom_parts.append((part, count - 1))
        kinds.append("item")
        for side, size in arms:
            y = np.array([model[task] for model in arms[side, size]])
            left = y - y.mean(0) - y.mean(1, keepdims=True) + y.mean()
            n = (len(y) - 1)*(count - 1)
            part = (left**2).sum()/n/len(y)/count/len(tasks)**2/len(sizes)**2
            residual += part
            freedom_parts.append((part, n))
            kinds.append("residual")
    variance = max(seed_part/2, item_part/2, seed_part + item_part - residual)
    def doubt(*which): return sum(p**2/n for (p, n), kind in zip(freedom_parts, kinds) if kind in which)
    fewest = min(seed_part**2/doubt("seed"), item_part**2/doubt("item"))
    return variance**0.5, max(variance**2/doubt("seed", "item", "residual"), fewest)


@pytest.mark.parametrize("measure", ["storyworld/simple", "storyworld/standard", "text/plain", "storyworld_agreement/simple"])
def test_every_interval_follows_from_the_outcomes(run, measure):
    """Differences over all sizes, their intervals and p, from packed outcomes by loops."""
    found, table = unpacked(run), pd.read_csv(run/"comparisons.csv")
    name, form = measure.split("/")
    tasks = sorted({k[3] for k in found if (k[3] == f"text_{form}" if name == "text" else k[4] == form and k[3].startswith(name))})
    form = "standard" if name == "text" else form
    rows = table[(table.measure == measure) & (table["size"] == "all")]
    assert len(rows) == 3
    for r in rows.itertuples():
        arms = {(side, size): [{t: found[language, size, seed, t, form] for t in tasks} for seed in (0, 1, 2)]
                for side, language in enumerate((r.language, "regular")) for size in ("16x2", "32x2")}
        means = [statistics.fmean(statistics.fmean(statistics.fmean(v) for v in model.values()) for size in ("16x2", "32x2") for model in arms[side, size])
                 for side in (0, 1)]
        error, freedom = error_by_hand(arms)
        reach = stats.t.ppf(0.975, freedom)*error
        np.testing.assert_allclose([r.difference, r.low, r.high], [means[0] - means[1], means[0] - means[1] - reach, means[0] - means[1] + reach], atol=1e-6)
        assert isclose(r.p, 2*stats.t.sf(abs(means[0] - means[1])/error, freedom), abs_tol=1e-5)


def test_claims_are_judged_as_written(run):
    claims, comparisons = pd.read_csv(run/"claims.csv"), pd.read_csv(run/"comparisons.csv")
    assert claims.kind.tolist() == ["difference", "non-inferiority"] and claims.registered_after.tolist() == [0, 0]
    one = comparisons[(comparisons.language == "simple") & (comparisons.measure == "storyworld/simple") & (comparisons["size"] == "all")].iloc[0]
    np.testing.assert_allclose(claims[["estimate", "low", "high"]].iloc[0].astype(float), [one.difference, one.low, one.high])
    assert claims.verdict[0] == ("supported" if one.low > 0 and claims.p_holm[0] < 0.05 else "refuted" if one.high < 0 and claims.p_holm[0] < 0.05 else "undecided")
    small, large = sorted(claims.p)
    np.testing.assert_allclose(sorted(claims.p_holm), [min(2*small, 1), max(large, min(2*small, 1))]) # Holm's rule for two


def test_order_of_rows_changes_nothing(run, tmp_path):
    from simplelm.studies.claims import comparison_table, judge_claims, read_claims, read_outcomes, read_settings
    table = pd.read_parquet(run/"outcomes.parquet").sample(frac=1, random_state=1)
    for name in ("study.json", "dials.csv", "registration.json"): (tmp_path/name).write_bytes((run/name).read_bytes())
    table.to_parquet(tmp_path/"outcomes.parquet")
    keys = ["language", "size", "measure"]
    one, other = (comparison_table(read_outcomes(f), "regular").sort_values(keys).reset_index(drop=True) for f in (run, tmp_path))
    pd.testing.assert_frame_equal(one, other, check_exact=True)
    claims = read_claims(read_settings(run))
    pd.testing.assert_frame_equal(judge_claims(run, claims), judge_claims(tmp_path, claims), check_exact=True)


def test_again_makes_nothing(run):
    before, times = hashes(run), {p: p.stat().st_mtime_ns for p in run.rglob("*.safetensors")}
    assert len(times) >= 24
    assert call("run", STUDY, "--out", run, cwd=ROOT).returncode == 0
    assert hashes(run) == before and {p: p.stat().st_mtime_ns for p in run.rglob("*.safetensors")} == times


def test_held_out_text_is_in_no_training_text(run):
    held_out = {json.loads(line)["text"] for line in next(run.glob("text-regular-*/texts.jsonl")).read_text(encoding="utf-8").splitlines()}
    trained = {t for corpus in run.glob("stories-????????") for t in texts(corpus)}
    assert len(held_out) == 15 and len(trained) > 1000 and not held_out & trained


def test_random_vocabulary_covers_as_much(run):
    """Running words counted by a regular expression, in the text that both vocabularies are applied to."""
    from simplelm.stories.lexicon import child_vocabulary
    stories = next(p for p in run.glob("stories-????????") if len(texts(p)) == 1600)
    words = [w.lower() for t in texts(stories) for w in re.findall(r"[^\W\d_]+", t)]
    random = set(pd.read_csv(next(run.glob("vocabulary-random-*/words.csv")), keep_default_na=False).word)
    child = {w.lower() for w in child_vocabulary()}
    covers = [sum(w in known for w in words)/len(words) for known in (child, random)]
    assert abs(covers[0] - covers[1]) < 0.005 and 0.1 < covers[0] < 0.99
    assert len(random - child) > 50 # other words


def test_report_stands_alone(run, tmp_path):
    page = (run/"report.html").read_text(encoding="utf-8")
    assert not [tag for tag in ('src="http', 'href="http', "@import", "<script") if tag in page]
    assert page.index("Simple text teaches more") < page.index("<svg") # the answer comes first
    facts = json.loads((run/"report.json").read_text())
    assert facts["seeds"] == 3 and facts["languages"] == ["regular", "simple", "random", "shuffled"] and len(facts["claims"]) == 2
    assert call("report", run, "--out", tmp_path/"again.html").returncode == 0
    assert (tmp_path/"again.html").read_text(encoding="utf-8") == page


def test_a_claim_that_was_changed_afterwards_says_so(run, tmp_path):
    from simplelm.studies.running import register_claims
    from simplelm.studies.study import load_study
    study = load_study(STUDY)
    (tmp_path/"model-x").mkdir()
    assert [r["models"] for r in register_claims(study, tmp_path)] == [0]
    assert len(register_claims(study, tmp_path)) == 1 # the same claims are registered once
    (tmp_path/"model-x"/"manifest.json").write_text("{}")
    changed = replace(study, claims=(replace(study.claims[0], measure="text/plain"),))
    assert [r["models"] for r in register_claims(changed, tmp_path)] == [0, 1]


@pytest.mark.slow
def test_given_outcomes_stand_for_models(run, tmp_path):
    """The tables alone, in an empty folder: nothing is trained; one table damaged: one line."""
    given = tmp_path/"given"
    given.mkdir()
    for name in ("models.csv", "curves.csv", "scores.csv", "outcomes.parquet", "samples.json"): (given/name).write_bytes((run/name).read_bytes())
    done = call("run", STUDY, "--out", tmp_path/"again", "--outcomes", given, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path/"again").glob("model-*"))
    for name in ("claims.csv", "comparisons.csv"): assert (tmp_path/"again"/name).read_bytes() == (run/name).read_bytes()
    (given/"models.csv").write_text("language,size,seed\n")
    done = call("run", STUDY, "--out", tmp_path/"never", "--outcomes", given, cwd=ROOT)
    assert done.returncode == 2 and "lacks the column model" in done.stderr and not (tmp_path/"never").exists()


@pytest.mark.slow
def test_as_many_models_at_once_as_one_likes(run, tmp_path):
    """One after another in one process, the results are the same to the bit."""
    assert call("run", STUDY, "--out", tmp_path/"run", "--jobs", 1, cwd=ROOT).returncode == 0
    for name in ("models.csv", "outcomes.parquet", "claims.csv", "scores.csv"): assert (tmp_path/"run"/name).read_bytes() == (run/name).read_bytes()


def children(process):
    """Processes whose parent is the given one."""
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process)], capture_output=True, text=True).stdout.split()
    return [int(pid) for pid in found]


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_stopped_run_leaves_no_process_and_continues(run, tmp_path, how):
    # A shell that starts tests in the background lets them ignore Ctrl-C, which a user's terminal does not.
    process = subprocess.Popen([sys.executable, "-m", "simplelm", "run", STUDY, "--out", tmp_path/"run", "--jobs", "2"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    until = time.monotonic() + 120
    while not list((tmp_path/"run").glob("model-*/manifest.json")):
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.05)
    workers = children(process.pid)
    assert len(workers) == 2
    process.send_signal(how)
    process.wait(60)
    until = time.monotonic() + 30
    while any(Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split()[2] for pid in workers):
        assert time.monotonic() < until, "a worker outlived its parent"
        time.sleep(0.2)
    assert call("run", STUDY, "--out", tmp_path/"run", cwd=ROOT).returncode == 0
    assert (tmp_path/"run"/"outcomes.parquet").read_bytes() == (run/"outcomes.parquet").read_bytes()


def test_a_worker_that_is_killed_is_one_line():
    from simplelm.artifacts import InputError
    from simplelm.studies.running import side_by_side
    with pytest.raises(InputError, match="the process that worked on it was killed; if memory ran out, use fewer jobs"):
        list(side_by_side(_exit, ["a", "b"], 2))


def _exit(job): os.kill(os.getpid(), signal.SIGKILL)


def test_dials_are_languages():
    """A study of one dial: the reference is the language of the file, and is named once."""
    from simplelm.configuration import parse_config
    from simplelm.studies.study import Study
    table = dict(name="dial", description="A dial", source=dict(storyworld=dict(documents=100, depth=1)), languages=dict(plain={}), models=dict(sizes=["32x2"]),
                 dials=[dict(name="depth", values=[0, 1, 3]), dict(name="lexicon", values=[250, 1000], reference=250)], training={}, evaluation={})
    study = parse_config(Study, table, "dial.toml")
    assert list(study.languages) == ["plain", "depth-0", "depth-3", "lexicon-250", "lexicon-1000"]
    assert [(p.language, p.reference) for p in study.positions] == [("depth-0", False), ("plain", True), ("depth-3", False), ("lexicon-250", True), ("lexicon-1000", False)]
    assert study.reference == "plain"


# Claims about size, on outcomes that are made up

LADDER = ("16x2", "32x2", "64x2", "128x2", "256x2")


def sized_run(folder, k=2.0, seeds=4, sizes=LADDER, form="power law", tilt=0.0, embeddings=0.0):
    """Outcomes, models.csv and curves.csv: a model of `simple` does what one of `regular` does that is k times as large."""
    from simplelm.models.model import model_size, non_embedding_parameter_count
    from simplelm.studies.claims import OUTCOME_COLUMNS
    from simplelm.studies.running import pack_values
    draw, rows, models, curves = np.random.default_rng(0), [], [], []
    documents, ease = 0.05*draw.normal(size=30), draw.normal(size=200)
    tokens, first = np.geomspace(1e5, 2e6, 12), non_embedding_parameter_count(model_size(LADDER[0]))
    for size in sizes:
        inner = non_embedding_parameter_count(model_size(size))
        for language, shift, turn in (("simple", k, tilt), ("regular", 1.0, 0.0)):
            for seed in range(seeds):
                u = np.log(shift*inner/first)
                loss = (0.6 + 0.8*np.exp(-0.25*u) if form == "power law" else 1.4 - 0.12*u)*np.exp(0.004*draw.normal())
                odds = (0.3 + turn)*(u - 2) + ease + 0.05*draw.normal()
                right = (draw.random(200) < 1/(1 + np.exp(-odds))).astype(float)
                of, text = (language, size, seed), loss + documents - documents.mean()
                rows.append((*of, "g_a", "g", "simple", "acc", "same", 200, *pack_values(right)))
                rows.append((*of, "text_plain", "", "standard", "bits_per_byte", "same", 30, *pack_values(text)))
                models.append((*of, int(1.3*inner + embeddings*int(size.split("x")[0])), inner))
                walk = 0.004*np.cumsum(draw.normal(size=12))/12**0.5
                for t, off in zip(tokens, walk): curves.append((*of, t, (0.7 + 30*t**-0.35)*np.exp(off)))
    names = ["language", "size", "seed"]
    pd.DataFrame(rows, columns=OUTCOME_COLUMNS).to_parquet(folder/"outcomes.parquet")
    pd.DataFrame(models, columns=[*names, "parameters", "non_embedding_parameters"]).to_csv(folder/"models.csv", index=False)
    pd.DataFrame(curves, columns=[*names, "tokens", "bits_per_byte"]).to_csv(folder/"curves.csv", index=False)
    return folder


def claims_about_size():
    from simplelm.studies.study import Claim
    two, regular = dict(compare=("simple", "regular"), primary=True), dict(compare=("regular",), primary=True)
    return [Claim(name="text factor", kind="size_factor", measure="text/plain", **two),
            Claim(name="task factor", kind="size_factor", measure="g/simple", **two),
            Claim(name="factor of 6", kind="size_factor", measure="text/plain", factor=6.0, **two),
            Claim(name="law", kind="power_law", measure="text/plain", **regular),
            Claim(name="law in tokens", kind="power_law", x="tokens", compare=("regular",)),
            Claim(name="forecast", kind="forecast", measure="text/plain", margin=0.05, **regular)]


def test_claims_about_size(tmp_path):
    """One claim of each kind: columns, verdicts and Holm's correction as for all others; order of rows changes nothing."""
    from simplelm.studies.claims import Verdict, judge_claims
    table = judge_claims(sized_run(tmp_path), claims_about_size()).set_index("name")
    assert ["name", *table.columns] == list(Verdict.__dataclass_fields__)
    said = dict(table.verdict)
    assert [said[name] for name in ("text factor", "factor of 6", "law", "forecast")] == ["supported", "refuted", "supported", "supported"]
    assert table.low["text factor"] < 2 < table.high["text factor"] and "without embeddings: k =" in table.why["text factor"]
    assert table.low["law"] < 0.25 < table.high["law"] and said["law in tokens"] in ("supported", "undecided")
    assert table.measure["law in tokens"] == "loss along runs" and table.seeds.eq(4).all()
    primary = table[table.primary]
    assert (primary.p_holm >= primary.p).all() and table.p_holm.isna()["law in tokens"]
    for name in ("outcomes.parquet", "models.csv", "curves.csv"):
        path = tmp_path/name
        rows = (pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)).sample(frac=1, random_state=1)
        rows.to_parquet(path) if path.suffix == ".parquet" else rows.to_csv(path, index=False)
    pd.testing.assert_frame_equal(judge_claims(tmp_path, claims_about_size()).set_index("name"), table, check_exact=True)


def test_claims_about_size_that_do_not_hold(tmp_path):
    """A line is no power law, curves that cross have no factor, and equal languages have none above 1."""
    from simplelm.studies.claims import judge_claims
    folders = [tmp_path/name for name in ("line", "crossed", "equal", "few", "counted")]
    for folder in folders: folder.mkdir()
    line, crossed, equal, few, counted = (judge_claims(sized_run(folder, **options), claims_about_size()).set_index("name") for folder, options in zip(
        folders, (dict(form="line"), dict(k=1.0, tilt=0.4), dict(k=1.0), dict(seeds=2), dict(embeddings=2000.0))))
    assert line.verdict["law"] in ("refuted", "undecided") and line.verdict["forecast"] != "supported"
    assert crossed.verdict["task factor"] == "withheld" and "cross" in crossed.why["task factor"]
    assert equal.verdict["text factor"] != "supported"
    assert set(few.verdict) == {"withheld"}
    assert counted.why["text factor"].startswith("all parameters: the two curves") # a factor in one count alone is none


def test_a_size_factor_needs_the_parameters(tmp_path):
    from simplelm.studies.claims import judge_claims
    (sized_run(tmp_path)/"models.csv").unlink()
    found = judge_claims(tmp_path, claims_about_size()[:1]).iloc[0]
    assert found.verdict == "withheld" and "models.csv is not beside outcomes.parquet" in found.why


COMMITTED = sorted(p.parent for p in (ROOT/"nbs"/"results").glob("*/outcomes.parquet"))


@pytest.mark.parametrize("folder", COMMITTED, ids=lambda f: f.name)
def test_committed_numbers_follow_from_committed_outcomes(tmp_path, folder):
    """Whoever has the committed outcomes can compute every published interval again."""
    import shutil
    from simplelm.studies.claims import write_claims
    copy = shutil.copytree(folder, tmp_path/folder.name)
    write_claims(copy)
    for name in ("claims.csv", "comparisons.csv", "means.csv"):
        pd.testing.assert_frame_equal(pd.read_csv(copy/name), pd.read_csv(folder/name), rtol=1e-6)
    assert sum(p.stat().st_size for p in folder.rglob("*")) < 3_000_000


def test_the_default_study_gives_the_same_verdicts_with_other_seeds():
    """Of two committed runs that share no seed; README quotes both."""
    one, two = (ROOT/"nbs"/"results"/name for name in ("tiny", "tiny_again"))
    seeds = [set(pd.read_parquet(f/"outcomes.parquet").seed) for f in (one, two)]
    assert min(map(len, seeds)) >= 3 and not seeds[0] & seeds[1]
    claims = [pd.read_csv(f/"claims.csv").set_index("name") for f in (one, two)]
    assert dict(claims[0].verdict) == dict(claims[1].verdict)
    readme = (ROOT/"README.md").read_text(encoding="utf-8").replace("−", "-")
    for table in claims:
        items, losses = table[table.measure == "storyworld/simple"].iloc[0], table[table.measure == "text/plain"].iloc[0]
        assert f"{items.estimate:+.3f}" in readme and f"{-losses.estimate:.3f}" in readme
        assert f"{items.low:.3f} to {items.high:+.3f}" in readme and f"{-losses.high:.3f} to {-losses.low:.3f}" in readme


def test_a_study_is_committed(): assert "tiny" in {f.name for f in COMMITTED}
