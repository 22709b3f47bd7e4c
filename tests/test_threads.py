"""Threads and precision are decided by a model's width and the device, stand in its identity, and change nothing else of the process."""
import json
import os
import subprocess
import sys
from unittest.mock import patch

import pytest
from conftest import ROOT, call, hashes, kill_when

from simplelm.artifacts import InputError

TRAIN = ("--batch-size", 8, "--tokens", 8192, "--evaluate-sequences", 8, "--tracker", "none")
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
two_cores = pytest.mark.skipif(CORES < 2, reason="needs two cores and a system that assigns them")


def python(program, **environment):
    """Run a program in a fresh process without the test's own choice of threads, and give what it printed."""
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    done = subprocess.run([sys.executable, "-c", program], env=env | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def model(tmp_path_factory, blocks):
    """A model that was trained without a word about threads or precision."""
    out = tmp_path_factory.mktemp("threads")/"model"
    done = call("train", blocks, "--size", "32x2", *TRAIN, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


def test_choices_stand_in_the_manifest(model):
    chosen = json.loads((model/"manifest.json").read_text())["config"]["training"]
    assert chosen["threads"] == 1 and chosen["precision"] in ("float32", "bfloat16")


def test_other_threads_or_precision_are_refused(model, blocks):
    made = json.loads((model/"manifest.json").read_text())["config"]["training"]
    other = "float32" if made["precision"] == "bfloat16" else "bfloat16"
    for option, value in (("threads", 2), ("precision", other)):
        done = call("train", blocks, "--size", "32x2", *TRAIN, f"--{option}", value, "--out", model)
        assert done.returncode == 2 and f"--{option} {made[option]}" in done.stderr.splitlines()[-1]
    assert call("train", blocks, "--size", "32x2", *TRAIN, "--threads", 1, "--out", model).returncode == 0 # said aloud, it is the same model


def test_unfinished_training_continues_with_its_threads(tmp_path, blocks):
    arguments = ("train", blocks, "--size", "32x2", *TRAIN, "--tokens", 131072, "--checkpoint-every", 5, "--out", tmp_path/"model")
    begun = tmp_path/".model.partial"/"checkpoints"
    kill_when(lambda: len(list(begun.glob("*.safetensors"))) > 1, *arguments, cwd=tmp_path)
    kept = hashes(begun)
    done = call(*arguments, "--threads", 2)
    assert done.returncode == 2 and "--threads 1" in done.stderr.splitlines()[-1] and hashes(begun) == kept
    assert call(*arguments).returncode == 0


@two_cores
def test_bits_do_not_depend_on_cores(tmp_path, blocks):
    program = ("import os; os.sched_setaffinity(0, {cores})\n"
               "from simplelm.cli import main\n"
               "for threads in ('1', '2'):\n"
               "    main(['train', '{blocks}', '--size', '64x2', *'{options}'.split(), '--threads', threads, '--out', '{out}/' + threads])")
    cores = sorted(os.sched_getaffinity(0))
    for name, some in (("one", cores[:1]), ("all", cores)):
        (tmp_path/name).mkdir()
        python(program.format(cores=set(some), blocks=blocks, options=" ".join(map(str, TRAIN)), out=tmp_path/name))
    assert hashes(tmp_path/"one") == hashes(tmp_path/"all")
    assert hashes(tmp_path/"one"/"1") != hashes(tmp_path/"one"/"2"), "the manifest holds the threads"


@two_cores
def test_usable_cores_are_those_assigned():
    program = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); from simplelm.internals.threads import *; print(usable_cores(), choose_threads(1024))"
    assert python(program).stdout.split() == ["1", "1"]


def test_wide_models_get_more_threads_where_there_are_cores():
    from simplelm.internals.threads import choose_threads
    assert [choose_threads(width, 16) for width in (16, 128, 256, 1024)] == [1, 1, 8, 16]
    assert [choose_threads(width, 1) for width in (16, 1024)] == [1, 1]


def waiting(program, **environment):
    """What OpenMP itself says of how its threads wait, when it is loaded after a program's first lines."""
    said = python(f"{program}\nimport torch\ntorch.get_num_threads()", OMP_DISPLAY_ENV="verbose", **environment).stderr
    if "GOMP_SPINCOUNT" not in said: pytest.skip("PyTorch brings another OpenMP library than GNU's")
    return said.split("GOMP_SPINCOUNT = '")[1].split("'")[0]


def test_command_sets_how_threads_wait():
    from simplelm.internals.threads import SPINS
    command = "from simplelm.cli import main; main(['version'])"
    assert waiting(command) == str(SPINS)
    assert waiting(command, GOMP_SPINCOUNT="77") == "77"
    assert waiting("import simplelm.cli, simplelm.models.training") not in (str(SPINS), "77") # a library call leaves the process as it is


def test_library_calls_give_threads_back(tmp_path, blocks):
    import torch
    from simplelm.scoring.evaluation import EvaluationConfig, evaluate_model
    from simplelm.models.model import model_size
    from simplelm.models.blocks import open_blocks
    from simplelm.models.plan import TrainingConfig
    from simplelm.models.training import train
    size = model_size("32x2", vocab_size=open_blocks(blocks).vocab_size, context=open_blocks(blocks).context)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        train(size, blocks, tmp_path/"model", TrainingConfig(tokens=8192, batch_size=8, evaluate_sequences=8))
        made = evaluate_model(tmp_path/"model", tmp_path/"scores", EvaluationConfig(tasks=("storyworld_agreement",), limit=4))
        assert torch.get_num_threads() == 3 and made.config["evaluation"]["threads"] == 1
        with pytest.raises(InputError): train(size, blocks, tmp_path/"other", TrainingConfig(tokens=8192, batch_size=8, threads=2, learning_rate=1e30))
        assert torch.get_num_threads() == 3
    finally: torch.set_num_threads(before)


@pytest.mark.parametrize("has, precision", [(dict(avx2=True), "float32"), (dict(avx512_bf16=True), "bfloat16"), (dict(amx_bf16=True), "bfloat16"), (dict(bf16=True), "bfloat16")])
def test_precision_is_what_the_processor_has(has, precision):
    import torch
    from simplelm.models.model import model_size
    from simplelm.models.plan import TrainingConfig, settle_training
    with patch.object(torch.cpu, "get_capabilities", lambda: has):
        assert {settle_training(TrainingConfig(), model_size(size), torch.device("cpu")).precision for size in ("16x2", "64x4", "1024x8")} == {precision}
        assert settle_training(TrainingConfig(precision="float32"), model_size("32x2"), torch.device("cpu")).precision == "float32"


def test_run_on_another_processor_is_in_one_precision(tmp_path, caplog):
    import torch
    from dataclasses import replace
    from simplelm.studies.running import run_study
    from simplelm.studies.study import load_study
    study = load_study(ROOT/"tests"/"miniature.toml")
    study = replace(study, models=replace(study.models, sizes=study.models.sizes[:1], seeds=(0,), more_seeds={}))
    study = replace(study, evaluation=replace(study.evaluation, tasks=("storyworld_agreement",)))
    with patch.object(torch.cpu, "get_capabilities", lambda: dict(avx2=True)): run_study(study, tmp_path/"run", jobs=1)
    caplog.clear()
    with patch.object(torch.cpu, "get_capabilities", lambda: dict(avx512_bf16=True)): run_study(study, tmp_path/"run", jobs=1)
    assert "2 of its models were trained with precision float32 (now bfloat16)" in caplog.text
    assert json.loads((tmp_path/"run"/"study.json").read_text())["training"]["precision"] == "bfloat16"
    import pandas as pd
    assert set(pd.read_csv(tmp_path/"run"/"models.csv").precision) == {"bfloat16"}
    assert len(list((tmp_path/"run").glob("model-*"))) == 4
