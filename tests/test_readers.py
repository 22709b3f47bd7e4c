"""Corpora of this package in other people's readers, and formats that names do not tell."""
import json
import shutil

import pandas as pd
import pyarrow.parquet as pq
import pytest

from simplelm.artifacts import InputError
from simplelm.text.corpus import corpus_texts, open_sources
from simplelm.text.simplified import simplify_corpus
from simplelm.text.formats import Reading
from simplelm.text.simplification import SimplificationConfig
from simplelm.stories.dials import StoryWorldConfig
from simplelm.stories.story import write_stories
from simplelm.models.tokenizer import TokenizerConfig, train_tokenizer
from simplelm.models.blocks import PackingConfig, pack_blocks
from simplelm.text.vocabulary import Vocabulary

WORDS = Vocabulary.from_words("the a dog cat sat ran on mat saw and".split(), name="toy")
SMALL = SimplificationConfig(min_words=4, max_oov=0)
TEXTS = [f"The dog sat on the mat and the cat ran. The cat saw the dog {'and the cat '*n}on the mat." for n in range(60)]


@pytest.fixture(scope="module", params=["simplified", "stories"])
def corpus(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpora")
    if request.param == "stories": write_stories(folder/"out", StoryWorldConfig(documents=50, part_documents=20))
    else:
        (folder/"a.jsonl").write_text("".join(json.dumps(dict(text=t)) + "\n" for t in TEXTS))
        simplify_corpus(folder/"a.jsonl", folder/"out", WORDS, SMALL)
    return folder/"out"


def expected(corpus): return [text for part in sorted((corpus/"data").iterdir()) for text in pq.read_table(part)["text"].to_pylist()]


def test_pandas(corpus): assert list(pd.read_parquet(corpus/"data").text) == expected(corpus) != []


def test_polars(corpus):
    polars = pytest.importorskip("polars", reason="of the extra `dev`")
    assert polars.scan_parquet(corpus/"data").collect()["text"].to_list() == expected(corpus)


def test_duckdb(corpus):
    duckdb = pytest.importorskip("duckdb", reason="of the extra `dev`")
    rows = duckdb.sql(f"select text from read_parquet('{corpus}/data/*.parquet')").fetchall()
    assert sorted(text for text, in rows) == sorted(expected(corpus))


def test_datasets(corpus, tmp_path):
    import datasets
    loaded = datasets.load_dataset(str(corpus), cache_dir=tmp_path)
    assert list(loaded) == ["train"] and list(loaded["train"]["text"]) == expected(corpus)
    streamed = datasets.load_dataset(str(corpus), split="train", streaming=True)
    assert [row["text"] for row in streamed] == expected(corpus)


def test_blocks_say_what_they_hold(corpus, tmp_path):
    """`load_dataset` names what it loads from blocks: the list of documents, since the tokens are no table."""
    import datasets
    train_tokenizer(corpus, tmp_path/"tokenizer", TokenizerConfig(vocab_size=270))
    made = pack_blocks(corpus, tmp_path/"tokenizer", tmp_path/"blocks", PackingConfig(context=16, validation_fraction=.2))
    assert datasets.get_dataset_config_names(str(tmp_path/"blocks")) == ["documents"]
    loaded = datasets.load_dataset(str(tmp_path/"blocks"), cache_dir=tmp_path/"cache")
    assert {split: len(rows) for split, rows in loaded.items()} == {split: made.counts[split]["documents"] for split in ("train", "validation")}


def test_old_corpora_are_still_read(corpus, tmp_path):
    """Parts beside the manifest, as before there was `data/`."""
    shutil.copytree(corpus, tmp_path/"old")
    for part in (tmp_path/"old"/"data").iterdir(): part.rename(tmp_path/"old"/part.name)
    (tmp_path/"old"/"data").rmdir()
    (tmp_path/"old"/"README.md").unlink()
    label = tmp_path/"old"/"manifest.json"
    made = json.loads(label.read_text())
    made["files"] = {name.removeprefix("data/"): about for name, about in made["files"].items() if name != "README.md"}
    label.write_text(json.dumps(made))
    for source in (tmp_path/"old", str(tmp_path/"old"/"part-*")): assert list(corpus_texts(source)) == expected(corpus)
    damaged = next((tmp_path/"old").glob("part-*"))
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\0")
    with pytest.raises(InputError, match="differs from what its manifest says"): simplify_corpus(tmp_path/"old", tmp_path/"again", WORDS, SMALL)


def test_a_part_given_by_itself_is_checked_against_its_manifest(corpus, tmp_path):
    shutil.copytree(corpus, tmp_path/"copy")
    part = next((tmp_path/"copy"/"data").iterdir())
    part.write_bytes(part.read_bytes()[:-1] + b"\0")
    for source in (part, str(tmp_path/"copy"/"data"/"*")):
        with pytest.raises(InputError, match="differs from what its manifest says"): simplify_corpus(source, tmp_path/"again", WORDS, SMALL)


@pytest.mark.parametrize("name, kind, write", [
    ("part-00000", "jsonl", lambda t: "".join(json.dumps(dict(text=x)) + "\n" for x in t).encode()),
    ("stories.data", "txt", lambda t: "\n<|endoftext|>\n".join(t).encode()),
    ("table.dat", "csv", lambda t: pd.DataFrame(dict(text=t)).to_csv(index=False).encode()),
    ("table.dat", "tsv", lambda t: pd.DataFrame(dict(text=t)).to_csv(index=False, sep="\t").encode()),
    ("0", "parquet", lambda t: pd.DataFrame(dict(text=t)).to_parquet()),
    ("text.csv", "jsonl", lambda t: "".join(json.dumps(dict(text=x)) + "\n" for x in t).encode())])
def test_format_by_option(tmp_path, name, kind, write):
    (tmp_path/"corpus").mkdir()
    (tmp_path/"corpus"/name).write_bytes(write(TEXTS))
    (tmp_path/"corpus"/"_SUCCESS").touch()
    for place in (tmp_path/"corpus"/name, tmp_path/"corpus"): assert list(corpus_texts(open_sources(place, reading=Reading(format=kind)))) == TEXTS


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-16-le", "utf-32", "shift_jis", "utf-8-sig"])
@pytest.mark.parametrize("form", ["jsonl", "txt", "csv"])
def test_encodings(tmp_path, encoding, form):
    texts = ["猫は座った。", "犬も。"] if encoding == "shift_jis" else ["Der Bär schlief früh.", "Ça va? Déjà vu."]
    content = {"jsonl": "".join(json.dumps(dict(text=t), ensure_ascii=False) + "\n" for t in texts), "txt": "\n---\n".join(texts), "csv": "text\n" + "".join(f'"{t}"\n' for t in texts)}[form]
    (tmp_path/f"a.{form}").write_bytes(content.encode(encoding))
    reading = Reading(encoding=encoding, separator="---" if form == "txt" else None)
    assert list(corpus_texts(open_sources(tmp_path/f"a.{form}", reading=reading))) == texts


def test_reading_is_part_of_what_a_result_is_made_from(tmp_path):
    (tmp_path/"a.txt").write_text("\n***\n".join(TEXTS[:5]))
    one = simplify_corpus(tmp_path/"a.txt", tmp_path/"one", WORDS, SMALL)
    five = simplify_corpus(open_sources(tmp_path/"a.txt", reading=Reading(separator="***")), tmp_path/"five", WORDS, SMALL)
    assert (one.counts["documents"], five.counts["documents"]) == (1, 5) and one.fingerprint != five.fingerprint
    with pytest.raises(InputError, match="reading"): simplify_corpus(open_sources(tmp_path/"a.txt", reading=Reading(separator="***")), tmp_path/"one", WORDS, SMALL)


def test_separators_at_the_borders_of_reads(tmp_path, monkeypatch):
    from simplelm.text import formats
    (tmp_path/"a.txt").write_text("\n<|endoftext|>\n".join(TEXTS) + "\n<|endoftext|>")
    for size in (7, 13, 64, 1000):
        monkeypatch.setattr(formats, "BLOCK_BYTES", size)
        assert list(corpus_texts(tmp_path/"a.txt")) == TEXTS


@pytest.mark.parametrize("rows, said", [
    ([dict(text=" ".join(TEXTS))], "the corpus is one document, and whole documents are held out"),
    ([dict(text=t, document="book") for t in TEXTS], "all 60 rows have the same `document`"),
    ([dict(text=t) for t in TEXTS], "raise validation_fraction (it is 1e-06 of 60 documents)")])
def test_advice_about_a_validation_split_that_is_empty(tmp_path, rows, said):
    (tmp_path/"a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    train_tokenizer(tmp_path/"a.jsonl", tmp_path/"tokenizer", TokenizerConfig(vocab_size=270))
    with pytest.raises(InputError) as refused: pack_blocks(tmp_path/"a.jsonl", tmp_path/"tokenizer", tmp_path/"blocks", PackingConfig(context=16, validation_fraction=1e-6))
    assert said in str(refused.value)


def test_map_without_arrow(tmp_path):
    import datasets
    from functools import partial
    from simplelm.text.simplified import simplify_batch
    rows, step = datasets.Dataset.from_dict(dict(text=TEXTS)), partial(simplify_batch, vocabulary=WORDS, config=SMALL)
    for options in (dict(batched=True), dict()):
        with pytest.raises(InputError, match="with_format"): rows.map(step, **options)
    with pytest.raises(InputError, match="no column 'story'"): rows.with_format("arrow").map(partial(step, text_column="story"), batched=True)
    assert len(rows.with_format("arrow").map(step, batched=True, remove_columns=["text"])) > 0


@pytest.mark.parametrize("source", ["poems.txt", "*.txt"])
def test_a_study_reads_as_it_says(tmp_path, monkeypatch, source):
    """`[source.reading]`: both languages of a study come from the same texts."""
    from simplelm.configuration import parse_config
    from simplelm.studies.languages import Languages
    from simplelm.studies.packing import make_blocks
    from simplelm.studies.study import Study
    texts = [f"{t} Früh am Tag." for t in TEXTS]
    (tmp_path/"poems.txt").write_text("\n***\n".join(texts), encoding="latin-1")
    (tmp_path/"words.csv").write_text("word\n" + "\n".join(WORDS) + "\n")
    monkeypatch.chdir(tmp_path)
    simplify = dict(simplify=dict(vocabulary="words.csv", min_words=4, max_oov=0))
    study = parse_config(Study, dict(
        name="poems", description="Poems", models=dict(sizes=["32x2"]), training=dict(tokens=1024, batch_size=4), evaluation=dict(tasks=["storyworld"]),
        languages=dict(regular={}, simple=dict(steps=[simplify])),
        source=dict(sources=[source], held_out_sources=[source], reading=dict(encoding="latin-1", separator="***")),
        tokenizer=dict(vocab_size=300), packing=dict(context=16, validation_fraction=.2)), "poems.toml")
    languages = Languages(study.source, study.languages, tmp_path/"run")
    assert list(corpus_texts(list(languages.corpus("regular")))) == texts
    for language in study.languages:
        made = json.loads((make_blocks(study, tmp_path/"run", language, languages.corpus(language))/"manifest.json").read_text())
        assert sum(made["counts"][split]["documents"] for split in ("train", "validation")) == len(texts)
