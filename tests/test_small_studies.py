"""Studies that are too small to say much still end, and say so."""
import json

import pytest

from conftest import ROOT
from simplelm.cli import main

ONE_SIZE = ('sizes = ["32x2", "64x2"]', 'sizes = ["32x2"]')
CASES = {
    "one size": (ONE_SIZE,),
    "one item a task": (ONE_SIZE, ("limit = 20", "limit = 1")),
    "one task": (ONE_SIZE, ('tasks = ["storyworld"]', 'tasks = ["storyworld_agreement"]')),
    "one step": (ONE_SIZE, ("tokens = 16384", "tokens = 1024"), ("warmup_tokens = 4096", "warmup_tokens = 0")),
    "no samples": (ONE_SIZE, ('prompts = ["The dog"]', "prompts = []")),
    "two seeds": (ONE_SIZE, ("seeds = 1", "seeds = 2")),
    "one language": (ONE_SIZE, ("[languages.regular]\n", "")),
}


@pytest.mark.parametrize("case", [pytest.param(case, marks=() if case == "one step" else pytest.mark.slow) for case in CASES])
def test_a_small_study_has_a_report(tmp_path, monkeypatch, capsys, case):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    study = (ROOT/"tests"/"miniature.toml").read_text().replace("documents = 1000", "documents = 500")
    for line, other in CASES[case]:
        assert line in study
        study = study.replace(line, other)
    (tmp_path/"mine.toml").write_text(study)
    main(["run", "mine.toml", "--out", "run"])
    assert "report: run/report.html" in capsys.readouterr().out and (tmp_path/"run"/"report.html").stat().st_size > 10_000
    assert json.loads((tmp_path/"run"/"study.json").read_text())
    main(["report", "run"])
    for command in (["fit", "run"], ["forecast", "run", "--size", "64x4"], ["forecast", "calibrate", "run"]):
        try: main(command)
        except SystemExit as end: assert end.code == 2, capsys.readouterr().err
