"""Training by the command line: two gloo processes train as one does, and a tracker gets what the CSV gets."""
import os
import socket
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from conftest import call


def test_two_processes_give_the_same_losses(tmp_path, blocks):
    arguments = ["train", str(blocks), "--size", "32x2", "--tokens", "65536", "--batch-size", "16", "--evaluate-every", "8", "--warmup-steps", "4"]
    one = call(*arguments, "--out", "one", cwd=tmp_path)
    assert one.returncode == 0, one.stderr
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = str(s.getsockname()[1])
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1",
              "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", port, "-m", "simplelm", *arguments, "--out", "two"]
    two = subprocess.run(launch, cwd=tmp_path, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300)
    assert two.returncode == 0, two.stderr[-3000:]
    a, b = (pd.read_csv(tmp_path/name/"metrics.csv") for name in ("one", "two"))
    assert a.step.tolist() == b.step.tolist() and len(a) >= 8
    # sums in another order differ in the last bits of float32; 1e-4 is the promise
    for column in ("train_loss", "validation_loss"): np.testing.assert_allclose(b[column], a[column], rtol=1e-4)


def test_a_tracker_gets_the_curve(tmp_path, blocks):
    pytest.importorskip("tensorboard", reason="needs the extra `tracking`")
    done = call("train", blocks, "--size", "32x2", "--tokens", 32768, "--batch-size", 16, "--evaluate-every", 8, "--tracker", "tensorboard",
                "--out", "model", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    log = EventAccumulator(str(next((tmp_path/"model-logs").rglob("events*")).parent))
    log.Reload()
    curve = pd.read_csv(tmp_path/"model"/"metrics.csv")
    assert [e.step for e in log.Scalars("validation_loss")] == curve.step.tolist()
    np.testing.assert_allclose([e.value for e in log.Scalars("validation_loss")], curve.validation_loss, rtol=1e-6) # float32 there
