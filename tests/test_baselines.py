"""Baselines of a study, and answers after examples: a folder and a GGUF file of the same weights score the same, and are never a language."""
import json

import numpy as np
import pandas as pd
import pytest

from conftest import call

STUDY = """
description = "One model and three baselines"
[source.storyworld]
documents = 400
[languages.regular]
[models]
sizes = ["16x2"]
seeds = 1
[tokenizer]
vocab_size = 400
[packing]
context = 64
validation_fraction = 0.05
[training]
tokens = 2048
batch_size = 16
warmup_tokens = 0
evaluate_every = 2
[evaluation]
tasks = ["storyworld_cause", "storyworld_property"]
limit = 12
pmi = false
text_documents = 2
ngrams = [1]
[few_shot]
tasks = ["storyworld_cause"]
shots = 2
context = 256
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A LLaMA of random weights with a tokenizer of its own."""
    import torch
    from simplelm.models.model import build_model, model_size
    from simplelm.models.tokenizer import TokenizerConfig, load_tokenizer, train_tokenizer
    from simplelm.stories.dials import StoryWorldConfig
    from simplelm.stories.story import write_stories
    base = tmp_path_factory.mktemp("baseline")
    write_stories(base/"stories", StoryWorldConfig(documents=200))
    train_tokenizer([base/"stories"], base/"tokenizer", TokenizerConfig(vocab_size=512))
    tokenizer = load_tokenizer(base/"tokenizer")
    torch.manual_seed(0)
    model = build_model(model_size("32x2", vocab_size=len(tokenizer), context=128))
    for weight in model.parameters(): torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(base/"large")
    tokenizer.save_pretrained(base/"large")
    return base/"large"


NAMES = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k",
         "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}


