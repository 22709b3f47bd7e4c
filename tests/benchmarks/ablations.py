"""What each own kernel brings to a whole command: `simplelm evaluate` of two small models, and `simplelm simplify` of real text.

    SIMPLELM_DATA=... python tests/benchmarks/ablations.py --prepare FOLDER           # two models and a vocabulary, once
    SIMPLELM_DATA=... python tests/benchmarks/ablations.py --in FOLDER --command 64   # one table; also 256, simplify

Every variant runs the command in a process of its own, forked from one that has loaded the libraries, and variants take turns for
`--rounds` rounds. The table has the fewest seconds of the processor, the fewest of the clock, and how many percent more of the
processor's the variant took than all kernels together. Models have random weights, which cost the same as learned ones."""
import os

os.environ |= {"TQDM_DISABLE": "1", "GOMP_SPINCOUNT": "1000"} # read when the libraries are loaded

import argparse
import shutil
import time
from pathlib import Path

ALL = "all kernels"


def own_layers():
    """The model reads trees itself, by PyTorch's attention: what ours computes is taken for wrong, and so not used."""
    from simplelm.scoring import trees
    lean = trees.llama_states
    trees.llama_states = lambda *given: lean(*given)*0


def own_softmax():
    from unittest.mock import patch

    from simplelm.internals import kernels
    from simplelm.scoring import trees
    def plain(*given):
        with patch.object(kernels, "fits_kernels", lambda table: False): return kernels.target_logprobs(*given)
    trees.target_logprobs = plain


def own_norms():
    import torch
    from simplelm.scoring import trees
    trees.rms_norm = lambda x, eps: torch.nn.functional.rms_norm(x, x.shape[-1:], eps=eps)


def no_kernels(): os.environ["SIMPLELM_KERNELS"] = "0"


def python_json():
    from simplelm.internals import json_lines
    json_lines.KERNELS = False


EVALUATE = {ALL: lambda: None, "trees by the model's own layers": own_layers,
            "softmax of logits by PyTorch": own_softmax, "norms by PyTorch": own_norms, "no kernels at all": no_kernels}
SIMPLIFY = {ALL: lambda: None, "Python's json for every line": python_json}


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
    size, limit = {"64": ("64x4", 40), "256": ("256x8", 3)}[name]
    return EVALUATE, ["evaluate", "--model", folder/size, "--tasks", "blimp,hellaswag", "--limit", limit, "--out", folder/f"out-{name}"]


def load_libraries():
    """What every variant imports, once, before processes are forked."""
    import accelerate, altair, numba, pandas, pyarrow.parquet, scipy.stats, tokenizers, torch # noqa: F401, E401
    import transformers.models.llama.modeling_llama # noqa: F401


def run(change, arguments):
    """Seconds of the processor and of the clock that one process takes."""
    out = arguments[-1]
    for path in (out, out.with_name(f".{out.name}.partial")): shutil.rmtree(path, ignore_errors=True)
    begin, child = time.perf_counter(), os.fork()
    if not child:
        code = 1
        try:
            change()
            from simplelm.cli.commands import main as simplelm
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            simplelm([str(a) for a in arguments])
            code = 0
        except SystemExit as e: code = e.code or 0
        finally: os._exit(code)
    _, status, times = os.wait4(child, 0)
    if status: raise SystemExit(f"the command ended with {status}")
    return times.ru_utime + times.ru_stime, time.perf_counter() - begin


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--prepare", type=Path)
    parser.add_argument("--in", dest="folder", type=Path)
    parser.add_argument("--command", default="64", choices=["64", "256", "simplify"])
    parser.add_argument("--only", nargs="+", help="variants beside all kernels")
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    if given.prepare: return prepare(given.prepare)
    variants, arguments = commands(given.folder, given.command)
    if given.only: variants = {name: change for name, change in variants.items() if name in (ALL, *given.only)}
    load_libraries()
    seconds = {name: [] for name in variants}
    for _ in range(given.rounds):
        for name, change in variants.items():
            seconds[name].append(run(change, arguments))
            print("  {}: {:.2f} s of the processor, {:.2f} s of the clock".format(name, *seconds[name][-1]), flush=True)
    least = {name: [min(times) for times in zip(*pairs)] for name, pairs in seconds.items()}
    print(f"{given.command:34} processor   clock    more")
    for name, (processor, clock) in least.items():
        print(f"{name:34} {processor:7.2f} s {clock:7.2f} s {100*(processor/least[ALL][0] - 1):+5.0f}%")


if __name__ == "__main__": main()
