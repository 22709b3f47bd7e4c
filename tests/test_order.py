"""A curriculum reads what random order reads, as often; after any kill and on any number of processes it reads the same."""
import json
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from conftest import ROOT, call, hashes, kill_when, launch
from simplelm.artifacts import read_manifest
from simplelm.models.blocks import open_blocks
from simplelm.models.history import documents_seen
from simplelm.models.order import open_reading, score_blocks
from simplelm.studies.languages import language_order
from simplelm.studies.study import load_study

ORDERED = ("easy_first", "hard_first", "half_uniform", "groups", "simple_then_regular", "in_turn")
STUDY = ROOT/"tests"/"orders.toml"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A whole run of the study."""
    folder = tmp_path_factory.mktemp("orders")
    done = call("run", STUDY, "--out", "run", "--jobs", 1, cwd=folder, timeout=600)
    assert done.returncode == 0, done.stderr
    return folder/"run"


def only(run, pattern):
    found = [path for path in run.glob(pattern) if path.is_dir()]
    assert len(found) == 1, found
    return found[0]


def of_language(run, language):
    """Model, blocks, difficulty if the order needs it, and the order."""
    order = language_order(load_study(STUDY).languages, language)
    mixed = "simple_then_regular" if language in ("simple_then_regular", "in_turn") else "regular"
    difficulty = None if order is None or hasattr(order, "first") else only(run, "difficulty-regular-*")
    return only(run, f"model-{language}-*"), only(run, f"blocks-{mixed}-*"), difficulty, order


def test_languages_share_what_only_their_order_changes(run):
    """One tokenizer for the regular text in all orders, one for both mixtures, and one for the simple text."""
    assert len([*run.glob("tokenizer-*")]) == 3
    assert len([*run.glob("corpus-*")]) == 1 and len([*run.glob("difficulty-*")]) == 1
    table = pd.read_csv(run/"languages.csv").set_index("language")
    for language in ORDERED[:4]: assert table.loc[language].equals(table.loc["regular"]) or (table.loc[language].dropna() == table.loc["regular"].dropna()).all()
    assert table.loc["in_turn", "tokens"] == table.loc["simple_then_regular", "tokens"] > table.loc["regular", "tokens"]


def test_models_of_all_orders_are_measured_alike(run):
    means = pd.read_csv(run/"means.csv")
    assert {*means.language} == {"regular", "simple", *ORDERED}
    assert means.groupby("language").measure.agg(frozenset).nunique() == 1
    assert {m for m in means.measure if m.startswith("text/")} == {"text/regular", "text/simple"}
    assert means[means.measure == "text/regular"]["mean"].nunique() == 8, "two orders made the same model"


@pytest.mark.parametrize("language", ORDERED[:4])
def test_an_order_reads_what_random_order_reads(run, language):
    model, blocks, difficulty, order = of_language(run, language)
    ordered = open_reading(blocks, 320, 0, order, difficulty)
    assert (ordered.times_read(20, 16) == open_reading(blocks, 320).times_read(20, 16)).all()
    read = [score_blocks(blocks, difficulty, order.by)[ordered.step(step, 16)].mean() for step in range(20)]
    rising = np.polyfit(range(20), read, 1)[0]/np.std(read)*20
    if language == "easy_first": assert (np.diff(read) >= 0).all()
    if language == "hard_first": assert rising < -1
    if language == "half_uniform": assert rising > 1


@pytest.mark.parametrize("language, share", [("simple_then_regular", 0.25), ("in_turn", 0.5)])
def test_two_languages_have_their_share(run, language, share):
    model, blocks, _, order = of_language(run, language)
    sizes = read_manifest(blocks).counts["parts"]
    assert [*sizes] == ["simple", "regular"]
    reading, cut = open_reading(blocks, 320, 0, order), sizes["simple"]
    of_simple = [(reading.step(step, 16) < cut).mean() for step in range(20)]
    first = share if order.first == "simple" else 1 - share
    assert np.mean(of_simple) == first
    if order.alternate: assert set(of_simple) == {0.5}
    else: assert of_simple == [1.]*5 + [0.]*15
    assert reading.times_read(20, 16).max() == 1, "text is repeated"


@pytest.mark.parametrize("language", ("regular", *ORDERED))
def test_documents_read_are_those_of_the_blocks_read(run, language):
    """After six steps and after the last one, block by block."""
    model, folder, difficulty, order = of_language(run, language)
    blocks, reading = open_blocks(folder), open_reading(folder, 320, 0, order, difficulty)
    for steps, read in ((6, model/"checkpoints"/"00000006.safetensors"), (20, model)):
        counted = Counter()
        for step in range(steps):
            for block in reading.step(step, 16): counted.update(blocks.documents(int(block)))
        seen = documents_seen(folder, read, difficulty)
        assert seen.groupby("document").readings.sum().to_dict() == counted


@pytest.mark.slow
def test_killed_runs_continue_to_the_same_bytes(run, tmp_path):
    """Killed during the training of a model of every order, the study ends with the same models."""
    arguments = "run", STUDY, "--out", "killed", "--jobs", 1
    for language in ORDERED:
        begun = lambda: any(int(path.stem) >= 4 for path in (tmp_path/"killed").glob(f".model-{language}-*/checkpoints/*.safetensors"))
        kill_when(begun, *arguments, cwd=tmp_path, timeout=300)
    done = call(*arguments, cwd=tmp_path, timeout=600)
    assert done.returncode == 0, done.stderr
    for language in ("regular", *ORDERED):
        whole = only(run, f"model-{language}-*")
        assert hashes(whole) == hashes(tmp_path/"killed"/whole.name), language
    assert (run/"scores.csv").read_bytes() == (tmp_path/"killed"/"scores.csv").read_bytes()


@pytest.mark.slow
def test_processes_change_nothing_of_an_order(run, tmp_path):
    _, blocks, difficulty, _ = of_language(run, "hard_first")
    options = ("train", blocks, "--difficulty", difficulty, "--pacing", "sqrt", "--size", "16x2", "--batch-size", 16, "--tokens", 20480, "--evaluate-every", 2,
               "--precision", "float32", "--tracker", "none", "--out")
    one = call(*options, "one", cwd=tmp_path, environment={"ACCELERATE_USE_CPU": "true"})
    assert one.returncode == 0, one.stderr
    two = launch(2, *options, "two", cwd=tmp_path)
    assert two.wait(300) == 0, two.stderr.read()[-3000:]
    curves = [pd.read_csv(tmp_path/name/"metrics.csv") for name in ("one", "two")]
    np.testing.assert_allclose(curves[0].train_loss, curves[1].train_loss, rtol=1e-4)
    asked = json.loads((tmp_path/"two"/"manifest.json").read_text())["config"]["order"]
    assert asked["pacing"] == "sqrt" and asked["direction"] == "easy_first"


@pytest.mark.parametrize("options, said", [
    (("--pacing", "sqrt"), "--difficulty: needed for an order by difficulty"), (("--by", "length"), "by is 'length'; choose one of difficulty"),
    (("--difficulty", "here"), "here: not an artifact"), (("--start", "2"), "start is 2.0; it must be between 0 and 1"), (("--groups", "1"), "groups is 1; it must be at least 2"),
])
def test_bad_options_of_an_order_are_one_line(run, tmp_path, options, said):
    done = call("train", of_language(run, "regular")[1], "--size", "16x2", "--batch-size", 16, *options, "--out", "model", cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr and "\n" not in done.stderr.strip(), done.stderr


def test_scores_of_another_corpus_are_refused(run, tmp_path):
    """The simplified corpus has fewer documents than the blocks."""
    done = call("curate", "difficulty", only(run, "corpus-simple-*"), "--out", "scores", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = call("train", of_language(run, "regular")[1], "--size", "16x2", "--batch-size", 16, "--difficulty", "scores", "--out", "model", cwd=tmp_path)
    assert done.returncode == 2 and "does not know the document" in done.stderr and "\n" not in done.stderr.strip(), done.stderr


@pytest.mark.parametrize("order, said", [
    ('{ pace = "sqrt" }', "did you mean `pacing`?"), ('"sorted"', "order"), ('{ first = "regular", then = "simpel" }', "'simpel' is no language; did you mean simple?"),
    ('{ first = "regular" }', "name two languages"), ('{ interleave = ["regular", "simple"], share = 1.5 }', "share is 1.5"), ('{ first = "easy", then = "regular" }', "'easy' has an order of its own"),
])
def test_bad_orders_of_a_study_are_one_line(tmp_path, order, said):
    text = STUDY.read_text().replace("[tokenizer]", f"[languages.easy]\norder = {{}}\n[languages.wrong]\norder = {order}\n\n[tokenizer]", 1)
    (tmp_path/"study.toml").write_text(text)
    done = call("run", "study.toml", "--out", "never", cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr and "\n" not in done.stderr.strip(), done.stderr
    assert not (tmp_path/"never").exists()


def test_two_languages_need_enough_text_of_each(tmp_path):
    text = STUDY.read_text().replace("tokens = 20480", "tokens = 20_000_000")
    (tmp_path/"study.toml").write_text(text)
    done = call("run", "study.toml", "--out", "out", cwd=tmp_path)
    assert done.returncode == 2 and "has" in done.stderr and "its models read" in done.stderr, done.stderr
