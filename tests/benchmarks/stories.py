"""How fast stories are told, and whether any two of many are alike. By hand:

    python tests/benchmarks/stories.py                     # speed of the default mixture and of its ends
    python tests/benchmarks/stories.py --distinct 1000000  # and a million stories, of which none may be another

The last line is a JSON object: MB_per_s of each kind on one core, documents, distinct.
"""
import argparse
import hashlib
import json
import time

from simplelm.stories.dials import StoryWorldConfig
from simplelm.stories.story import story

KINDS = {"default": StoryWorldConfig(), "child": StoryWorldConfig(lexicon=1500, depth=1, sentence_length=6), "rich": StoryWorldConfig(lexicon=20_000, depth=3, sentence_length=20)}


def rate(config, documents):
    """Megabytes a second of processor time; the tables of words are built before."""
    for i in range(100): story(i, 1, config)
    started, size = time.process_time(), 0
    for i in range(documents): size += len(story(i, 0, config).text)
    return size/1e6/(time.process_time() - started)


def distinct(documents):
    """How many different texts there are; 16 bytes of each are kept."""
    return len({hashlib.blake2b(story(i).text.encode(), digest_size=16).digest() for i in range(documents)})


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=3000, help="stories of each kind and turn")
    parser.add_argument("--distinct", type=int, default=20_000, help="stories that are compared with each other")
    args = parser.parse_args()
    rates = {name: max(rate(config, args.documents) for _ in range(3)) for name, config in KINDS.items()}
    for name, r in rates.items(): print(f"{name}: {r:.2f} MB/s")
    found = distinct(args.distinct)
    print(json.dumps({f"{name}_MB_per_s": round(r, 2) for name, r in rates.items()} | dict(documents=args.distinct, distinct=found)))
