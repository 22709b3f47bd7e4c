"""A corpus becomes models: tokenizer, blocks, training."""
