"""Killing a stage loses nothing: the resumed result equals an uninterrupted one, byte for byte."""
import pytest

from conftest import call, hashes, kill_when


def test_simplify_resumes(tmp_path, words):
    from simplelm.stories.dials import StoryWorldConfig
    from simplelm.stories.story import write_stories
    write_stories(tmp_path/"corpus", StoryWorldConfig(documents=12_000))
    arguments = "simplify", tmp_path/"corpus", "--vocabulary", words
    assert call(*arguments, "--out", "whole", cwd=tmp_path).returncode == 0
    partial = tmp_path/".killed.partial"
    kill_when(lambda: any(partial.rglob("part-*.parquet")), *arguments, "--out", "killed", cwd=tmp_path)
    assert not (tmp_path/"killed").exists(), "a partial result is visible"
    kept = {p.name: p.stat().st_mtime_ns for p in partial.rglob("part-*.parquet")}
    assert call(*arguments, "--out", "killed", "--workers", 2, cwd=tmp_path).returncode == 0
    assert hashes(tmp_path/"killed") == hashes(tmp_path/"whole")
    assert kept and all((tmp_path/"killed"/"data"/n).stat().st_mtime_ns == t for n, t in kept.items()), "finished parts were made again"


@pytest.mark.slow
def test_simplify_survives_random_kills(tmp_path):
    from faults.simplify import kill_often, write_corpus
    made, resumed = kill_often(tmp_path, write_corpus(tmp_path, files=4, megabytes=12), kills=3, seed=1)
    assert made == 3 and resumed


def test_train_resumes(tmp_path, blocks):
    arguments = ("train", blocks, "--size", "32x2", "--tokens", 131072, "--batch-size", 16, "--evaluate-every", 20, "--checkpoint-every", 5,
                 "--warmup-tokens", 5120, "--precision", "float32")
    assert call(*arguments, "--out", "whole", cwd=tmp_path).returncode == 0
    for _ in range(2): # twice, so that a resumed run is itself resumed
        seen = set(tmp_path.glob(".killed.partial/checkpoints/*.safetensors"))
        kill_when(lambda: set(tmp_path.glob(".killed.partial/checkpoints/*.safetensors")) - seen, *arguments, "--out", "killed", cwd=tmp_path)
        assert not (tmp_path/"killed").exists(), "a partial model is visible"
    assert call(*arguments, "--out", "killed", cwd=tmp_path).returncode == 0
    assert hashes(tmp_path/"killed") == hashes(tmp_path/"whole")
