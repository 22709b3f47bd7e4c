"""Every notebook runs from top to bottom, as `nbdev_test` runs it, and says what its module says."""
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT, hashes

nbdev = pytest.importorskip("nbdev", reason="the notebooks are run by nbdev, of the extra `dev`")
NOTEBOOKS = sorted((ROOT/"nbs").glob("*.ipynb"))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda p: p.stem)
def test_runs(notebook):
    command = [str(Path(sys.executable).with_name("nbdev_test")), "--path", str(notebook), "--n_workers", "0"]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"IN_TEST": "1"}, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


def test_modules_equal_exports(tmp_path):
    from nbdev.export import nb_export
    shutil.copytree(ROOT/"nbs", tmp_path/"nbs") # modules name their notebooks by relative paths
    for notebook in NOTEBOOKS: nb_export(tmp_path/"nbs"/notebook.name, tmp_path/"simplelm")
    exported = hashes(tmp_path/"simplelm")
    assert len(exported) == sum("#| default_exp" in notebook.read_text(encoding="utf-8") for notebook in NOTEBOOKS)
    committed = {name: h for name, h in hashes(ROOT/"simplelm").items() if name in exported}
    assert committed == exported, "run nbdev_export and commit"


def test_readme_equals_index():
    from readme import render
    assert (ROOT/"README.md").read_text(encoding="utf-8") == render(ROOT/"nbs"/"index.ipynb"), "run python tests/readme.py and commit"


def test_modules_import_only_lower_numbers():
    number = {p.stem.split("_", 1)[1]: p.stem.split("_")[0] for p in NOTEBOOKS if p.stem[:2].isdigit()}
    for module in (ROOT/"simplelm").glob("*.py"):
        if module.stem not in number or module.stem == "cli": continue
        for line in module.read_text(encoding="utf-8").splitlines():
            if line.strip().startswith("from ."): # nbdev writes imports of the package relative
                imported = line.split()[1].lstrip(".")
                assert number[imported] < number[module.stem], f"{module.name} imports {imported}"


@pytest.mark.parametrize("module", ["artifacts", "vocabulary", "simplification", "statistics", "corpus", "story_words", "storyworld", "story_tasks", "benchmark", "twins", "contamination", "scaling", "study", "report", "laboratory", "cli"])
def test_imports_without_torch(module):
    code = f"import sys, simplelm.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
