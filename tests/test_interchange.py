"""What other tools read: tokenizers, configurations and foreign tokenizers through packing and training."""
import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import tokenizers
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from conftest import write_jsonl
from simplelm.models.context import extend_context
from simplelm.scoring.generation import generate_text
from simplelm.scoring.loading import load_model
from simplelm.models.model import model_size
from simplelm.models.tokenizer import TokenizerConfig, load_tokenizer, train_tokenizer
from simplelm.models.blocks import PackingConfig, open_blocks, pack_blocks
from simplelm.models.plan import TrainingConfig
from simplelm.models.training import train

TEXTS = [f"The dog {verb} a {thing} number {i}." for i in range(60) for verb in ("saw", "ate") for thing in ("cat", "bun")] + ["It wrote </s> and <|endoftext|> here."]
QUICK = TrainingConfig(tokens=64*64, batch_size=8, learning_rate=1e-2, precision="float32")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return write_jsonl(tmp_path_factory.mktemp("corpus")/"a.jsonl", TEXTS)


@pytest.fixture(scope="module")
def ours(tmp_path_factory, corpus):
    """A tokenizer and a model of this package, and the model extended."""
    folder = tmp_path_factory.mktemp("ours")
    train_tokenizer(corpus, folder/"tokenizer", TokenizerConfig(vocab_size=300))
    pack_blocks(corpus, folder/"tokenizer", folder/"blocks", PackingConfig(context=32, validation_fraction=0.1))
    train(model_size("32x2", open_blocks(folder/"blocks").vocab_size, 32), folder/"blocks", folder/"model", QUICK)
    extend_context(folder/"model", folder/"longer", 128)
    return folder


def test_plain_transformers_opens_a_text_as_training_did(ours):
    plain = AutoTokenizer.from_pretrained(ours/"model")
    assert plain("The dog").input_ids[0] == plain.bos_token_id == 3
    assert set(plain("The dog")) == {"input_ids", "attention_mask"}
    assert plain("The dog</s>").input_ids[-1] == plain.eos_token_id == 4
    assert plain.decode(plain("The dog saw.").input_ids, skip_special_tokens=True) == "The dog saw."
    batch = plain(["The dog", "The dog saw a cat."], padding=True)
    assert batch.input_ids[0][0] == plain.pad_token_id and batch.attention_mask[0][0] == 0
    assert (plain.model_max_length, AutoTokenizer.from_pretrained(ours/"longer").model_max_length) == (32, 128)
    for folder in ("tokenizer", "blocks", "model", "longer"):
        assert "split_special_tokens" not in (ours/folder/"tokenizer_config.json").read_text()


def test_markers_in_a_corpus_stay_text(ours):
    blocks = open_blocks(ours/"blocks")
    rows = json.loads((ours/"blocks"/"manifest.json").read_text())["counts"]
    ids = np.concatenate([np.fromfile(p, np.uint16) for p in sorted((ours/"blocks").rglob("*.bin"))])
    assert (ids == 3).sum() == (ids == 4).sum() == rows["train"]["rows"] + rows["validation"]["rows"] == len(TEXTS)
    assert blocks.vocab_size == 300


def test_generation_pipeline_of_transformers(ours):
    model, plain = AutoModelForCausalLM.from_pretrained(ours/"model"), AutoTokenizer.from_pretrained(ours/"model")
    ids = plain("The dog", return_tensors="pt")
    out = model.generate(**ids, max_new_tokens=5, do_sample=False)
    theirs = plain.decode(out[0][ids.input_ids.shape[1]:], skip_special_tokens=True)
    assert theirs == generate_text(load_model(ours/"model"), load_tokenizer(ours/"model"), "The dog", max_tokens=5, temperature=0)


def foreign(folder, marks, split_file=False):
    """A byte-level tokenizer whose special tokens have these names, named in one of the two files."""
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    special = sorted(set(marks.values()))
    bpe.train_from_iterator(TEXTS, tokenizers.trainers.BpeTrainer(vocab_size=290, show_progress=False, initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet()))
    bpe.add_special_tokens(special)
    folder.mkdir()
    bpe.save(str(folder/"tokenizer.json"))
    config = dict(tokenizer_class="PreTrainedTokenizerFast")
    if split_file: (folder/"special_tokens_map.json").write_text(json.dumps({k: dict(content=v) for k, v in marks.items()}))
    else: config |= marks
    (folder/"tokenizer_config.json").write_text(json.dumps(config))
    return bpe, {name: bpe.token_to_id(token) for name, token in marks.items()}


