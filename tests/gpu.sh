#!/usr/bin/env bash
# Everything of training that needs a GPU, in ten minutes on one: bash tests/gpu.sh (in an environment with the extra dev; flash-attn is tried if installed)
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else "tests/gpu.sh: no CUDA GPU here")'
python - "$work" <<'PY'
import sys
from simplelm.stories.dials import StoryWorldConfig
from simplelm.stories.story import write_stories
write_stories(f"{sys.argv[1]}/stories", StoryWorldConfig(documents=20_000))
PY
simplelm tokenize "$work/stories" --out "$work/t" --vocab-size 1024 --context 128
train() { # NAME OPTIONS: 200 steps
  local name=$1; shift
  echo "== $name (${SECONDS} s)"
  "${launcher[@]}" train "$work/t/blocks" --size 256x4 --batch-size 64 --micro-batch-size 32 --tokens 1638400 --evaluate-every 50 --evaluate-sequences 64 \
    --checkpoint-every 50 --tracker none --out "$work/$name" "$@"
}
launcher=(simplelm)
train auto
train float32 --precision float32
train bfloat16 --precision bfloat16
train checkpointing --precision float32 --gradient-checkpointing
train compiled --precision bfloat16 --compile
train masked --precision bfloat16 --mask-documents
flash=$(python -c 'from importlib.util import find_spec; print(find_spec("flash_attn") is not None)')
if [ "$flash" = True ]; then train flash --precision bfloat16 --attention flash_attention_2; fi
launcher=(accelerate launch --multi_gpu --num_processes "$(nvidia-smi -L | wc -l)" -m simplelm)
if [ "$(nvidia-smi -L | wc -l)" -gt 1 ]; then train ddp --precision float32; fi
launcher=(accelerate launch --use_fsdp --fsdp_version 2 --fsdp_auto_wrap_policy TRANSFORMER_BASED_WRAP --num_processes "$(nvidia-smi -L | wc -l)" -m simplelm)
train fsdp --precision float32
launcher=(simplelm)
echo "== SIGTERM, then on (${SECONDS} s)"
simplelm train "$work/t/blocks" --size 256x4 --batch-size 64 --tokens 1638400 --evaluate-every 50 --evaluate-sequences 64 --checkpoint-every 50 --tracker none \
  --precision float32 --out "$work/resumed" & job=$!
until ls "$work"/.resumed.partial/checkpoints/00000050* >/dev/null 2>&1 || ! kill -0 $job 2>/dev/null; do sleep 0.05; done
kill -TERM $job 2>/dev/null || true
code=0; wait $job || code=$?
[ $code -eq 143 ] || { echo "exit code $code instead of 143"; exit 1; }
train resumed --precision float32
python - "$work" <<'PY'
import sys, numpy as np, pandas as pd
curve = lambda name: pd.read_csv(f"{sys.argv[1]}/{name}/metrics.csv").validation_loss.to_numpy()
from pathlib import Path
for name, other, rtol in (("checkpointing", "float32", 1e-3), ("fsdp", "float32", 1e-3), ("ddp", "float32", 1e-3), ("resumed", "float32", 1e-3), # kernels add in changing order
                          ("bfloat16", "float32", 0.02), ("compiled", "bfloat16", 0.02), ("flash", "bfloat16", 0.02)):
    if (Path(sys.argv[1])/name).exists():
        np.testing.assert_allclose(curve(name), curve(other), rtol=rtol, err_msg=name)
        print(f"{name}: as {other}, apart by at most {np.abs(curve(name)/curve(other) - 1).max():.1e}")
PY
echo "all passed in $SECONDS s"
