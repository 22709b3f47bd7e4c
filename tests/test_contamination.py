"""Test items in a training corpus: the same as by a plain reading of the rules, and never silently none; and twins that are what twins are."""
import json
import random
import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from conftest import call, write_jsonl
from simplelm.artifacts import InputError
from simplelm.scoring.public_tasks import TASKS
from simplelm.scoring.tasks import Item, Task
from simplelm.scoring.contamination import LONGEST, RULES, SHORTEST, check_contamination, find_contamination
from simplelm.text.corpus import write_part
from simplelm.text.simplified import simplify_corpus
from simplelm.text.simplification import SimplificationConfig
from simplelm.stories.story import story
from simplelm.text.vocabulary import Vocabulary

QUESTIONS = Task("questions", context="Q: {question} A:", choices=("{right}", "{wrong}"), label=0, fields=("question", "right", "wrong"), chance=1/2)
WORDS = "the a cat dog saw red Red CAT it's it’s don't naïve ÉCOLE école 3rd 42 日本 x".split()
MARKS = [" "]*12 + ["  ", ", ", ". ", "\n", "\t", " — ", "…", " “", "” ", "\u00a0", "\u2028", "-", "_", "/", "。", "\ufeff", "*", "\0"]


def words(text):
    """Runs of letters and digits, A to Z lowered."""
    separator = lambda c: ord(c) < 0x80 and not c.isalnum() or 0x80 <= ord(c) <= 0xBF or 0x2000 <= ord(c) <= 0x206F or 0x3000 <= ord(c) <= 0x303F or c == "\ufeff"
    text = "".join(" " if separator(c) else c for c in text)
    return [w.translate({k: k + 32 for k in range(65, 91)}) for w in text.split(" ") if w]


def holds(texts, phrase):
    """Whether some text has the words of a phrase in a row."""
    return len(phrase) > 1 and any(text[i:i + len(phrase)] == phrase for text in texts for i in range(len(text) - len(phrase) + 1))


def reference(items, texts):
    """The five rules, for items of one field and two choices."""
    texts = [words(t) for t in texts]
    pieces = [words(i.context[3:-3]) + words(i.choices[i.label]) for i in items]
    n = min(max(int(np.percentile([len(p) for p in pieces], 5)), SHORTEST), LONGEST)
    for item, piece in zip(items, pieces):
        run = lambda k: any(holds(texts, piece[i:i + k]) for i in range(len(piece) - k + 1))
        a, b = (words(c) for c in item.choices)
        first = 0
        while first < min(len(a), len(b)) and a[first] == b[first]: first += 1
        last = 0
        while last < min(len(a), len(b)) - first and a[-1 - last] == b[-1 - last]: last += 1
        before = words(item.context[3:-3])
        def key(choice):
            end = min(len(choice) - last, first + 6) + 2
            return (before + choice)[max(len(before) + first - 2, 0):len(before) + end]
        yield [run(min(n, max(len(piece), 2))), run(LONGEST), holds(texts, piece), holds(texts, key((a, b)[item.label])), holds(texts, key((a, b)[1 - item.label]))]


def jumble(r, size): return "".join(r.choice(WORDS) + r.choice(MARKS) for _ in range(size))


def random_item(r, number):
    question, right, wrong = jumble(r, r.randint(0, 14)), "so " + jumble(r, r.randint(0, 8)), "so " + jumble(r, r.randint(1, 8)) + "y"
    return Item(number, f"Q: {question} A:", (right, wrong), r.randint(0, 1), "")


@pytest.mark.parametrize("seed", range(12))
def test_equal_to_a_plain_reading(tmp_path, seed):
    r = random.Random(f"contamination {seed}")
    items = [random_item(r, k) for k in range(25)]
    pieces = [i.context[3:-3] + " " + c for i in items for c in i.choices]
    cuts = lambda text: (lambda w: " ".join(w[r.randint(0, 2):][:r.randint(2, 30)]))(text.split(" "))
    texts = [jumble(r, r.randint(0, 9)) + r.choice(["", cuts(r.choice(pieces)), r.choice(pieces)]) + " " + jumble(r, r.randint(0, 60)) for _ in range(60)]
    write_jsonl(tmp_path/"a.jsonl", texts[:25])
    write_part(tmp_path/"b.parquet", pa.table({"text": texts[25:]}))
    found, counts = find_contamination([(QUESTIONS, i) for i in items], tmp_path, workers=r.choice([1, 3]))
    assert found[list(RULES)].values.tolist() == list(reference(items, texts))
    assert counts["words"] == sum(len(words(t)) for t in texts) and counts["documents"] == 60
    assert found.key.any() and not found.key.all(), "the test says nothing"


