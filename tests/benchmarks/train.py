"""Tokens a second of training against what people use, in one run on the same model sizes, blocks, batch and precision; the last line is one JSON object.

    SIMPLELM_DATA=... python tests/benchmarks/train.py                     # all three sizes, some ten minutes on two cores
    SIMPLELM_DATA=... python tests/benchmarks/train.py --sizes 64x4 --seconds 5
    SIMPLELM_DATA=... python tests/benchmarks/train.py --sizes 256x8 1024x8 --batch 256  # a GPU wants more at once

Where there is a GPU, all are trained on it. All take turns for `--rounds` rounds in one process, with the same threads and the same settings of the allocator, and the median
of each is told. A turn is as many steps of `--batch` sequences of 128 tokens as fit in `--seconds`, after steps that do not count. The contestants:

- `simplelm` and `compiled`: this package's step without and with its option `compile`; the better of the two is what the others are compared with.
- `trainer`: transformers' `Trainer` on `LlamaForCausalLM`.
- `accelerate`: the plain loop of accelerate's examples, which the paper's code has: the model's own loss, clipping, AdamW, a cosine schedule.
- `nanogpt`: nanoGPT's architecture (learned positions, LayerNorm, GELU, one table for input and output) and loop, by `torch.compile`; the same width, depth and vocabulary.

`of_matmul_peak` is the paper's count of FLOPs for our tokens a second, over the rate of a product of 2048 x 2048 matrices (8192 x 8192 on a GPU) in the same
precision, measured here too.
"""
import os

os.environ |= {"TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "false"}

import argparse
import json
import statistics
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn
from torch.nn import functional as F
from transformers import Trainer, TrainerCallback, TrainingArguments, get_cosine_schedule_with_warmup

from simplelm.internals.kernels import keep_memory
from simplelm.models.model import build_model, model_size, training_flops
from simplelm.models.tokenizer import TokenizerConfig, train_tokenizer
from simplelm.models.blocks import pack_blocks
from simplelm.models.plan import TrainingRun, TrainingConfig, usual_precision
from simplelm.models.steps import set_up, train_step

CONTEXT, VOCABULARY, RATE = 128, 15000, 1e-3


class Turns:
    """Runs steps for some seconds at a time and keeps each turn's tokens a second."""
    def __init__(self, step, batch): self.step, self.batch, self.rates = step, batch, []

    def take(self, seconds, counts=True):
        self.step()
        steps, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            self.step()
            steps += 1
        if counts: self.rates.append(steps*self.batch*CONTEXT/(time.perf_counter() - began))


def accelerator(mixed_precision):
    """A fresh one: accelerate allows one precision in a process."""
    AcceleratorState._reset_state()
    return Accelerator(mixed_precision=mixed_precision)


def ours(size, blocks, batch, precision, compile=False):
    """This package's own step."""
    run = TrainingRun(size, TrainingConfig(tokens=batch*CONTEXT*10**6, batch_size=batch, micro_batch_size=batch, learning_rate=RATE, precision=precision, compile=compile), blocks)
    setup = set_up(run, accelerator("no"))
    setup.whole.dtype = getattr(torch, precision)
    steps = iter(range(10**6))
    return lambda: train_step(run, next(steps), setup.module, setup.optimizer, setup.accelerator)


def batches(run, device):
    """The same blocks without end, as (inputs, targets)."""
    batch = run.config.batch_size
    while True:
        for first in range(0, len(run.train) - batch, batch):
            block = torch.from_numpy(run.train.take(range(first, first + batch))).to(device)
            yield block[:, :-1].contiguous(), block[:, 1:].contiguous()


def plain(size, run, precision):
    """Accelerate's plain loop."""
    here = accelerator("bf16" if precision == "bfloat16" else "no")
    model = build_model(size)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95), eps=1e-4, weight_decay=0.1)
    model, optimizer, schedule = here.prepare(model, optimizer, get_cosine_schedule_with_warmup(optimizer, 100, 10**6))
    data = batches(run, here.device)
    def step():
        inputs, _ = next(data)
        loss = model(input_ids=inputs, labels=inputs).loss
        here.backward(loss)
        here.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        loss.item() # written down each step, as in ours
    return step


class Steps(TrainerCallback):
    """Lets a `Trainer` go one turn at a time: it stops itself when the turn is over."""
    def __init__(self): self.seconds, self.began, self.steps = 0, None, 0
    def on_step_end(self, args, state, control, **more):
        if self.began is None: self.began, self.steps = time.perf_counter(), 0 # the first step does not count
        else: self.steps += 1
        control.should_training_stop = time.perf_counter() - self.began >= self.seconds


class TrainerTurns:
    """transformers' `Trainer`, called anew for each turn; what comes before its first step is not timed."""
    def __init__(self, size, run, precision, folder):
        self.clock, self.batch, self.rates = Steps(), run.config.batch_size, []
        blocks = [run.train[i][:-1] for i in range(min(len(run.train), 4096))]
        data = [dict(input_ids=torch.from_numpy(b), labels=torch.from_numpy(b)) for b in blocks]
        arguments = TrainingArguments(folder, per_device_train_batch_size=self.batch, max_steps=10**6, learning_rate=RATE, adam_beta2=0.95, adam_epsilon=1e-4, weight_decay=0.1,
                                      lr_scheduler_type="cosine", warmup_steps=100, use_cpu=not torch.cuda.is_available(), bf16=precision == "bfloat16", report_to=[], save_strategy="no",
                                      logging_strategy="no", disable_tqdm=True)
        self.trainer = Trainer(build_model(size), arguments, train_dataset=data, callbacks=[self.clock])

    def take(self, seconds, counts=True):
        self.clock.seconds, self.clock.began = seconds, None
        self.trainer.train() # it asks for the loss at its end, and so waits for a GPU
        if counts: self.rates.append(self.clock.steps*self.batch*CONTEXT/(time.perf_counter() - self.clock.began))


