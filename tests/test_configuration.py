"""Every field of every configuration refuses what it cannot hold, whichever way the configuration is made."""
from dataclasses import MISSING, fields, is_dataclass, replace
from typing import Literal, get_args, get_origin

import numpy as np
import pytest

from conftest import call
from simplelm.artifacts import InputError
from simplelm.scoring.tasks import PIQA, Task
from simplelm.configuration import alternatives, declared_types, parse_config
from simplelm.text.simplified import simplify_corpus
from simplelm.scoring.evaluation import EvaluationConfig
from simplelm.studies.languages import LanguageConfig, SimplifyStep, SourceConfig
from simplelm.models.model import ModelConfig
from simplelm.text.simplification import SimplificationConfig
from simplelm.stories.dials import StoryWorldConfig
from simplelm.studies.study import Baseline, Claim, CommonText, Dial, ModelGrid, SampleConfig, Study, StudyEvaluation, load_study
from simplelm.models.tokenizer import TokenizerConfig
from simplelm.models.blocks import PackingConfig
from simplelm.models.plan import TrainingConfig
from simplelm.text.vocabulary import Vocabulary

GOOD = {c: c() for c in (EvaluationConfig, PackingConfig, SampleConfig, SimplificationConfig, StoryWorldConfig, LanguageConfig, SimplifyStep, StudyEvaluation, TokenizerConfig, TrainingConfig)} | {
    SourceConfig: SourceConfig(sources=("a.jsonl",)), Baseline: Baseline("a/b"), Claim: Claim("c", "difference", ("a", "b"), "t/simple"), ModelGrid: ModelGrid(("32x2",)), ModelConfig: ModelConfig(64, 2), Dial: Dial("depth", (0, 1)),
    CommonText: CommonText("a"), Study: load_study(), Task: replace(PIQA, name="mine")} # Class -> one that can be
WRONG = ["abc", "2", 3, -1, 0.5, True, float("nan"), float("inf"), None, {"a": 1}, {}, ["abc"], [1, 2], [True], [["abc"]], [None], [{"a": 1}], b"abc", object(), np.bool_(True)]


def may_hold(hint, value):
    """Whether a type can hold a value of TOML: written anew, with types alone and no recursion into their alternatives' order."""
    if hint is object: return True
    if isinstance(value, np.bool_) or type(value) in (bytes, object): return False
    for option in alternatives(hint):
        origin, inner = get_origin(option), get_args(option)
        if option is bool and isinstance(value, bool) or option is type(None) and value is None: return True
        if option is str and isinstance(value, str) or option is int and type(value) is int or option is float and type(value) in (int, float) and abs(value) < np.inf: return True
        if origin is Literal and value in inner and type(value) is str or option is dict and isinstance(value, dict): return True
        if origin is dict and isinstance(value, dict) and all(may_hold(inner[1], v) for v in value.values()): return True
        if option is tuple and isinstance(value, list): return True
        if origin is tuple and isinstance(value, list) and (... in inner or len(value) == len(inner)) and all(may_hold(inner[0], v) for v in value): return True
    return False


CASES = [(kind, f.name, value) for kind in GOOD for f in fields(kind) for value in WRONG if not may_hold(declared_types(kind)[f.name], value)]


def test_the_table_is_long():
    """The check below would pass without cases."""
    assert len(CASES) > 1000 and {kind for kind, _, _ in CASES} == set(GOOD)


@pytest.mark.parametrize("kind", GOOD, ids=lambda k: k.__name__)
def test_every_field_refuses_what_it_cannot_hold(kind):
    """From Python, and from the tables of a file: one error that names the field."""
    for _, name, value in (case for case in CASES if case[0] is kind):
        with pytest.raises(InputError, match=rf"\b{name}\b") as python: replace(GOOD[kind], **{name: value})
        table = {f.name: getattr(GOOD[kind], f.name) for f in fields(kind) if f.default is MISSING and f.default_factory is MISSING and not is_dataclass(getattr(GOOD[kind], f.name))}
        nested = any(is_dataclass(declared_types(kind)[f.name]) and f.default_factory is MISSING for f in fields(kind)) # then a table needs more than one field
        if not nested and value != {}: # an empty table may stand for a configuration with its defaults
            with pytest.raises(InputError, match=f"x.toml: .*{name}") as file: parse_config(kind, table | {name: value}, "x.toml")
            assert "\n" not in str(file.value)
        assert "\n" not in str(python.value)