CASES = {
    "one_marker": dict(bos_token="<|endoftext|>", eos_token="<|endoftext|>"),
    "two_markers": dict(bos_token="<bos>", eos_token="<eos>"),
    "only_end": dict(eos_token="<eos>"),
    "only_start": dict(bos_token="<bos>"),
}


@pytest.mark.parametrize("split_file", [False, True], ids=["config", "map"])
@pytest.mark.parametrize("case", CASES)
def test_foreign_tokenizers(tmp_path, corpus, case, split_file):
    bpe, ids = foreign(tmp_path/"tokenizer", CASES[case], split_file)
    pack_blocks(corpus, tmp_path/"tokenizer", tmp_path/"blocks", PackingConfig(context=32, validation_fraction=0.1))
    counts = json.loads((tmp_path/"blocks"/"manifest.json").read_text())["counts"]
    packed = np.concatenate([np.fromfile(p, np.uint16) for p in sorted((tmp_path/"blocks").rglob("*.bin"))])
    for mark in set(ids.values()): assert (packed == mark).sum() == len(TEXTS), "each document has each marker once"
    assert counts["train"]["marks"] + counts["validation"]["marks"] == len(set(ids.values()))*len(TEXTS)
    bpe.encode_special_tokens = True
    plain_tokens = sum(len(e.ids) for e in bpe.encode_batch(TEXTS, add_special_tokens=False))
    assert len(packed) == plain_tokens + len(set(ids.values()))*len(TEXTS), "nothing of a text became a marker"
    shape = model_size("32x2", open_blocks(tmp_path/"blocks").vocab_size, 32)
    train(shape, tmp_path/"blocks", tmp_path/"model", QUICK)
    model, tokenizer = load_model(tmp_path/"model"), load_tokenizer(tmp_path/"model")
    assert (model.config.bos_token_id, model.config.eos_token_id) == (ids.get("bos_token"), ids.get("eos_token"))
    assert model.config.pad_token_id is None and not (model.get_input_embeddings().weight == 0).all(1).any(), "every row is trained"
    assert isinstance(generate_text(model, tokenizer, "The dog", max_tokens=5, temperature=0), str)


def test_hidden_documents_need_a_start(tmp_path, corpus):
    from simplelm.artifacts import InputError
    foreign(tmp_path/"tokenizer", CASES["only_end"])
    pack_blocks(corpus, tmp_path/"tokenizer", tmp_path/"blocks", PackingConfig(context=32, validation_fraction=0.1))
    shape = model_size("32x2", open_blocks(tmp_path/"blocks").vocab_size, 32)
    with pytest.raises(InputError, match="no token that opens a document"):
        train(shape, tmp_path/"blocks", tmp_path/"model", replace(QUICK, mask_documents=True))


def test_a_folder_with_code_is_not_run(tmp_path):
    foreign(tmp_path/"tokenizer", CASES["two_markers"])
    (tmp_path/"tokenizer"/"evil.py").write_text("raise SystemExit('ran')")
    path = tmp_path/"tokenizer"/"tokenizer_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": {"AutoTokenizer": [None, "evil.Tokenizer"]}}))
    try: load_tokenizer(tmp_path/"tokenizer")
    except ValueError as e: assert "ran" not in str(e).split()


OLDER = """
import sys, torch, transformers
assert transformers.__version__.startswith("4.57"), transformers.__version__
model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1])
torch.save(model(torch.load(sys.argv[2])).logits, sys.argv[3])
"""


@pytest.mark.slow
def test_transformers_4_computes_the_same(ours, tmp_path):
    wanted = ["transformers==4.57.3", "huggingface_hub==0.36.0", "tokenizers==0.22.1"]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(tmp_path/"older"), *wanted], check=True)
    torch.save(torch.arange(5, 35)[None], tmp_path/"ids.pt")
    for name in ("model", "longer"):
        command = [sys.executable, "-c", OLDER, str(ours/name), str(tmp_path/"ids.pt"), str(tmp_path/f"{name}.pt")]
        done = subprocess.run(command, env=os.environ | {"PYTHONPATH": str(tmp_path/"older")}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        mine = AutoModelForCausalLM.from_pretrained(ours/name)(torch.load(tmp_path/"ids.pt")).logits
        torch.testing.assert_close(torch.load(tmp_path/f"{name}.pt"), mine, rtol=1e-5, atol=1e-5)
