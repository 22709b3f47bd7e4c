"""How near `process_memory`, which `simplelm plan` prints, comes to the memory that training takes; the last line is one JSON object.

    python tests/benchmarks/memory.py                                                # widths 32 to 512, both precisions: hours on a core without bfloat16
    python tests/benchmarks/memory.py --sizes 32x2,64x4 --precisions float32         # a trial

Each size and precision is trained for two steps of two micro-batches of 32 sequences by `simplelm train`, in a process of its own, at the paper's
15,000 entries and context of 128: gradients and moments then exist while values are stored for the backward pass, and validation, a checkpoint and
the finished model are written. What counts is the most resident memory that the system saw it hold (Linux: VmHWM). The text is random words, since
memory does not depend on it.

- `worst`: the largest relative difference between prediction and measurement.
- `base_mb`: what the process holds before the first model is built: Python and the libraries.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

SIZES = [f"{hidden}x{layers}" for hidden in (32, 64, 128, 256, 512) for layers in (2, 4, 8)]
TAIL = "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
TRAIN = f"import sys; from simplelm.cli import main; main(sys.argv[1:]); {TAIL}"
BASE = ("import torch, numpy, accelerate, safetensors.torch; from accelerate import Accelerator; from transformers import LlamaForCausalLM; "
        f"import simplelm.models.training; Accelerator(mixed_precision='no'); {TAIL}")


def run(*arguments):
    """The last line that a Python process prints: its peak memory, MB."""
    done = subprocess.run([sys.executable, "-c", *map(str, arguments)], env=os.environ | {"TQDM_DISABLE": "1"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return int(done.stdout.split()[-1])*1024/1e6


def make_blocks(folder):
    """Blocks of random words, with a tokenizer of 15,000 entries."""
    from simplelm.models.tokenizer import TokenizerConfig, train_tokenizer
    from simplelm.models.blocks import PackingConfig, pack_blocks
    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(3, 9))) for _ in range(20_000)]
    with (folder/"words.jsonl").open("w") as f:
        for _ in range(1500): print(json.dumps(dict(text=" ".join(chance.choices(words, k=100)))), file=f)
    train_tokenizer(folder/"words.jsonl", folder/"tokenizer", TokenizerConfig(vocab_size=15_000))
    pack_blocks(folder/"words.jsonl", folder/"tokenizer", folder/"blocks", PackingConfig(validation_fraction=0.01))
    return folder/"blocks"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default=",".join(SIZES), help="width x layers, with commas")
    parser.add_argument("--precisions", default="float32,bfloat16")
    options = parser.parse_args()
    from simplelm.models.model import model_size, process_memory
    from simplelm.models.blocks import open_blocks
    with tempfile.TemporaryDirectory() as place:
        blocks, worst = make_blocks(Path(place)), 0
        entries = open_blocks(blocks).vocab_size
        base = run(BASE)
        print(f"{entries:,} entries; Python and libraries {base:,.0f} MB", flush=True)
        for precision in options.precisions.split(","):
            for size in options.sizes.split(","):
                measured = run(TRAIN, "train", blocks, "--size", size, "--tokens", 2*64*128, "--batch-size", 64, "--micro-batch-size", 32,
                               "--precision", precision, "--out", Path(place)/f"{size}-{precision}")
                predicted = process_memory(model_size(size, vocab_size=entries), 32, precision)/1e6
                worst = max(worst, abs(predicted/measured - 1))
                print(f"{size:>7} {precision:>9}: measured {measured:7,.0f} MB, predicted {predicted:7,.0f} MB, {predicted/measured - 1:+.1%}", flush=True)
    print(json.dumps(dict(worst=round(worst, 3), base_mb=round(base))))


if __name__ == "__main__": main()
