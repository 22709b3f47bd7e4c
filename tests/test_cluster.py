"""The engines of datatrove give what one machine gives."""
import pytest
from conftest import hashes

pytest.importorskip("datatrove", reason="needs the extra `cluster`")


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Simplify four files, each a group of its own, and hash the result."""
    from simplelm import corpus
    from simplelm.simplification import SimplificationConfig
    from simplelm.storyworld import StoryWorldConfig, child_vocabulary, write_stories
    monkeypatch.setattr(corpus, "GROUP_BYTES", 1)
    sources = [tmp_path/f"stories-{n}" for n in range(4)]
    for n, path in enumerate(sources): write_stories(path, StoryWorldConfig(documents=200, seed=n))
    def make(name, **more):
        corpus.simplify_corpus(sources, tmp_path/name, child_vocabulary(), SimplificationConfig(), **more)
        return hashes(tmp_path/name)
    return make


def alone(engine):
    """The engine, held to have made every group before `simplify_corpus` makes what is left."""
    def run(simplify, groups):
        engine(simplify, groups)
        assert all(simplify.done(group).exists() for group in groups)
    return run


def test_local_processes(make):
    from simplelm.cluster import run_local
    whole = make("whole")
    assert sum(name.startswith("part-") for name in whole) == 4
    assert make("local", run=alone(run_local(3, 2))) == whole


def test_two_ray_nodes(make, tmp_path):
    ray = pytest.importorskip("ray", reason="needs the extra `cluster`")
    from ray.cluster_utils import Cluster
    from simplelm.cluster import run_ray
    whole = make("whole")
    node = dict(num_cpus=1, object_store_memory=100_000_000)
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        cluster.add_node(**node)
        ray.init(address=cluster.address, log_to_driver=False)
        assert make("ray", run=alone(run_ray(2, str(tmp_path/"logs")))) == whole
        assert len(list((tmp_path/"logs"/"completions").iterdir())) == 2
    finally:
        ray.shutdown()
        cluster.shutdown()