def disguised(r, text): return "".join(r.choice([w, w.upper(), w.title()]) + r.choice([" ", ", ", "\n", " — ", "\u00a0"]) for w in re.findall(r"[a-z]+", text))


@pytest.fixture(scope="module")
def planted():
    r = random.Random("planted")
    names = "the a dog cat saw red blue house very old small tree by near from".split()
    return [Item(k, f"Q: {' '.join(r.choices(names, k=r.randint(5, 40)))} A:", (" ".join(r.choices(names, k=4)), "no"), 0, "") for k in range(30)]


def test_planted_items_are_found_in_every_form_of_a_corpus(tmp_path, planted):
    r, items = random.Random(1), [(QUESTIONS, i) for i in planted]
    hidden = [disguised(r, i.context[3:-3] + " " + i.choices[0]) for i in planted]
    shards = [[hidden[10*k], *(story(10*k + j).text + hidden[10*k + j] + story(j).text for j in range(1, 9)), hidden[10*k + 9]] for k in range(3)] # first and last documents, and within
    for k, shard in enumerate(shards): write_jsonl(tmp_path/f"shard-{k}.jsonl", shard)
    simple = Vocabulary.from_words({w for text in hidden for w in words(text)})
    (tmp_path/"long.txt").write_text("\n".join(" ".join(shard) for shard in shards))
    sources = [str(tmp_path/"shard-*.jsonl"), tmp_path/"long.txt"]
    write_jsonl(tmp_path/"plain.jsonl", [f"Zyx zyx. {i.context[3:-3]} {i.choices[0]}. Zyx. The old dog saw a tree." for i in planted])
    for joined in (False, True):
        simplify_corpus(tmp_path/"plain.jsonl", tmp_path/f"simple-{joined}", simple, SimplificationConfig(min_words=4, max_oov=0), joined=joined)
        sources.append(tmp_path/f"simple-{joined}")
    for source in sources:
        found, _ = find_contamination(items, source, workers=2)
        assert found[["ngram", "text", "key"]].all(axis=None), source
    write_jsonl(tmp_path/"clean.jsonl", [story(k).text for k in range(300)])
    clean, _ = find_contamination(items, tmp_path/"clean.jsonl")
    assert not clean[["ngram", "ngram_13", "text"]].any(axis=None)


def test_long_texts_are_searched_to_their_end(tmp_path, planted):
    filler = "so it goes on and on " * 20_000 # longer than the window of the kernel
    text = filler + filler.join(f"{i.context[3:-3]} {i.choices[0]} " for i in planted[:4]) + filler
    found, counts = find_contamination([(QUESTIONS, i) for i in planted[:4]], write_jsonl(tmp_path/"long.jsonl", [text]))
    assert found.text.all() and counts["words"] == len(text.split())


