"""The table's ids are the library's own, for any text, any tokenizer and any size of table; and blocks know their documents."""
import json

import numpy as np
import pyarrow as pa
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from simplelm.artifacts import InputError
from simplelm.models.tokenizer import TokenizerConfig, encode_texts, learn_bpe, train_tokenizer
from simplelm.models.encoding import FastEncoder
from simplelm.models.blocks import PackingConfig, open_blocks, pack_blocks

PIECES = [" ", "  ", "\n", "\r\n", "\t", "\v", "\f", "\x00", "\x1c", "\x1f", "\x7f", "\x85", "\u00a0", "\u1680", "\u200b", "\u2028", "\u2029", "\u3000",
          "\ufeff", "'", "'s", "'ll", "'re", "'S", "’s", "a", "I", "é", "e\u0301", "\u0301", "ß", "日本", "ا", "1", "42", "²", "½", "٣", "Ⅷ", "_", "-", "...",
          "🐶", "👩\u200d👧", "\U0010ffff", "</s>", "<s>", "[PAD]", "[UNK]", "x"*70, "é"*40, " "*70]
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=5), st.text(st.characters(max_codepoint=127), max_size=5))).map("".join)
CORPUS = ["the dog's tail wagged, and the dog didn't bark at 12 cats", "日本 café 🐶 ½ — the end.\n\n  The END", "I'll say we're fine"]


@pytest.fixture(scope="module", params=["lossless", "paper"])
def bpe(request): return learn_bpe(CORPUS, TokenizerConfig(vocab_size=330, style=request.param))


def ids_of(encoder, texts):
    ids, offsets = encoder.encode(pa.array(texts, pa.large_string()))
    return [ids[a:b].tolist() for a, b in zip(offsets, offsets[1:])]


@settings(max_examples=1000, deadline=None)
@given(st.lists(TEXTS, max_size=5), st.integers(1, 6), st.integers(1, 6))
def test_ids_are_the_librarys(bpe, texts, size, window):
    wanted = encode_texts(bpe, texts)
    assert ids_of(FastEncoder(bpe, size=64), texts) == wanted
    assert ids_of(FastEncoder(bpe, size, window), texts) == wanted


@settings(max_examples=500, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=3))
def test_round_trip(texts):
    bpe = learn_bpe(CORPUS, TokenizerConfig(vocab_size=330))
    for text, ids in zip(texts, ids_of(FastEncoder(bpe, size=64), texts)):
        assert bpe.decode(ids, skip_special_tokens=False) == text
        assert not set(ids) & set(range(5))


@pytest.mark.parametrize("style", ["lossless", "paper"])
def test_every_character(style):
    bpe = learn_bpe(CORPUS, TokenizerConfig(vocab_size=330, style=style))
    points = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and (c < 0x3400 or c % 97 == 0)]
    texts = [f"a{c} {c}{c}1{c} \n{c}'s" for c in points]
    assert ids_of(FastEncoder(bpe), texts) == encode_texts(bpe, texts)


def test_a_slice_of_a_column_and_nulls(bpe):
    column = pa.chunked_array([["unread"], ["the dog", None, "12 cats"]]).slice(1)
    ids, offsets = FastEncoder(bpe).encode(column)
    assert np.split(ids, offsets[1:-1])[2].tolist() == encode_texts(bpe, ["12 cats"])[0]
    assert offsets[1] == offsets[2]


@pytest.mark.parametrize("change", [dict(pre_tokenizer=None), dict(pre_tokenizer=dict(type="ByteLevel", add_prefix_space=True, trim_offsets=True, use_regex=True)),
                                    dict(normalizer=dict(type="Lowercase"))])
def test_other_tokenizers_are_left_to_the_library(bpe, change, caplog):
    other = tokenizers.Tokenizer.from_str(json.dumps(json.loads(bpe.to_str()) | change))
    with caplog.at_level("INFO", "simplelm"): encoder = FastEncoder(other)
    assert "encoded by the library" in caplog.text
    assert ids_of(encoder, CORPUS) == encode_texts(other, CORPUS)


def test_old_blocks_have_no_index(tmp_path):
    corpus = tmp_path/"corpus.jsonl"
    corpus.write_text("".join(json.dumps({"text": text * 20}) + "\n" for text in CORPUS * 10), encoding="utf-8")
    train_tokenizer(corpus, tmp_path/"tokenizer", TokenizerConfig(vocab_size=300))
    pack_blocks(corpus, tmp_path/"tokenizer", tmp_path/"blocks", PackingConfig(context=8, validation_fraction=0.2))
    assert open_blocks(tmp_path/"blocks").documents(0) == ["corpus:0"]
    for index in (tmp_path/"blocks").glob("*.parquet"): index.unlink()
    label = tmp_path/"blocks"/"manifest.json"
    label.write_text(json.dumps(json.loads(label.read_text()) | {"files": {}})) # manifests of then listed no files
    with pytest.raises(InputError, match="no index of documents"): open_blocks(tmp_path/"blocks").documents(0)


def test_a_sample_is_the_same_whatever_the_batches(tmp_path):
    for name in ("once", "again"):
        corpus = tmp_path/"corpus.jsonl"
        corpus.write_text("".join(json.dumps({"text": f"{text} {i}"}) + "\n" for i, text in enumerate(CORPUS * 30)), encoding="utf-8")
        counts = train_tokenizer(corpus, tmp_path/name, TokenizerConfig(vocab_size=300, sample_bytes=1500)).counts
        assert 0 < counts["learned_bytes"] <= 1500 < counts["text_bytes"]
    assert (tmp_path/"once"/"tokenizer.json").read_bytes() == (tmp_path/"again"/"tokenizer.json").read_bytes()
    with pytest.raises(InputError, match="sample_bytes=3"): train_tokenizer(corpus, tmp_path/"none", TokenizerConfig(vocab_size=300, sample_bytes=3))
