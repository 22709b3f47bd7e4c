"""`SIMPLELM_KERNELS=0` computes the same without own kernels: texts and ids to the byte, losses and scores to a tolerance.

Every outcome is computed here with kernels, and by `python test_kernels_off.py FOLDER` in a process without them."""
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pyarrow as pa
import pytest
import torch
from numba.core.dispatcher import Dispatcher

from conftest import hashes
from simplelm import PackingConfig, SimplificationConfig, TokenizerConfig, child_vocabulary, corpus_texts, pack_blocks, train_tokenizer
from simplelm.internals import bytes as byte_kernels
from simplelm.internals import json_lines, kernels
from simplelm.models import blocks, encoding
from simplelm.models.loss import projection_loss
from simplelm.models.model import build_model, model_size
from simplelm.scoring import contamination
from simplelm.scoring.likelihood import Scorer
from simplelm.scoring.requests import Pair
from simplelm.stories.story import story
from simplelm.text import gain, simplification

ODD = "Don’t touch Zoë’s naïve 3rd cat! It's the dog's. ² ½ \u0301x 'tis O'Neill\u00ad's \U0001f600\n" * 9


def json_strings(folder):
    lines = [json.dumps(dict(text=f"A cat {i} \"sat\" \u00f6 \U0001f600\n", source="tales")) for i in range(50)]
    lines[7:7] = ["", "  \t", json.dumps(dict(text="no source")), '{"text": "a", "text": "b"}']
    (folder/"a.jsonl").write_text("\n".join(lines), encoding="utf-8")
    return list(corpus_texts([folder/"a.jsonl"]))


def texts():
    """Short stories, and a text of characters that need a look."""
    return pa.array([*(story(i).text for i in range(6)), ODD, "", None])


def passages(folder):
    configs = [SimplificationConfig(min_words=4, segmentation=s, split_apostrophes=a) for s in ("words", "paper") for a in (True, False)]
    return [simplification.simplify_array(texts(), child_vocabulary(), config).to_pylist() for config in configs]


def words(folder):
    return [simplification.count_array_words(texts(), segmentation).tolist() for segmentation in ("words", "paper")]


def gains(folder):
    counter = gain.GainCounter(child_vocabulary(), SimplificationConfig(min_words=4), max_words=1000, max_rows=10_000)
    counter.add(texts().drop_null())
    return counter.counts.tolist(), counter.kept, list(counter.missing.additions)


def phrases(folder):
    """Phrases of 8 words of every text, found in the texts in another order."""
    def choose(lengths):
        rows = np.flatnonzero(lengths > 20)
        return rows, np.arange(len(rows)) + 2, np.full(len(rows), 8)
    column = texts().drop_null()
    table = contamination.make_table(column.to_pylist(), choose)
    hits, count = table.find(column[::-1], np.full(len(table), contamination.NOWHERE))
    return hits.tolist(), count


def token_blocks(folder):
    (folder/"stories.jsonl").write_text("".join(json.dumps(dict(text=story(i).text)) + "\n" for i in range(40)))
    found = {}
    for style in ("lossless", "paper"):
        train_tokenizer(folder/"stories.jsonl", folder/style, TokenizerConfig(vocab_size=400, style=style))
        out = folder/f"blocks-{style}"
        pack_blocks(folder/"stories.jsonl", folder/style, out, PackingConfig(context=64, validation_fraction=0.1))
        found |= {(style, str(path)): data for path, data in hashes(out).items() if not str(path).endswith("manifest.json")}
    return found


def loss(folder):
    torch.manual_seed(0)
    hidden, weight, targets = torch.randn(60, 32), torch.randn(300, 32), torch.randint(300, (60,))
    return [x.numpy() for x in projection_loss(hidden, weight, targets)]


def scores(folder):
    """Log-likelihoods of pairs that share a beginning, by a model of random weights."""
    torch.manual_seed(0)
    model = build_model(model_size("32x2", vocab_size=400, context=64))
    with torch.no_grad():
        for p in model.parameters(): p.normal_(std=0.1)
    random = np.random.default_rng(0)
    def ids(n): return random.integers(1, 400, n).tolist()
    context = ids(12)
    pairs = [Pair(context + ids(5), 5) for _ in range(8)] + [Pair(ids(15), 9) for _ in range(8)]
    return [Scorer(model, batch_tokens=256).score_pieces(sorted(pairs))[0]]


EQUAL = {f.__name__: f for f in (json_strings, passages, words, gains, phrases, token_blocks)}
CLOSE = {f.__name__: f for f in (loss, scores)}


def compiled():
    """Kernels over bytes that are compiled functions."""
    modules = (byte_kernels, json_lines, simplification, gain, contamination, encoding, blocks)
    return {f"{module.__name__}.{name}" for module in modules for name, value in vars(module).items() if isinstance(value, Dispatcher)}


def refuse(*given): raise AssertionError("a kernel was called")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """What a process without kernels computes."""
    folder = tmp_path_factory.mktemp("plain")
    subprocess.run([sys.executable, __file__, folder], check=True, env=os.environ | {"SIMPLELM_KERNELS": "0"})
    return pickle.loads((folder/"outcomes").read_bytes())


@pytest.mark.parametrize("name", EQUAL)
def test_equal(name, plain, tmp_path):
    own = EQUAL[name](tmp_path)
    assert own and own == plain[name]


@pytest.mark.parametrize("name", CLOSE)
def test_close(name, plain, tmp_path):
    for own, other in zip(CLOSE[name](tmp_path), plain[name], strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-4, atol=1e-5)


def test_kernels_are_used(tmp_path):
    """By default, so that the tests above compare two ways."""
    assert {"simplelm.text.simplification.find_spans", "simplelm.text.gain.count_gains"} <= compiled()
    for compute in CLOSE.values():
        with patch.object(kernels, "on_threads", refuse), pytest.raises(AssertionError, match="a kernel was called"): compute(tmp_path)


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    assert not compiled(), compiled()
    with patch.object(kernels, "on_threads", refuse), patch.object(json_lines, "find_strings", refuse):
        outcomes = {name: compute(folder) for name, compute in (EQUAL | CLOSE).items()}
    (folder/"outcomes").write_bytes(pickle.dumps(outcomes))
