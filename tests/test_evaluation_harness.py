"""Scores are lm-evaluation-harness's: its own tasks, its own evaluator, the same model; every choice's log-likelihood, every item, every accuracy and standard error."""
import json
import os

import numpy as np
import pandas as pd
import pytest

lm_eval = pytest.importorskip("lm_eval", reason="scores are compared with those of lm-evaluation-harness, of the extra `harness`")
pytestmark = pytest.mark.skipif("SIMPLELM_DATA" not in os.environ, reason="set SIMPLELM_DATA to a folder with the benchmarks")

from simplelm.scoring.items import load_items
from simplelm.scoring.evaluation import EvaluationConfig, evaluate_model
from simplelm.scoring.harness import export_task

LIMITS = {"blimp_adjunct_island": 200, "blimp_passive_1": 200, "blimp_wh_island": 200, "hellaswag": 500, "piqa": 200, "arc_easy": 200, "rte": 100}


def harness_logs(lm, pairs):
    """The harness's log-likelihoods of some pairs."""
    from lm_eval.api.instance import Instance
    return [value for value, _ in lm.loglikelihood([Instance("loglikelihood", {}, p, 0, metadata=("t", 0, 1)) for p in pairs], disable_tqdm=True)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A small LLaMA whose weights are random but not small, with a tokenizer of some of the texts."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer, bpe.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    texts = [text for name in LIMITS for item in load_items(name, limit=100) for pair in item.pairs for text in pair]
    bpe.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=2000, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False))
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(vocab_size=2000, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=4, max_position_embeddings=512,
                                 initializer_range=0.2)).save_pretrained(folder)
    PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="</s>").save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def theirs(model, tmp_path_factory):
    """The harness's own results on our exported tasks."""
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager
    folder = tmp_path_factory.mktemp("tasks")
    titles = {name: path.stem for name, n in LIMITS.items() for path in export_task(name, folder, limit=n)}
    lm = HFLM(pretrained=str(model), dtype="float32", batch_size=32, device="cpu", prefix_token_id=0)
    found = lm_eval.simple_evaluate(lm, tasks=list(titles.values()), task_manager=TaskManager(include_path=str(folder), include_defaults=False), bootstrap_iters=0, log_samples=True)
    return {name: (found["results"][title], sorted(found["samples"][title], key=lambda s: s["doc_id"])) for name, title in titles.items()}


@pytest.fixture(scope="module")
def ours(model, tmp_path_factory):
    """Our results on the same items."""
    out = {}
    for name, n in LIMITS.items():
        folder = tmp_path_factory.mktemp("scores")/name
        evaluate_model(model, folder, EvaluationConfig((name,), ("standard",), limit=n, add_bos=False, pmi=False))
        out[name] = folder
    return out


@pytest.mark.parametrize("name", LIMITS)
def test_equal(name, ours, theirs):
    choices, items, scores = (pd.read_parquet(ours[name]/"choices.parquet"), pd.read_parquet(ours[name]/"items.parquet"), pd.read_csv(ours[name]/"scores.csv").iloc[0])
    results, samples = theirs[name]
    logs = [float(r[0][0] if isinstance(r[0], (list, tuple)) else r[0]) for s in samples for r in s["resps"]]
    assert len(logs) == len(choices) and len(samples) == LIMITS[name] == scores["items"]
    # float32 sums of some hundred terms near 10: rounding leaves some 1e-4
    np.testing.assert_allclose(choices.loglikelihood, logs, rtol=0, atol=1e-3)
    asked = load_items(name, limit=LIMITS[name])
    for norm, metric in (("", "acc"), ("_norm", "acc_norm")):
        if metric not in samples[0]: continue
        predicted = items[f"predicted{norm}"]
        first_of_equals = predicted == items.label # the harness's rule
        assert [bool(s[metric]) for s in samples] == first_of_equals.tolist()
        assert first_of_equals.mean() == pytest.approx(results[f"{metric},none"], abs=1e-12)
        # Ours differs from it where another choice is equal to the right one, as in one of these items of BLiMP.
        copies = [item.choices.count(item.choices[item.label]) for item in asked]
        chosen = [item.choices[p] == item.choices[item.label] for item, p in zip(asked, predicted)]
        assert items[f"correct{norm}"].tolist() == [right/k for right, k in zip(chosen, copies)]
        assert scores[f"accuracy{norm}"] == pytest.approx(items[f"correct{norm}"].mean(), abs=1e-12)


def test_items_longer_than_the_context(model, tmp_path):
    """A model that reads 64 tokens: cut where the harness cuts, and counted."""
    import shutil
    from lm_eval.models.huggingface import HFLM
    from simplelm.models.tokenizer import load_tokenizer
    short = shutil.copytree(model, tmp_path/"short")
    config = json.loads((short/"config.json").read_text())
    (short/"config.json").write_text(json.dumps(config | dict(max_position_embeddings=64)))
    made = evaluate_model(short, tmp_path/"scores", EvaluationConfig(("rte",), ("standard",), limit=60, add_bos=False, pmi=False))
    items, tokenizer = load_items("rte", limit=60), load_tokenizer(short)
    long = [any(len(tokenizer(c + t, add_special_tokens=False).input_ids) > 65 for c, t in i.pairs) for i in items]
    assert made.counts["cut_items"] == sum(long) > 10
    lm = HFLM(pretrained=str(short), dtype="float32", batch_size=32, device="cpu")
    np.testing.assert_allclose(pd.read_parquet(tmp_path/"scores"/"choices.parquet").loglikelihood, harness_logs(lm, [p for i in items for p in i.pairs]), rtol=0, atol=1e-3)


def test_mutual_information(model, tmp_path):
    """The harness's `acc_mutual_info` subtracts the log-likelihood of the choice after nothing."""
    from lm_eval.models.huggingface import HFLM
    evaluate_model(model, tmp_path/"scores", EvaluationConfig(("piqa",), ("standard",), limit=40, add_bos=False))
    lm = HFLM(pretrained=str(model), dtype="float32", batch_size=32, device="cpu", prefix_token_id=0)
    pairs = [("", choice) for item in load_items("piqa", limit=40) for _, choice in item.pairs]
    np.testing.assert_allclose(pd.read_parquet(tmp_path/"scores"/"choices.parquet").unconditional, harness_logs(lm, pairs), rtol=0, atol=1e-3)


@pytest.mark.parametrize("adds", [False, True])
def test_bos_follows_the_tokenizer(model, tmp_path, adds):
    """Whether a tokenizer puts BOS in front of texts by itself or not, both sides do what it does, and what stood there is recorded."""
    import shutil
    from lm_eval.models.huggingface import HFLM
    from tokenizers import Tokenizer, processors
    folder = shutil.copytree(model, tmp_path/"model")
    if adds:
        bpe = Tokenizer.from_file(str(folder/"tokenizer.json"))
        bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
        bpe.save(str(folder/"tokenizer.json"))
    made = evaluate_model(folder, tmp_path/"scores", EvaluationConfig(("piqa",), ("standard",), limit=30, pmi=False))
    assert made.counts["front"] == json.loads((tmp_path/"scores"/"provenance.json").read_text())["front"] == ["<s>"]*adds
    lm = HFLM(pretrained=str(folder), dtype="float32", batch_size=32, device="cpu")
    expected = harness_logs(lm, [p for i in load_items("piqa", limit=30) for p in i.pairs])
    np.testing.assert_allclose(pd.read_parquet(tmp_path/"scores"/"choices.parquet").loglikelihood, expected, rtol=0, atol=1e-3)