def test_one_line_for_bad_input(tmp_path, planted):
    items = [(QUESTIONS, planted[0])]
    write_jsonl(tmp_path/"empty.jsonl", ["", " — "])
    for problem, options in ((f"{tmp_path/'empty.jsonl'}: no word of text in it", {}), ("fewer than the 10 expected", dict(expected_words=10))):
        path = tmp_path/"empty.jsonl" if not options else write_jsonl(tmp_path/"few.jsonl", ["two words"])
        with pytest.raises(InputError, match=re.escape(problem)): find_contamination(items, path, **options)
    for arguments, problem in ((("hellswag",), "no task or group 'hellswag'"), ((tmp_path,), "not an artifact")):
        done = call("contamination", *arguments, "--corpus", tmp_path/"few.jsonl", "--out", tmp_path/"none")
        assert done.returncode == 2 and problem in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert not (tmp_path/"none").exists()


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """Scores of a model of random weights, in all three forms."""
    pytest.importorskip("lemminflect", reason="needed for twins, of the extra `twins`")
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from simplelm.scoring.evaluation import EvaluationConfig, evaluate_model
    from simplelm.stories.lexicon import child_vocabulary
    folder = tmp_path_factory.mktemp("scored")
    words = Tokenizer(models.WordLevel({w: k for k, w in enumerate(["[UNK]", "<s>", "</s>", *"the a cat dog is are was . , ?".split()])}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", bos_token="<s>", eos_token="</s>", pad_token="</s>").save_pretrained(folder/"model")
    torch.manual_seed(0)
    LlamaForCausalLM(LlamaConfig(vocab_size=16, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2)).save_pretrained(folder/"model")
    evaluate_model(folder/"model", folder/"scores", EvaluationConfig(forms=("standard", "simple", "twin"), limit=40), child_vocabulary(), device="cpu")
    return folder/"scores"


def write_words(path):
    """The story world's words, which its twins are made with."""
    from simplelm.stories.lexicon import child_vocabulary
    child_vocabulary().to_csv(path)
    return path


def test_scores_with_and_without(tmp_path, scores):
    from simplelm.scoring.items import load_items
    from simplelm.scoring.contamination import text_pieces
    name = "storyworld_agreement"
    leaked = [text_pieces(TASKS[name], i)[0] for i in load_items(name, "simple", limit=40)[:10]]
    write_jsonl(tmp_path/"corpus.jsonl", [story(k).text for k in range(50)] + leaked)
    done = call("contamination", scores, "--corpus", tmp_path/"corpus.jsonl", "--out", tmp_path/"out", "--workers", 2, "--vocabulary", write_words(tmp_path/"words.csv"))
    assert done.returncode == 0, done.stderr
    rows, table = pd.read_parquet(tmp_path/"out"/"items.parquet"), pd.read_csv(tmp_path/"out"/"contamination.csv")
    mine = rows[(rows.task == name) & (rows.form == "simple")]
    assert mine.text.sum() >= 10
    twins = rows[(rows.task == name) & (rows.form == "twin")]
    assert len(twins) and set(twins.item) <= set(rows[(rows.task == name) & (rows.form == "standard")].item)
    row = table[(table.task == name) & (table.form == "simple") & (table.rule == "text")].iloc[0]
    assert row.seen == mine.text.sum() and row["items"] == 40
    np.testing.assert_allclose([row.accuracy, row.clean_accuracy, row.seen_accuracy], [mine.correct.mean(), mine.correct[~mine.text].mean(), mine.correct[mine.text].mean()], rtol=1e-9)
    written = pd.read_csv(scores/"scores.csv").set_index(["task", "form"]).accuracy[name, "simple"]
    np.testing.assert_allclose(row.accuracy, written, rtol=1e-9)


def test_scores_of_another_version_are_refused(tmp_path, scores):
    manifest = json.loads((scores/"manifest.json").read_text())
    manifest["config"]["tasks"]["storyworld_agreement"]["context"] = "Once {context}"
    manifest["files"] = {} # those are not copied
    (tmp_path/"old").mkdir()
    (tmp_path/"old"/"manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="storyworld_agreement was scored in another version \\(its context differ\\)"):
        check_contamination(tmp_path/"old", write_jsonl(tmp_path/"c.jsonl", ["a b c"]), tmp_path/"out")


def test_twins_are_simple_items_of_the_same_shape():
    pytest.importorskip("lemminflect", reason="needed for the forms of words, of the extra `twins`")
    from simplelm.scoring.items import load_items
    from simplelm.scoring.tasks import is_simple
    from simplelm.stories.lexicon import child_vocabulary
    from simplelm.scoring.twins import contrast, expand_contractions, item_texts, words_of
    name, vocabulary = "storyworld_agreement", child_vocabulary()
    own, twins = {i.id: i for i in load_items(name)}, load_items(name, "twin", vocabulary)
    assert len(twins) > 50
    for twin in twins:
        item = own[twin.id]
        assert is_simple(twin.text, vocabulary) and not is_simple(item.text, vocabulary)
        assert (twin.label, len(twin.choices), len({*twin.choices})) == (item.label, len(item.choices), len({*item.choices}))
        if not any(expand_contractions(t) != t for t in item_texts(item)):
            pairs = {(a, b) for mine, theirs in zip(item_texts(item), item_texts(twin)) for a, b in zip(words_of(mine), words_of(theirs), strict=True)}
            assert len({a for a, _ in pairs}) == len(pairs) == len({b for _, b in pairs}) # one for one, everywhere
            if not item.context: assert contrast(*item.choices) == contrast(*twin.choices)
