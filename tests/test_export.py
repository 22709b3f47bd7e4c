"""A model as a GGUF file: it reads back as the same model, and llama.cpp reads and writes the same tokens."""
import json
import random
import urllib.request

import pytest
import torch

from conftest import call
from simplelm.models.blocks import PackingConfig, open_blocks, pack_blocks
from simplelm.models.context import extend_context
from simplelm.models.export import export_gguf
from simplelm.models.model import model_size
from simplelm.models.plan import TrainingConfig
from simplelm.models.tokenizer import TokenizerConfig, load_tokenizer, train_tokenizer
from simplelm.models.training import train
from simplelm.scoring.gguf import convert_gguf
from simplelm.scoring.loading import load_model
from simplelm.stories.dials import StoryWorldConfig
from simplelm.stories.story import write_stories
from simplelm.text.corpus import corpus_texts

CONTEXT = 128
ODD = ["</s>", "<s>", "[PAD]", "can't", "It's", "WE'LL", " ", "  ", "\n", "\n\n", "\t", "1234567", "½", "é", "e\u0301", "ß", "日本語", "🙂", "\u00a0", "\u200b",
       "\u2028", "\x00", "\x1f", "...", "--", "a_b", "́", "x" * 40, "١٢", "ǅ", "٫", "\r\n", "’s"] # pieces at which rules for words differ


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A LLaMA that has read a little, and its files."""
    pytest.importorskip("gguf", reason="of the extra `gguf`")
    base = tmp_path_factory.mktemp("export")
    write_stories(base/"stories", StoryWorldConfig(documents=300))
    train_tokenizer(base/"stories", base/"tokenizer", TokenizerConfig(vocab_size=512))
    pack_blocks(base/"stories", base/"tokenizer", base/"blocks", PackingConfig(context=CONTEXT, validation_fraction=.05))
    shape = model_size("64x2", vocab_size=open_blocks(base/"blocks").vocab_size, context=CONTEXT)
    train(shape, base/"blocks", base/"model", TrainingConfig(tokens=40_000, batch_size=8, learning_rate=4e-3, warmup_tokens=0, precision="float32"))
    for precision in ("f32", "f16", "q8_0"): export_gguf(base/"model", base/f"{precision}.gguf", precision)
    return base


@pytest.fixture(scope="module")
def texts(world):
    """Stories, and pieces at which rules for words differ in random order."""
    draw = random.Random(0)
    stories = list(corpus_texts(world/"stories"))[:200]
    return stories + ["".join(draw.choices(ODD + ["Tom", " dog", "s"], k=draw.randint(1, 12))) for _ in range(300)]


def logits(folder, ids):
    model = load_model(folder)
    with torch.no_grad(): return model(torch.tensor([ids])).logits[0]


@pytest.mark.parametrize("make", [None, "longer", "tied", "grouped"])
def test_a_file_reads_back_as_the_same_model(world, texts, tmp_path, make):
    folder = tmp_path/"model"
    if make is None: folder = world/"model"
    elif make == "longer": extend_context(world/"model", folder, 4*CONTEXT)
    else:
        from transformers import LlamaConfig, LlamaForCausalLM
        changed = dict(tie_word_embeddings=True) if make == "tied" else dict(num_key_value_heads=2)
        LlamaForCausalLM(LlamaConfig.from_pretrained(world/"model", initializer_range=0.2, **changed)).save_pretrained(folder)
        load_tokenizer(world/"model").save_pretrained(folder)
    export_gguf(folder, tmp_path/"model.gguf", "f32")
    convert_gguf(tmp_path/"model.gguf", tmp_path/"back")
    ids = load_tokenizer(folder)(texts[0])["input_ids"][:CONTEXT]
    assert torch.equal(logits(folder, ids), logits(tmp_path/"back", ids))
    read, back = load_tokenizer(folder), load_tokenizer(tmp_path/"back")
    assert [back.encode(t, add_special_tokens=False) for t in texts[:200]] == [read.encode(t, add_special_tokens=False) for t in texts[:200]]


def test_a_chat_template_goes_into_the_file(world, tmp_path):
    import gguf
    model, template = tmp_path/"model", "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    model.mkdir()
    for path in (world/"model").iterdir(): (model/path.name).write_bytes(path.read_bytes())
    (model/"chat_template.jinja").write_text(template)
    export_gguf(model, tmp_path/"model.gguf")
    assert gguf.GGUFReader(tmp_path/"model.gguf").fields["tokenizer.chat_template"].contents() == template


def test_the_command_writes_a_file_or_says_in_one_line_why_not(world, tmp_path):
    done = call("export", world/"model", "--gguf", tmp_path/"model.gguf", "--precision", "q8_0")
    assert done.returncode == 0, done.stderr
    assert (tmp_path/"model.gguf").read_bytes() == (world/"q8_0.gguf").read_bytes()
    (tmp_path/"torn").mkdir()
    (tmp_path/"other").mkdir()
    (tmp_path/"other"/"config.json").write_text('{"model_type": "gpt2"}')
    for path in (world/"model").iterdir(): (tmp_path/"torn"/path.name).write_bytes(path.read_bytes()[:3000])
    refused = {world/"model": ("/proc/model.gguf", "/proc/model.gguf"), tmp_path/"torn": (tmp_path/"x.gguf", "copy it again"),
               world/"tokenizer": (tmp_path/"x.gguf", "holds no model"), tmp_path/"other": (tmp_path/"x.gguf", "model_type is 'gpt2'")}
    for model, (target, why) in refused.items():
        done = call("export", model, "--gguf", target)
        assert done.returncode == 2 and why in done.stderr and len(done.stderr.splitlines()) == 1, done.stderr
    assert not list(tmp_path.glob("*x.gguf*"))


class LlamaCpp:
    """llama.cpp with one file, on one thread, with all numbers between layers in 32 bits; it answers on the loopback interface only."""
    def __init__(self, path):
        import xllamacpp
        options = xllamacpp.CommonParams()
        options.model.path = str(path)
        options.n_ctx, options.n_parallel, options.n_gpu_layers, options.warmup, options.verbosity = CONTEXT, 1, 0, False, 0
        options.cpuparams.n_threads = 1
        options.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
        options.cache_type_k = options.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
        self.server = xllamacpp.Server(options)

    def ids(self, text):
        body = json.dumps(dict(content=text, add_special=True, parse_special=False)).encode()
        request = urllib.request.Request(f"{self.server.listening_address}/tokenize", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer: return json.load(answer)["tokens"]

    def continuation(self, ids, tokens, shown=1):
        """The log-probabilities of the likeliest tokens at each step of a greedy continuation, as {id: value}, likeliest first."""
        asked = dict(prompt=ids, n_predict=tokens, temperature=0, n_probs=shown, cache_prompt=False, ignore_eos=False)
        steps = self.server.handle_completions(asked)["choices"][0]["logprobs"]["content"]
        return [{top["id"]: top["logprob"] for top in step["top_logprobs"]} for step in steps]


def llama_cpp(path):
    pytest.importorskip("xllamacpp", reason="llama.cpp in a wheel, which no extra has")
    return LlamaCpp(path)


def test_llama_cpp_reads_the_same_tokens(world, texts):
    program, bpe = llama_cpp(world/"f32.gguf"), load_tokenizer(world/"model").backend_tokenizer
    bpe.encode_special_tokens = True # as text alone, which is how llama.cpp reads here
    assert len(texts) == 500
    for text in texts: assert program.ids(text) == bpe.encode(text).ids, repr(text)


def test_llama_cpp_continues_as_transformers_does(world, texts):
    program, model, tokenizer = llama_cpp(world/"f32.gguf"), load_model(world/"model"), load_tokenizer(world/"model")
    for text in texts[:10]:
        ids = tokenizer(text)["input_ids"][:20]
        steps = program.continuation(ids, 20)
        assert steps
        for found in steps:
            with torch.no_grad(): best = model(torch.tensor([ids])).logits[0, -1].topk(2)
            if best.values[0] - best.values[1] < .01: break
            assert [*found] == [int(best.indices[0])]
            ids = [*ids, int(best.indices[0])]


@pytest.mark.parametrize("precision, bound", [("f32", 1e-4), ("f16", .01), ("q8_0", .1)])
def test_llama_cpp_computes_the_same_probabilities(world, texts, precision, bound):
    program, model, tokenizer = llama_cpp(world/f"{precision}.gguf"), load_model(world/"model"), load_tokenizer(world/"model")
    largest = 0
    for text in texts[:40]:
        ids = tokenizer(text)["input_ids"][:60]
        found = program.continuation(ids, 1, shown=len(tokenizer))[0]
        with torch.no_grad(): expected = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
        assert len(found) == len(tokenizer)
        largest = max(largest, *(abs(value - float(expected[i])) for i, value in found.items()))
    assert largest < bound
