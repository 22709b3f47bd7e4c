"""The kernels of `simplelm.internals.kernels` against what PyTorch has, in turns in one process; the last line is one JSON object. A minute on two cores.

    python tests/benchmarks/processor.py  # not kernels.py: transformers would take it for the package of that name

Each figure is the fastest of `--rounds` turns, of 4,096 positions with 15,000 logits each, or of 4,096 tokens of attention:

- `logprobs`: the target and `torch.logsumexp` of logits in 32 bits, 64 positions at a time, over ours, 500 entries at a time.
- `norm`: PyTorch's over ours, 16 times at width 256.
- `loss`: `projection_loss` with gradients at width 64 in bfloat16, made of PyTorch's softmax, over ours.
- `attention`: rotation and PyTorch's attention with a mask over ours, for rows of 64 columns whose tokens have up to eight ancestors, at width 256.
"""
import argparse
import json
import time

import torch

from simplelm.internals.kernels import keep_memory, rms_norm, target_logprobs, tree_attention

V, N = 15000, 4096


def fastest(rounds, **contestants):
    """Seconds of the fastest turn of each; they take turns."""
    best = dict.fromkeys(contestants, float("inf"))
    for turn in range(rounds + 1): # the first does not count
        for name, run in contestants.items():
            began = time.perf_counter()
            run()
            if turn: best[name] = min(best[name], time.perf_counter() - began)
    return best


def tell(name, best, result):
    """Print the times, and keep the ratio of the first to the second."""
    (theirs, a), (ours, b) = best.items()
    result[name] = round(a/b, 2)
    print(f"{name:24} {theirs} {a*1e3:8.2f} ms, {ours} {b*1e3:8.2f} ms: {a/b:.2f} times", flush=True)


def softmax_loss(hidden, weight, targets, chunk=512):
    """The loss and its slopes by PyTorch's softmax."""
    total, by_hidden, by_weight = 0, torch.empty_like(hidden), torch.zeros_like(weight, dtype=torch.float32)
    for i in range(0, len(targets), chunk):
        h, t = hidden[i:i+chunk], targets[i:i+chunk, None]
        chance = torch.softmax(h @ weight.T, 1)
        total -= chance.gather(1, t).float().log().sum()
        torch.mm(chance, weight, out=by_hidden[i:i+chunk])
        by_weight += chance.T @ h
    by_hidden -= weight[targets]
    return total, by_hidden, by_weight.index_put_((targets,), -hidden.float(), accumulate=True)


def masked_attention(asked, positions, mask, cos, sin):
    """Rotation and PyTorch's attention."""
    q, k, v = (x.transpose(1, 2) for x in asked.chunk(3, 2))
    c, s = cos[positions][:, None], sin[positions][:, None]
    def turned(x):
        a, b = x.chunk(2, -1)
        return torch.cat([a*c - b*s, b*c + a*s], -1).to(asked.dtype)
    return torch.nn.functional.scaled_dot_product_attention(turned(q), turned(k), v, mask).transpose(1, 2).contiguous()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds, result = parser.parse_args().rounds, {}
    keep_memory()
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
    from simplelm.models.loss import projection_loss
    for dtype in (torch.float32, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        logits, row, target = (torch.randn(64, V)*3).to(dtype), torch.arange(N), torch.randint(V, (N,))
        part = (torch.randn(N, 500)*3).to(dtype)
        def rows():
            for i in range(0, N, 64): logits[row[:64], target[i:i+64]].float() - logits.float().logsumexp(1)
        tell(f"logprobs_{name}", fastest(rounds, torch=rows, simplelm=lambda: target_logprobs([part]*(V//500), row, target)), result)
        states = torch.randn(16, N, 256).to(dtype)
        tell(f"norm_{name}", fastest(rounds, torch=lambda: [torch.nn.functional.rms_norm(x, (256,), eps=1e-5) for x in states], simplelm=lambda: [rms_norm(x, 1e-5) for x in states]), result)
    hidden, weight, targets = torch.randn(N, 64).bfloat16(), (torch.randn(V, 64)*0.1).bfloat16(), torch.randint(V, (N,))
    tell("loss_bfloat16", fastest(rounds, torch=lambda: softmax_loss(hidden, weight, targets), simplelm=lambda: projection_loss(hidden, weight, targets)), result)
    positions, column = torch.arange(64).remainder(8).repeat(64, 1), torch.arange(64)
    mask = torch.where((column[:, None]//8 == column//8) & (column <= column[:, None]), 0.0, -torch.inf)
    angles = torch.arange(8)[:, None]*10000**-(torch.arange(16)/16)
    with torch.inference_mode():
        for dtype in (torch.float32, torch.bfloat16):
            asked, name = torch.randn(64, 64, 24, 32).to(dtype), str(dtype).removeprefix("torch.")
            tell(f"attention_{name}", fastest(rounds, torch=lambda: masked_attention(asked, positions, mask.to(dtype), angles.cos(), angles.sin()),
                                              simplelm=lambda: tree_attention(asked.flatten(0, 1), positions.flatten(), torch.arange(65)*64, angles.cos(), angles.sin(), 8, 32**-0.5)), result)
    print(json.dumps(result))


if __name__ == "__main__": main()
