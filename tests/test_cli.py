"""The commands, end to end, as a user types them."""
import json
import re
import subprocess
import sys
import time

import pandas as pd
import pytest

from conftest import call
from simplelm.cli.commands import COMMANDS
from simplelm.cli.options import command_options, description, help_page


def test_help_explains_every_command():
    """Each page in this process; what starts a process is checked once."""
    for name, command in COMMANDS.items():
        page = help_page(command, name)
        assert page.startswith(f"usage: simplelm {name}") and len(description(command)[1]) > 0, name
        for option in command_options(command): assert option.about, f"{name} {option.name}: an option without help"
        for jargon in ("{None", "MISSING", "STR", "INT ", "[[", "()", "`", "default: None", "config options"): assert jargon not in page, (name, jargon)
    done = call("vocabulary", "gain", "--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: simplelm vocabulary gain SOURCE ... [OPTIONS]"), done.stderr


def test_help_shows_what_a_user_may_type():
    page = help_page(COMMANDS["simplify"], "simplify")
    assert "--min-words INTEGER     A passage must have more words than this (default: 32)" in page
    assert "--split TEXT " in page and "--out PATH " in page and "--columns TEXT ... " in page
    assert "--joined " in page and "--no-joined" not in page and "--from-sentence-start, --no-from-sentence-start" in page
    assert page.index("--out PATH ") < page.index("--columns") < page.index("--restart") < page.index("--min-words"), "required, own, shared, those of a stage"


def test_help_is_quick():
    """An answer within a second, which leaves no time to import a stage."""
    code = "import sys; from simplelm.cli.commands import overview; overview(); sys.exit(str({'torch', 'transformers', 'numba', 'pyarrow', 'pandas', 'scipy'} & {*sys.modules} or 0))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "0", done.stderr
    fastest = min(timed("--help") for _ in range(5))
    assert fastest < 1, f"simplelm --help takes {fastest:.2f} s"


def timed(*arguments):
    began = time.monotonic()
    call(*arguments)
    return time.monotonic() - began


def test_plan_paper_needs_nothing():
    done = call("plan", "paper", "--accelerator", "A100", "--count", 8)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len([line for line in lines if line.split()[:1] in (["simple"], ["regular"])]) == 36
    # 2·15000·1024 + 8·(16·1024² + 2·1024) + 1024, the closed form of the largest model
    assert "164,955,136" in done.stdout
    assert "36 models" in lines[-1]


def test_stage_by_stage(tmp_path, stories, words, blocks):
    made = call("vocabulary", stories, "--size", 300, "--out", tmp_path/"words.csv")
    assert made.returncode == 0 and len(pd.read_csv(tmp_path/"words.csv", keep_default_na=False)) == 300
    simple = call("simplify", stories, "--vocabulary", words, "--out", tmp_path/"simple")
    assert simple.returncode == 0, simple.stderr
    counts = json.loads((tmp_path/"simple"/"manifest.json").read_text())["counts"]
    assert counts["documents"] == 3000 == counts["documents_kept"] + counts["documents_emptied"] + counts["documents_rejected"]
    trained = call("train", blocks, "--size", "32x2", "--tokens", 8192, "--batch-size", 16, "--out", tmp_path/"model")
    assert trained.returncode == 0, trained.stderr
    scored = call("evaluate", "--model", tmp_path/"model", "--tasks", "storyworld", "--simple", "--limit", 20)
    assert scored.returncode == 0, scored.stderr
    assert set(pd.read_csv(tmp_path/"model-scores"/"scores.csv").form) == {"standard", "simple"}
    same = call("compare", tmp_path/"model-scores", tmp_path/"model-scores")
    assert same.returncode == 0 and "0 of 24 differences are significant" in same.stdout, same.stderr

    from transformers import AutoModelForCausalLM, AutoTokenizer
    tokenizer, model = AutoTokenizer.from_pretrained(tmp_path/"model"), AutoModelForCausalLM.from_pretrained(tmp_path/"model")
    assert model.config.vocab_size == len(tokenizer) == 512


