"""`SIMPLELM_KERNELS=0` computes the same without own kernels: text and ids to the byte, numbers to a tolerance. Each test also shows that the switch is obeyed."""
import json
from unittest.mock import patch

import numpy as np
import pytest
import torch
from conftest import hashes

from simplelm import PackingConfig, TokenizerConfig, corpus_texts, pack_blocks, train_tokenizer
from simplelm.internals import json_lines, kernels
from simplelm.models import encoding
from simplelm.models.loss import projection_loss
from simplelm.models.model import build_model, model_size
from simplelm.scoring import trees
from simplelm.scoring.likelihood import Scorer
from simplelm.scoring.requests import Pair


def both(monkeypatch, compute):
    """What something gives with kernels and without."""
    monkeypatch.delenv("SIMPLELM_KERNELS", raising=False)
    with_kernels = compute()
    monkeypatch.setenv("SIMPLELM_KERNELS", "0")
    return with_kernels, compute()


def refuse(*given): raise AssertionError("a kernel was called")


def test_json_lines(monkeypatch, tmp_path):
    lines = [json.dumps(dict(text=f"A cat {i} \"sat\" \u00f6 \U0001f600\n", source="tales")) for i in range(50)]
    lines[7:7] = ["", "  \t", json.dumps(dict(text="no source")), '{"text": "a", "text": "b"}']
    path = tmp_path/"a.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    own, plain = both(monkeypatch, lambda: list(corpus_texts([path])))
    assert own == plain and len(plain) == 52
    with patch.object(json_lines, "find_strings", refuse):
        assert list(corpus_texts([path])) == own
        monkeypatch.delenv("SIMPLELM_KERNELS")
        with pytest.raises(AssertionError, match="a kernel was called"): list(corpus_texts([path]))


@pytest.mark.parametrize("style", ["lossless", "paper"])
def test_tokens_and_blocks(monkeypatch, tmp_path, stories, style):
    train_tokenizer(stories, tmp_path/"tokenizer", TokenizerConfig(vocab_size=500, style=style))
    def make(name): pack_blocks(stories, tmp_path/"tokenizer", tmp_path/name, PackingConfig(context=64, validation_fraction=0.1))
    monkeypatch.delenv("SIMPLELM_KERNELS", raising=False)
    make("own")
    monkeypatch.setenv("SIMPLELM_KERNELS", "0")
    with patch.object(encoding, "number_words", refuse): make("plain")
    def data(name): return {path: found for path, found in hashes(tmp_path/name).items() if not str(path).endswith("manifest.json")}
    assert data("own") == data("plain") and len(data("own")) > 1


def test_loss_and_gradients(monkeypatch):
    torch.manual_seed(0)
    hidden, weight, targets = torch.randn(60, 32), torch.randn(300, 32), torch.randint(300, (60,))
    own, plain = both(monkeypatch, lambda: projection_loss(hidden, weight, targets, gradients=True))
    for a, b in zip(own, plain): torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
    with patch.object(kernels, "on_threads", refuse): projection_loss(hidden, weight, targets, gradients=True)


def score(model, pairs):
    """Log-likelihoods by a scorer that has read nothing yet."""
    return Scorer(model, batch_tokens=256).score_pieces(sorted(pairs))[0]


def test_scores(monkeypatch):
    torch.manual_seed(0)
    model = build_model(model_size("32x2", vocab_size=400, context=64))
    with torch.no_grad():
        for p in model.parameters(): p.normal_(std=0.1)
    random = np.random.default_rng(0)
    def ids(n): return random.integers(1, 400, n).tolist()
    context = ids(12)
    pieces = [Pair(context + ids(5), 5) for _ in range(8)] + [Pair(ids(15), 9) for _ in range(8)]
    own, plain = both(monkeypatch, lambda: score(model, pieces))
    assert own.shape == (16,)
    np.testing.assert_allclose(own, plain, rtol=1e-4)
    with patch.object(kernels, "on_threads", refuse), patch.object(trees, "tree_attention", refuse): score(model, pieces)
