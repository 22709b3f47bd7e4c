"""What any scorer offers, and what a model that knows nothing scores."""
import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from simplelm import EvaluationConfig, InputError, Scorer, evaluate_model
from simplelm.scoring.evaluation import Questions, answer_questions
from simplelm.scoring.likelihood import TextScorer
from simplelm.scoring.public_tasks import TASKS, load_task
from simplelm.scoring.tasks import Item

WORDS = "<s> </s> [UNK] the a dog dogs cat cats runs run sleeps sleep".split()
SUBJECTS = [("the dog", "runs", "run"), ("the cats", "sleep", "sleeps"), ("a cat", "sleeps", "sleep"), ("the dogs", "run", "runs")]


@pytest.fixture
def tokenizer():
    """A token for each word."""
    words = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="</s>", unk_token="[UNK]")


@pytest.fixture
def constant():
    """A model that finds every token equally probable."""
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(WORDS), hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
                                         max_position_embeddings=32, tie_word_embeddings=False)).eval()
    with torch.no_grad(): model.lm_head.weight.zero_()
    return model


@pytest.fixture
def pairs_task(tmp_path):
    """Minimal pairs like BLiMP's, of which the right one is always the first."""
    (tmp_path/"pairs.toml").write_text('name = "toy_pairs"\ncontext = ""\nchoices = ["{good}", "{bad}"]\nlabel = 0\nfields = ["good", "bad"]\nchance = 0.5\npath = "pairs.jsonl"\n')
    records = [dict(good=f"{subject} {good}", bad=f"{subject} {bad}") for subject, good, bad in SUBJECTS]
    (tmp_path/"pairs.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    yield load_task(tmp_path/"pairs.toml")
    del TASKS["toy_pairs"]


def test_a_model_that_knows_nothing_is_at_chance(tmp_path, constant, tokenizer, pairs_task):
    """Though the right choice stands first; the harness's rule, the first of equals, would call all of it right."""
    constant.save_pretrained(tmp_path/"model")
    tokenizer.save_pretrained(tmp_path/"model")
    evaluate_model(tmp_path/"model", tmp_path/"scores", EvaluationConfig((pairs_task.name,), ("standard",)), device="cpu")
    items, scores = pd.read_parquet(tmp_path/"scores"/"items.parquet"), pd.read_csv(tmp_path/"scores"/"scores.csv").iloc[0]
    assert len(items) == len(SUBJECTS) and (items.margin == 0).all()
    assert items.correct.tolist() == items.correct_token.tolist() == [0.5]*len(SUBJECTS)
    assert (items.predicted == items.label).all()
    assert (scores.accuracy, scores.score, scores.probability) == (0.5, 0.5, 0.5)


class Counts(TextScorer):
    """Counts tokens of one kind; whoever has `score_pieces` is a scorer."""
    def __init__(self, tokenizer, token): self.tokenizer, self.context, self.token = tokenizer, 16, tokenizer.convert_tokens_to_ids(token)
    def score_pieces(self, pieces, greedy, advance): return np.array([float(piece.ids[-piece.scored:].count(self.token)) for piece in pieces]), np.zeros(len(pieces), bool)


def test_any_scorer_answers_questions(tokenizer, pairs_task):
    items = [Item(i, "", (f"{subject} {good}", f"{subject} {bad}"), 0, "") for i, (subject, good, bad) in enumerate(SUBJECTS)]
    answers, choices = answer_questions(Counts(tokenizer, "runs"), Questions(pairs_task, [("standard", 0, items)], {}), EvaluationConfig((pairs_task.name,)))
    assert answers.correct.tolist() == [1, 0.5, 0.5, 0]
    assert choices.loglikelihood.tolist() == [1, 0, 0, 0, 0, 0, 0, 1]


def test_requests_are_shared_by_scorers_of_equal_encoding(constant, tokenizer):
    plain, same, other = Scorer(constant, tokenizer), Scorer(constant, tokenizer), Scorer(constant, tokenizer, add_bos=True)
    assert plain.encoding == same.encoding != other.encoding
    requests = plain.prepare([("the dog", " runs"), ("", " a cat sleeps")])
    scored = same.score(requests)
    assert scored.tokens.tolist() == [1, 3]
    np.testing.assert_allclose(scored.loglikelihood, [-math.log(len(WORDS)), -3*math.log(len(WORDS))], rtol=1e-6)
    pd.testing.assert_frame_equal(scored, plain.score([("the dog", " runs"), ("", " a cat sleeps")]))


def test_weights_that_change_are_noticed(constant, tokenizer):
    """In place, replaced, and loaded."""
    scorer, request = Scorer(constant, tokenizer), [("the dog", " runs")]
    seen = [scorer.score(request).loglikelihood[0]]
    with torch.no_grad(): constant.lm_head.weight.copy_(torch.randn(len(WORDS), 32, generator=torch.Generator().manual_seed(0)))
    seen.append(scorer.score(request).loglikelihood[0])
    constant.lm_head.weight = torch.nn.Parameter(-constant.lm_head.weight.detach())
    seen.append(scorer.score(request).loglikelihood[0])
    constant.load_state_dict({name: 2*weight for name, weight in constant.state_dict().items()})
    seen.append(scorer.score(request).loglikelihood[0])
    assert len({round(value, 4) for value in seen}) == 4
    assert scorer.score(request).loglikelihood[0] == Scorer(constant, tokenizer).score(request).loglikelihood[0]


def test_a_scorer_of_texts_needs_a_tokenizer(constant):
    with pytest.raises(InputError, match="needs a tokenizer"): Scorer(constant).score([("a", " b")])