def test_fit_recovers_a_known_law(tmp_path):
    x = [10.0**e for e in (15, 15.5, 16, 16.5, 17, 17.5, 18)]
    pd.DataFrame({"flops": x, "loss": [1.5 + 2000*v**-0.2 for v in x]}).to_csv(tmp_path/"points.csv", index=False)
    done = call("fit", tmp_path/"points.csv")
    assert done.returncode == 0, done.stderr
    found = {name: float(re.search(rf"\b{name}=([-\d.e+]+)", done.stdout)[1]) for name in ("E", "A", "alpha")}
    # the points lie on the law, so only the solver's tolerance is left
    assert found["alpha"] == pytest.approx(0.2, rel=1e-3) and found["E"] == pytest.approx(1.5, rel=1e-3) and found["A"] == pytest.approx(2000, rel=1e-2)


@pytest.mark.parametrize("arguments, said", [
    (["train"], "simplelm train needs BLOCKS and --out PATH; see simplelm train --help"),
    (["train", "blocks", "--batch-size", "many", "--out", "x"], "--batch-size: takes INTEGER, not 'many'; see simplelm train --help"),
    (["train", "blocks", "--batch-size"], "--batch-size: takes INTEGER; see simplelm train --help"),
    (["train", "blocks", "more", "--out", "x"], "more: not expected after simplelm train"),
    (["tokenize", "a", "--out", "x", "--bad-records", "eat"], "--bad-records: takes {stop,set-aside}, not 'eat'"),
    (["compare", "one"], "SCORES SCORES: not all is given; see simplelm compare --help"),
    (["simplfy"], "simplfy: no such command; the nearest is simplify; simplelm --help lists all"), (["zzz"], "zzz: no such command; simplelm --help lists all"),
    (["simplify", "--splt", "x", "--out", "y"], "--splt: no such option of simplelm simplify; the nearest is --split; see simplelm simplify --help"),
    (["train", "blocks", "--sise", "64x4", "--out", "x"], "--sise: no such option of simplelm train; the nearest is --size"),
    (["train", "rate", "blocks", "--lowst", "1"], "--lowst: no such option of simplelm train rate; the nearest is --lowest"),
    (["tokenize", "a", "--out", "x", "--hold-outs", "blocks"], "the nearest is --hold-out"), (["clean", "x", "--no-deleted"], "--no-deleted: no such option of simplelm clean")],
    ids=lambda v: " ".join(v)[:30] if isinstance(v, list) else "")
def test_mistyped_commands_and_options(tmp_path, arguments, said):
    done = call(*arguments, cwd=tmp_path)
    line, = done.stderr.splitlines()
    assert done.returncode == 2 and said in line and not list(tmp_path.iterdir()), done.stderr


def test_overview_and_version(tmp_path):
    shown = call("--help", cwd=tmp_path, environment={"COLUMNS": "80"}).stdout
    for name in COMMANDS: assert re.search(rf"^  {name} ", shown, re.M) and f"simplelm {name}" in shown, name
    assert max(map(len, (line for line in shown.splitlines() if not line.strip().startswith(("simplelm", "How much"))))) <= 80
    import simplelm
    assert call("--version", cwd=tmp_path).stdout == f"simplelm {simplelm.__version__}\n"
    assert call(cwd=tmp_path).returncode == 2


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(tmp_path, shell):
    done = call("completion", shell, cwd=tmp_path)
    assert done.returncode == 0 and "contamination" in done.stdout and "min-words" in done.stdout.replace("min_words", "min-words"), done.stderr
    if shell == "bash": assert subprocess.run(["bash", "-n"], input=done.stdout, text=True).returncode == 0


def test_the_first_word_of_several_commands_has_help_and_is_suggested():
    done = call("curate", "--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: simplelm curate COMMAND")
    for name in ("deduplicate", "split-sentences", "difficulty"): assert f"simplelm curate {name} " in done.stdout
    for arguments, words in {("curate",): "say what to do", ("curat", "--help"): "curate", ("curate", "dedup"): "say what to do"}.items():
        done = call(*arguments)
        assert done.returncode == 2 and words in done.stderr and len(done.stderr.strip().splitlines()) == 1, done.stderr