def write_gguf(folder, path):
    """The weights of a LLaMA as a GGUF file, by the format's own writer; its rows of queries and keys alternate halves."""
    import gguf
    from safetensors.numpy import load_file
    config = json.loads((folder/"config.json").read_text())
    bpe = json.loads((folder/"tokenizer.json").read_text())["model"]
    tokens = sorted(bpe["vocab"], key=bpe["vocab"].get)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"] if "rope_parameters" in config else config["rope_theta"])
    writer.add_vocab_size(config["vocab_size"])
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types([1]*len(tokens))
    writer.add_token_merges([" ".join(pair) for pair in bpe["merges"]])
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    for name, weight in load_file(folder/"model.safetensors").items():
        if "q_proj" in name or "k_proj" in name:
            heads = config["num_attention_heads"]
            weight = weight.reshape(heads, 2, len(weight)//heads//2, -1).swapaxes(1, 2).reshape(weight.shape)
        name = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}.get(name, name)
        if name.startswith("model.layers."):
            _, _, layer, rest = name.split(".", 3)
            name = f"blk.{layer}.{NAMES[rest.removesuffix('.weight')]}.weight"
        writer.add_tensor(name, np.ascontiguousarray(weight, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def baseline(path, name): return f'[[baselines]]\nmodel = "{path}"\nname = "{name}"\n'


@pytest.fixture(scope="module")
def run(folder, tmp_path_factory):
    base = tmp_path_factory.mktemp("study")
    (base/"mine.toml").write_text(STUDY + baseline(folder, "large"))
    done = call("run", base/"mine.toml", "--out", base/"run", "--jobs", 1)
    assert done.returncode == 0, done.stderr
    return base/"run"


def test_a_folder_stands_beside_the_family(run):
    from transformers import AutoModelForCausalLM
    table = pd.read_parquet(run/"baselines.parquet")
    assert set(table.baseline) == {"unigram of regular", "large"} and table[table.baseline == "large"].of.eq("pretrained").all()
    model = AutoModelForCausalLM.from_pretrained(json.loads((run/"study.json").read_text())["baselines"][0]["model"])
    tables = model.get_input_embeddings().weight.numel() + model.get_output_embeddings().weight.numel()
    assert set(table[table.baseline == "large"].parameters) == {model.num_parameters()}
    assert set(table[table.baseline == "large"].non_embedding_parameters) == {model.num_parameters() - tables}
    assert set(pd.read_parquet(run/"outcomes.parquet").language) == {"regular"}
    assert "large" not in set(pd.read_csv(run/"comparisons.csv").language) | set(pd.read_csv(run/"means.csv").language)
    page = (run/"report.html").read_text(encoding="utf-8")
    assert "without embeddings" in page and ">large<" in page


def test_simple_items_stand_beside_standard_items_with_their_ease(run):
    """From packed outcomes by hand: mean over tasks of mean over items."""
    def mean(table, form, name=None):
        own = table[(table.form == form) & (table.group == "storyworld") & ((table.baseline == name) if name else True)]
        return np.mean([np.unpackbits(np.frombuffer(r.data, np.uint8), count=r.count).mean() for r in own.itertuples()])
    models, baselines = pd.read_parquet(run/"outcomes.parquet"), pd.read_parquet(run/"baselines.parquet")
    beside = pd.read_csv(run/"beside.csv")
    row = beside[(beside.group == "storyworld") & (beside.form == "simple")].iloc[0]
    simple, large = mean(models, "simple"), [mean(baselines, form, "large") for form in ("simple", "standard")]
    np.testing.assert_allclose([row.simple, row.standard, row.difference, row.ease], [simple, large[1], simple - large[1], large[0] - large[1]])


def test_examples_are_read_by_the_extended_model(run):
    model, = run.glob("extended-regular-*")
    config = json.loads((model/"config.json").read_text())
    assert config["max_position_embeddings"] == 256
    scores, = run.glob("fewshot-regular-*")
    asked = json.loads((scores/"manifest.json").read_text())
    assert asked["config"]["evaluation"]["shots"] == 2
    outcomes = pd.read_parquet(run/"outcomes.parquet")
    forms = outcomes[~outcomes.task.str.startswith("text_")].groupby("task").form.agg(set)
    assert forms["storyworld_cause"] == {"standard", "simple", "standard-2shot", "simple-2shot"}
    assert forms["storyworld_property"] == {"standard", "simple"}
    items = pd.read_parquet(scores/"items.parquet")
    packed = outcomes[outcomes.form == "simple-2shot"].iloc[0]
    wanted = items[items.form == "simple"].sort_values("item").correct.astype(float)
    np.testing.assert_array_equal(np.unpackbits(np.frombuffer(packed.data, np.uint8), count=packed["count"]), wanted)
    assert set(pd.read_csv(run/"scores.csv").form) == {"standard", "simple", "standard-2shot", "simple-2shot"}


def test_a_gguf_file_scores_as_the_folder_that_it_was_made_from(run, folder, tmp_path):
    pytest.importorskip("gguf", reason="of the extra `gguf`")
    write_gguf(folder, tmp_path/"small.gguf")
    (tmp_path/"mine.toml").write_text(STUDY + baseline(folder, "large") + baseline("small.gguf", "small"))
    done = call("run", "mine.toml", "--out", "run", "--jobs", 1, "--outcomes", run, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(tmp_path/"run"/"baselines.parquet").drop(columns="baseline")
    one, other = (table[pd.read_parquet(tmp_path/"run"/"baselines.parquet").baseline == name].reset_index(drop=True) for name in ("large", "small"))
    assert len(one) > 6
    texts = one.kind == "float32"
    pd.testing.assert_frame_equal(one[~texts], other[~texts])
    for a, b in zip(one.data[texts], other.data[texts]): np.testing.assert_allclose(np.frombuffer(a, "<f4"), np.frombuffer(b, "<f4"), rtol=1e-5)
    pd.testing.assert_frame_equal(one.drop(columns="data"), other.drop(columns="data"))


def refused(tmp_path, text, words):
    (tmp_path/"mine.toml").write_text(text)
    done = call("run", "mine.toml", "--out", "run", cwd=tmp_path)
    assert done.returncode == 2 and words in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert not (tmp_path/"run").exists()


@pytest.mark.parametrize("text, words", [
    (baseline("nowhere/at/all", "x"), "holds no model"), (baseline("page.gguf", "x"), "does not begin with GGUF"), (baseline("none.gguf", "x"), "none.gguf: cannot be read"),
    (baseline("pickled", "x"), "pickled: has no weights in safetensors")])
def test_baselines_that_cannot_be_scored_are_one_line(tmp_path, folder, text, words):
    (tmp_path/"page.gguf").write_text("<html>")
    pickled = tmp_path/"pickled"
    pickled.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"): (pickled/name).write_bytes((folder/name).read_bytes())
    refused(tmp_path, STUDY + text, words)


@pytest.mark.parametrize("old, new, words", [
    ("context = 256", "context = 64", "few_shot: context is 64; models are trained on 64 tokens"), ("shots = 2", "shots = 0", "few_shot: shots is 0"),
    ("limit = 12", "limit = 12\nshots = 1", "with a table [few_shot], leave it out"), ('["storyworld_cause"]\nshots', '["storyworld_clause"]\nshots', "storyworld_clause"),
    ("limit = 12", "limit = 12\ngroups = { mine = ['piqa'] }", "groups: mine: piqa is not among the tasks")])
def test_examples_and_groups_that_cannot_be_are_one_line(tmp_path, old, new, words):
    assert old in STUDY
    refused(tmp_path, STUDY.replace(old, new), words)


def test_a_folder_is_named_by_the_version_of_its_stage_and_the_threads(run, monkeypatch):
    """What was trained or scored by other code, or on another number of threads, is never taken for the same."""
    from dataclasses import replace
    from simplelm.studies import running
    from simplelm.studies.study import load_study
    study = running.settle_study(load_study(str(run.parent/"mine.toml")), run)
    ready = running.prepare(study, run)
    job = running.ModelJob(study, run, "regular", "16x2", 0, ready.blocks["regular"], ready.vocabulary, ready.texts)
    places = lambda job: running.model_places(job)[3]
    same = places(job)
    assert places(job) == same and same.model.exists()
    slower = places(replace(job, study=replace(study, training=replace(study.training, threads=2))))
    assert slower.model != same.model and slower.scores != same.scores
    monkeypatch.setattr(running, "SCORES_FORMAT", running.SCORES_FORMAT + 1)
    rescored = places(job)
    assert rescored.model == same.model and rescored.scores != same.scores
    monkeypatch.setattr(running, "TRAIN_FORMAT", running.TRAIN_FORMAT + 1)
    retrained = places(job)
    assert len({same.model, slower.model, retrained.model}) == 3 and retrained.reader != same.reader and retrained.few_shot != same.few_shot


def test_a_task_that_a_study_sets_apart_leaves_the_mean_of_its_group():
    """In the scores and in the outcomes that claims are judged on."""
    from simplelm.studies.running import _regroup
    from simplelm.studies.study import StudyEvaluation
    names = ("storyworld_agreement", "storyworld_cause", "storyworld_steps", "storyworld_color")
    rows = [dict(task=task, form="simple", items=10, metric="accuracy", accuracy=k/10, score=k/10) for k, task in enumerate(names)]
    rows.append(dict(task="storyworld", form="simple", items=40, metric="accuracy", accuracy=.15, score=.15)) # of all four
    apart = StudyEvaluation(tasks=names, groups={"hard": names[2:]})
    from simplelm.scoring.metrics import SCORE_COLUMNS
    table = _regroup(pd.DataFrame(rows).reindex(columns=SCORE_COLUMNS), apart.group_of).set_index("task")
    assert table.score[["storyworld", "hard"]].tolist() == pytest.approx([.05, .25])
    assert table["items"]["storyworld"] == 20 and len(table) == 6