@pytest.mark.parametrize("kind", GOOD, ids=lambda k: k.__name__)
def test_no_value_ends_in_another_error(kind):
    """What a type can hold is taken, or refused in words: never a TypeError."""
    for f in fields(kind):
        for value in WRONG:
            try: replace(GOOD[kind], **{f.name: value})
            except InputError: pass


def test_lists_and_numbers_of_numpy_are_taken():
    assert EvaluationConfig(tasks=["blimp"]) == EvaluationConfig(tasks=("blimp",))
    grid = ModelGrid(["32x2"], seeds=list(np.arange(2)))
    assert grid == ModelGrid(("32x2",), (0, 1)) and all(type(s) is int for s in grid.seeds)


MINIATURE = """
description = "Two models"
[source.storyworld]
documents = 300
[languages.regular]
[models]
sizes = ["32x2"]
[training]
tokens = 16384
batch_size = 16
[evaluation]
tasks = ["storyworld"]
[samples]
prompts = ["The dog"]
"""


@pytest.mark.parametrize("old, new, said", [
    ('prompts = ["The dog"]', 'prompts = "The dog"', "samples.prompts"), ('tasks = ["storyworld"]', 'tasks = "blimp"', "evaluation.tasks"), ('tasks = ["storyworld"]', "tasks = []", "tasks is empty"),
    ('sizes = ["32x2"]', 'sizes = "32x2"', "models.sizes"), ('sizes = ["32x2"]', "sizes = []", "sizes is empty"), ('sizes = ["32x2"]', 'sizes = ["32x2", "32x2"]', "names one twice"),
    ('sizes = ["32x2"]', 'sizes = ["32x2"]\nseeds = [-1]', "seeds is -1"), ('sizes = ["32x2"]', 'sizes = ["32x2"]\nseeds = [0, 0]', "names one twice"), ('sizes = ["32x2"]', 'sizes = ["32x2"]\nseeds = true', "models.seeds"),
    ('sizes = ["32x2"]', 'sizes = ["32x2"]\nseeds = [4294967296]', "seeds is 4294967296"), ('sizes = ["32x2"]', 'sizes = ["32x2"]\nmore_seeds = {"32x2" = [-1]}', "more_seeds"),
    ("[samples]", "[packing]\ncontext = true\n[samples]", "packing.context"), ("[samples]", "limit = 0\n[samples]", "limit is 0"), ("[samples]", "seed = -1\n[samples]", "evaluation: seed is -1"),
    ("tokens = 16384", "tokens = 0", "tokens 0"), ("tokens = 16384", "tokens = 16384\nlearning_rate = nan", "training.learning_rate"), ("documents = 300", "documents = [300]", "source.storyworld.documents")])
def test_studies_are_refused_before_any_work(tmp_path, old, new, said):
    """Loading says it in one line that names the file and the key."""
    assert old in MINIATURE
    (tmp_path/"mine.toml").write_text(MINIATURE.replace(old, new))
    with pytest.raises(InputError, match="mine.toml: ") as error: load_study(tmp_path/"mine.toml")
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize("options, said", [((), "limit is 0"), (("--workers", "0"), "workers is 0")], ids=["limit", "workers"])
def test_the_command_refuses_before_any_work(tmp_path, options, said):
    (tmp_path/"mine.toml").write_text(MINIATURE if options else MINIATURE.replace("[samples]", "limit = 0\n[samples]"))
    done = call("run", "mine.toml", "--out", "out", *options, cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path/"out").exists()


def test_columns_of_a_corpus_are_a_list(tmp_path):
    with pytest.raises(InputError, match="columns is 'abc'"): simplify_corpus("a.jsonl", tmp_path/"out", Vocabulary.from_words(["a"]), columns="abc")
