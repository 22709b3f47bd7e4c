"""Whether `peak_rate`, the learning rate that is taken if none is named, is near the best one at several widths; the last line is one JSON object.

    python tests/benchmarks/rates.py                  # three widths, five rates each: some ten minutes on one core
    python tests/benchmarks/rates.py --out nbs/results/rates.csv

Each model is trained once on a million tokens of generated stories (batches of 32 sequences of 128 tokens, the default schedule) with the chosen rate times 1/4, 1/2, 1, 2
and 4, and the last validation loss of each is kept: nothing else differs, not even the order of the blocks.

- `worst_excess`: over the widths, how much the loss at the chosen rate exceeds the lowest of the five, in nats a token.
"""
import argparse
import json
import tempfile
from pathlib import Path

import pandas as pd

from simplelm.models.model import model_size
from simplelm.stories.dials import StoryWorldConfig
from simplelm.stories.story import write_stories
from simplelm.models.tokenizer import TokenizerConfig, train_tokenizer
from simplelm.models.blocks import PackingConfig, pack_blocks
from simplelm.models.schedule import peak_rate
from simplelm.models.plan import TrainingConfig
from simplelm.models.training import train


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", default=["32x2", "64x2", "128x2"])
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, help="CSV with all losses")
    options, rows = parser.parse_args(), []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        write_stories(folder/"stories", StoryWorldConfig(documents=12_000))
        train_tokenizer(folder/"stories", folder/"tokenizer", TokenizerConfig(vocab_size=1024))
        pack_blocks(folder/"stories", folder/"tokenizer", folder/"blocks", PackingConfig(validation_fraction=0.02))
        for name in options.sizes:
            size = model_size(name, 1024)
            for factor in (0.25, 0.5, 1, 2, 4):
                rate = factor*peak_rate(size.hidden, options.tokens//(32*128))
                config = TrainingConfig(tokens=options.tokens, batch_size=32, learning_rate=rate, evaluate_every=10**6, checkpoint_every=10**6, precision="float32")
                loss = train(size, folder/"blocks", folder/f"{name}-{factor}", config).counts["validation_loss"]
                rows.append(dict(size=name, hidden=size.hidden, factor=factor, learning_rate=rate, validation_loss=loss))
                print(f"{name:>7}  {factor:4g} times {rate:.2e}: {loss:.4f}", flush=True)
    table = pd.DataFrame(rows)
    if options.out: table.to_csv(options.out, index=False, lineterminator="\n", float_format="%.6g")
    best = table.groupby("size").validation_loss.min()
    print(json.dumps(dict(worst_excess=round(float((table[table.factor == 1].set_index("size").validation_loss - best).max()), 4))))


if __name__ == "__main__": main()
