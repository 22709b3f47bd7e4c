"""How much of what a language model can do comes from its size, and how much from the language it reads?

The names below are all that most work needs; each is loaded when it is first used. `dir(simplelm)` lists them.
"""
from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.2.0"

if TYPE_CHECKING: # for editors and type checkers; at run time `__getattr__` does it
    from .artifacts import InputError as InputError
    from .artifacts import Manifest as Manifest
    from .artifacts import read_manifest as read_manifest
    from .text.vocabulary import Vocabulary as Vocabulary
    from .text.vocabulary import count_words as count_words
    from .text.simplification import SimplificationConfig as SimplificationConfig
    from .text.simplification import simplify_text as simplify_text
    from .text.formats import Reading as Reading
    from .text.corpus import corpus_texts as corpus_texts
    from .text.corpus import open_sources as open_sources
    from .text.simplified import simplify_corpus as simplify_corpus
    from .text.gain import vocabulary_gain as vocabulary_gain
    from .text.deduplication import DeduplicationConfig as DeduplicationConfig
    from .text.deduplication import deduplicate_corpus as deduplicate_corpus
    from .text.sentences import SplitConfig as SplitConfig
    from .text.sentence_corpus import split_sentences as split_sentences
    from .text.difficulty import DifficultyConfig as DifficultyConfig
    from .text.difficulty import measure_difficulty as measure_difficulty
    from .stories.lexicon import child_vocabulary as child_vocabulary
    from .stories.dials import StoryWorldConfig as StoryWorldConfig
    from .stories.story import write_stories as write_stories
    from .models.tokenizer import TokenizerConfig as TokenizerConfig
    from .models.tokenizer import load_tokenizer as load_tokenizer
    from .models.tokenizer import train_tokenizer as train_tokenizer
    from .models.blocks import PackingConfig as PackingConfig
    from .models.blocks import open_blocks as open_blocks
    from .models.blocks import pack_blocks as pack_blocks
    from .models.blocks import join_blocks as join_blocks
    from .models.model import PAPER_SIZES as PAPER_SIZES
    from .models.model import ModelConfig as ModelConfig
    from .models.model import build_model as build_model
    from .models.model import model_size as model_size
    from .models.order import Curriculum as Curriculum
    from .models.order import Mixture as Mixture
    from .models.plan import TrainingConfig as TrainingConfig
    from .models.training import stopping_on_sigterm as stopping_on_sigterm
    from .models.training import train as train
    from .internals.kernels import keep_memory as keep_memory
    from .models.context import extend_context as extend_context
    from .models.export import export_gguf as export_gguf
    from .scoring.tasks import Task as Task
    from .scoring.public_tasks import load_task as load_task
    from .scoring.items import load_items as load_items
    from .scoring.generation import generate_text as generate_text
    from .scoring.loading import load_model as load_model
    from .scoring.likelihood import Scorer as Scorer
    from .scoring.evaluation import EvaluationConfig as EvaluationConfig
    from .scoring.evaluation import evaluate_model as evaluate_model
    from .scoring.evaluation import evaluate_models as evaluate_models
    from .scoring.contamination import check_contamination as check_contamination
    from .scoring.folders import compare_scores as compare_scores
    from .laws.scaling import fit_parametric as fit_parametric
    from .laws.scaling import fit_power_law as fit_power_law
    from .studies.study import Study as Study
    from .studies.study import load_study as load_study
    from .studies.study import plan_study as plan_study
    from .studies.running import run_study as run_study
    from .studies.report import write_report as write_report

_NAMES = {
    "artifacts": "InputError Manifest read_manifest",
    "text.vocabulary": "Vocabulary count_words",
    "text.simplification": "SimplificationConfig simplify_text",
    "text.formats": "Reading",
    "text.corpus": "corpus_texts open_sources",
    "text.simplified": "simplify_corpus",
    "text.gain": "vocabulary_gain",
    "text.deduplication": "DeduplicationConfig deduplicate_corpus",
    "text.sentences": "SplitConfig",
    "text.sentence_corpus": "split_sentences",
    "text.difficulty": "DifficultyConfig measure_difficulty",
    "stories.lexicon": "child_vocabulary",
    "stories.dials": "StoryWorldConfig",
    "stories.story": "write_stories",
    "models.tokenizer": "TokenizerConfig load_tokenizer train_tokenizer",
    "models.blocks": "PackingConfig join_blocks open_blocks pack_blocks",
    "models.model": "PAPER_SIZES ModelConfig build_model model_size",
    "models.order": "Curriculum Mixture",
    "models.plan": "TrainingConfig",
    "models.training": "stopping_on_sigterm train",
    "internals.kernels": "keep_memory",
    "models.context": "extend_context",
    "models.export": "export_gguf",
    "scoring.tasks": "Task",
    "scoring.public_tasks": "load_task",
    "scoring.items": "load_items",
    "scoring.generation": "generate_text",
    "scoring.loading": "load_model",
    "scoring.likelihood": "Scorer",
    "scoring.evaluation": "EvaluationConfig evaluate_model evaluate_models",
    "scoring.contamination": "check_contamination",
    "scoring.folders": "compare_scores",
    "laws.scaling": "fit_parametric fit_power_law",
    "studies.study": "Study load_study plan_study",
    "studies.running": "run_study",
    "studies.report": "write_report",
}
_HOMES = {name: home for home, names in _NAMES.items() for name in names.split()}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> object:
    """Load a name when it is first used (PEP 562), and explain its parameters to `help()`."""
    if name not in _HOMES: raise AttributeError(f"module 'simplelm' has no attribute {name!r}")
    value = getattr(import_module(f"simplelm.{_HOMES[name]}"), name)
    if callable(value): import_module("simplelm.comments").add_comments(value)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The names for users, and the parts."""
    return sorted({*__all__, "artifacts", "configuration", "text", "stories", "models", "scoring", "laws", "studies", "cli"})