class GPTBlock(nn.Module):
    """A layer of nanoGPT: pre-norm attention and an MLP four times as wide, no biases."""
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = nn.LayerNorm(width, bias=False), nn.LayerNorm(width, bias=False)
        self.qkv, self.out = nn.Linear(width, 3*width, bias=False), nn.Linear(width, width, bias=False)
        self.up, self.down = nn.Linear(width, 4*width, bias=False), nn.Linear(4*width, width, bias=False)

    def forward(self, x):
        b, t, width = x.shape
        q, k, v = (part.view(b, t, self.heads, -1).transpose(1, 2) for part in self.qkv(self.norm_1(x)).split(width, 2))
        x = x + self.out(F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, t, width))
        return x + self.down(F.gelu(self.up(self.norm_2(x))))


class GPT(nn.Module):
    """nanoGPT's model, with its loss."""
    def __init__(self, size):
        super().__init__()
        self.tokens, self.places = nn.Embedding(size.vocab_size, size.hidden), nn.Embedding(size.context, size.hidden)
        self.blocks = nn.Sequential(*(GPTBlock(size.hidden, size.heads) for _ in range(size.layers)))
        self.norm = nn.LayerNorm(size.hidden, bias=False)
        for p in self.parameters():
            if p.ndim > 1: nn.init.normal_(p, std=0.02)

    def forward(self, inputs, targets):
        x = self.norm(self.blocks(self.tokens(inputs) + self.places(torch.arange(inputs.shape[1], device=inputs.device))))
        return F.cross_entropy((x @ self.tokens.weight.T).flatten(0, 1), targets.flatten())


def nanogpt(size, run, precision):
    """nanoGPT's loop."""
    device = accelerator("no").device
    model = torch.compile(GPT(size).to(device))
    groups = [dict(params=[p for p in model.parameters() if p.ndim > 1], weight_decay=0.1), dict(params=[p for p in model.parameters() if p.ndim < 2], weight_decay=0.0)]
    optimizer = torch.optim.AdamW(groups, lr=RATE, betas=(0.9, 0.95), fused=True)
    data = batches(run, device)
    def step():
        with torch.autocast(device.type, torch.bfloat16) if precision == "bfloat16" else nullcontext(): loss = model(*next(data))
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
    return step


def matmul_peak(precision, device, seconds=2):
    """FLOP/s of a large product of matrices, the best of many."""
    n, wait = (8192, torch.cuda.synchronize) if device.type == "cuda" else (2048, lambda: None)
    a, b = (torch.randn(n, n, dtype=getattr(torch, precision), device=device) for _ in range(2))
    best, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        wait()
        began = time.perf_counter()
        a @ b
        wait()
        best = max(best, 2*n**3/(time.perf_counter() - began))
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["64x4", "128x4", "256x8"])
    parser.add_argument("--batch", type=int, default=32, help="sequences of a step")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6, help="of a turn")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], help="by default bfloat16 where the device multiplies it")
    options = parser.parse_args()
    if not os.environ.get("SIMPLELM_DATA"): parser.error("set SIMPLELM_DATA: a vocabulary of 15,000 needs real text")
    keep_memory()
    device, batch, found = accelerator("no").device, options.batch, {}
    precision = options.precision or usual_precision(device)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        source = "corpora/reviews-00000-of-00004.jsonl.zst"
        train_tokenizer(source, folder/"tokenizer", TokenizerConfig(vocab_size=VOCABULARY))
        pack_blocks(source, folder/"tokenizer", folder/"blocks")
        print(f"{torch.cuda.get_device_name() if device.type == 'cuda' else f'{torch.get_num_threads()} threads'}, {precision}, torch {torch.__version__}", flush=True)
        for name in options.sizes:
            size = model_size(name, VOCABULARY, CONTEXT)
            run = TrainingRun(size, TrainingConfig(batch_size=batch), folder/"blocks")
            peers = dict(trainer=TrainerTurns(size, run, precision, folder/"trainer"), accelerate=Turns(plain(size, run, precision), batch),
                         nanogpt=Turns(nanogpt(size, run, precision), batch))
            turns = dict(simplelm=Turns(ours(size, folder/"blocks", batch, precision), batch), compiled=Turns(ours(size, folder/"blocks", batch, precision, compile=True), batch), **peers)
            for t in turns.values(): t.take(0, counts=False) # compiles, and fills the allocator
            for _ in range(options.rounds):
                for t in turns.values(): t.take(options.seconds)
            rates, peak = {who: statistics.median(t.rates) for who, t in turns.items()}, matmul_peak(precision, device)
            best = max(rates["simplelm"], rates["compiled"])
            reached = training_flops(size, best)/peak
            for who, rate in rates.items(): print(f"{name:<7}{who:<12}{rate:10,.0f} tokens/s   our better one is {best/rate:5.2f} times   ({', '.join(f'{r:,.0f}' for r in turns[who].rates)})")
            print(f"{name:<7}{'':<12}{reached:10.1%} of the {peak/1e9:,.0f} GFLOP/s of a matrix product", flush=True)
            found[name] = dict(tokens_per_s=round(best), over_best_peer=round(best/max(rates[who] for who in peers), 3), of_matmul_peak=round(reached, 3))
    print(json.dumps(found))


if __name__ == "__main__": main()
