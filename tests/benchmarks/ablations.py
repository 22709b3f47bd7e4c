"""What each own kernel brings to a whole command: `simplelm evaluate` of two small models, and `simplelm simplify` of real text.

    SIMPLELM_DATA=... python tests/benchmarks/ablations.py --prepare FOLDER           # two models and a vocabulary, once
    SIMPLELM_DATA=... python tests/benchmarks/ablations.py --in FOLDER --command 64   # one table; also 256, simplify

Every variant runs as a process of its own, from start to exit, and variants take turns for `--rounds` rounds. The table has the
fewest seconds of the processor, the fewest of the clock, and how many percent more of the processor's the variant took than all
kernels together. Models have random weights, which cost the same as learned ones."""
import argparse
import os
import resource
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path

ALL = "all kernels"
EVALUATE = {
    ALL: "",
    "trees by the model's own layers": """
        from simplelm.scoring import trees
        import torch
        lean = trees.llama_states
        # no longer the model's own states, so the model reads trees itself, by PyTorch's attention
        trees.llama_states = lambda *given: torch.zeros_like(lean(*given))""",
    "no pre-packed weights": """
        from simplelm.internals import kernels
        kernels._onednn_takes = lambda dtype: False""",
    "softmax of logits by PyTorch": """
        from unittest.mock import patch
        from simplelm.internals import kernels
        from simplelm.scoring import trees
        own = kernels.target_logprobs
        def plain(*given):
            with patch.object(kernels, "fits_kernels", lambda table: False): return own(*given)
        trees.target_logprobs = plain""",
    "norms by PyTorch": """
        import torch
        from simplelm.scoring import trees
        trees.rms_norm = lambda x, eps: torch.nn.functional.rms_norm(x, x.shape[-1:], eps=eps)""",
    "no kernels at all": """
        import os
        os.environ["SIMPLELM_KERNELS"] = "0" """,
}
SIMPLIFY = {
    ALL: "",
    "Python's json for every line": """
        from simplelm.internals import json_lines
        json_lines.KERNELS = False""",
}


def prepare(folder):
    """Two models with a tokenizer, and a vocabulary."""
    import torch

    from simplelm import StoryWorldConfig, TokenizerConfig, build_model, child_vocabulary, load_tokenizer, model_size, train_tokenizer, write_stories
    folder.mkdir(parents=True, exist_ok=True)
    write_stories(folder/"stories", StoryWorldConfig(documents=2000))
    train_tokenizer(folder/"stories", folder/"tokenizer", TokenizerConfig(vocab_size=2000))
    for size in ("64x4", "256x8"):
        model = build_model(model_size(size, vocab_size=15000, context=512))
        with torch.no_grad():
            for p in model.parameters():
                if p.ndim > 1: p.normal_(std=0.06, generator=torch.Generator().manual_seed(p.numel()))
        model.save_pretrained(folder/size)
        load_tokenizer(folder/"tokenizer").save_pretrained(folder/size)
    child_vocabulary().to_csv(folder/"child.csv")


def commands(folder, name):
    """The variants and the command line of one of the commands."""
    if name == "simplify":
        corpus = Path(os.environ["SIMPLELM_DATA"])/"corpora/regular.jsonl.zst"
        return SIMPLIFY, ["simplify", corpus, "--vocabulary", folder/"child.csv", "--out", folder/f"out-{name}"]
    size, limit = {"64": ("64x4", 40), "256": ("256x8", 15)}[name]
    return EVALUATE, ["evaluate", "--model", folder/size, "--tasks", "blimp,hellaswag", "--limit", limit, "--out", folder/f"out-{name}"]


def used():
    """Seconds of the processor that processes which have ended took."""
    times = resource.getrusage(resource.RUSAGE_CHILDREN)
    return times.ru_utime + times.ru_stime


def run(change, arguments):
    """Seconds of the processor and of the clock that one process takes."""
    out = arguments[-1]
    for path in (out, out.with_name(f".{out.name}.partial")): shutil.rmtree(path, ignore_errors=True)
    code = textwrap.dedent(change) + f"\nfrom simplelm.cli.commands import main\nmain({[str(a) for a in arguments]!r})"
    begin, before = time.perf_counter(), used()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ | {"TQDM_DISABLE": "1"})
    if done.returncode: raise SystemExit(done.stderr[-3000:])
    return used() - before, time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--prepare", type=Path)
    parser.add_argument("--in", dest="folder", type=Path)
    parser.add_argument("--command", default="64", choices=["64", "256", "simplify"])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.prepare: return prepare(given.prepare)
    variants, arguments = commands(given.folder, given.command)
    seconds = {name: [] for name in variants}
    for _ in range(given.rounds):
        for name, change in variants.items():
            seconds[name].append(run(change, arguments))
            print(f"  {name}: {seconds[name][-1][0]:.2f} of the processor, {seconds[name][-1][1]:.2f} of the clock", file=sys.stderr, flush=True)
    least = {name: [min(times) for times in zip(*pairs)] for name, pairs in seconds.items()}
    print(f"{given.command:34} processor   clock    more")
    for name, (processor, clock) in least.items():
        print(f"{name:34} {processor:7.2f} s {clock:7.2f} s {100*(processor/least[ALL][0] - 1):+5.0f}%")


if __name__ == "__main__": main()
