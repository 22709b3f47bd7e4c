"""Every notebook runs from top to bottom, as `nbdev_test` runs it, and says what its module says."""
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import processes
from conftest import ROOT, hashes

nbdev = pytest.importorskip("nbdev", reason="the notebooks are run by nbdev, of the extra `dev`")
NOTEBOOKS = sorted(path for path in (ROOT/"nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
PARTS = ("text", "stories", "models", "scoring", "laws", "studies", "cli") # each imports from those before it


def name(path): return path.relative_to(ROOT/"nbs").with_suffix("").as_posix()


def check(notebook, flags=""):
    done = processes.run(processes.notebook, notebook, flags, cwd=ROOT, environment=os.environ | {"IN_TEST": "1"}, timeout=600)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=name)
def test_runs(notebook): check(notebook)


@pytest.mark.slow
@pytest.mark.parametrize("notebook", [path for path in NOTEBOOKS if '"#| slow' in path.read_text(encoding="utf-8")], ids=name)
def test_runs_with_slow_cells(notebook): check(notebook, "slow")


def test_modules_equal_exports(tmp_path):
    from nbdev.export import nb_export
    shutil.copytree(ROOT/"nbs", tmp_path/"nbs") # modules name their notebooks by relative paths
    for notebook in NOTEBOOKS: nb_export(tmp_path/notebook.relative_to(ROOT), tmp_path/"simplelm")
    exported = {name: h for name, h in hashes(tmp_path/"simplelm").items() if not name.endswith("__init__.py")}
    assert len(exported) == sum("#| default_exp" in notebook.read_text(encoding="utf-8") for notebook in NOTEBOOKS)
    committed = {name: h for name, h in hashes(ROOT/"simplelm").items() if name in exported}
    assert committed == exported, "run nbdev_export and commit"


def test_readme_equals_index():
    from readme import render
    assert (ROOT/"README.md").read_text(encoding="utf-8") == render(ROOT/"nbs"/"index.ipynb"), "run python tests/readme.py and commit"


def exported(path):
    """Dotted module -> part and number of the notebook that makes it."""
    found = re.search(r"#\| default_exp ([\w.]+)", path.read_text(encoding="utf-8"))
    return found and (found[1], path.relative_to(ROOT/"nbs").parts[0] if path.parent != ROOT/"nbs" else "", int(path.stem.split("_")[0]))


def test_modules_import_only_what_comes_before():
    """Their own part with a lower number, parts before it, the top and internals; internals import the top alone."""
    place = {module: (part, number) for module, part, number in filter(None, map(exported, NOTEBOOKS))}
    assert len(place) > 30 and {part for part, _ in place.values()} == {"", "internals", *PARTS}
    for module, (part, number) in place.items():
        path = ROOT/"simplelm"/Path(*module.split(".")).with_suffix(".py")
        for line in path.read_text(encoding="utf-8").splitlines():
            if not (found := re.match(r"\s*from (\.+)([\w.]*) import", line)): continue
            package = module.split(".")[:-len(found[1])] if len(found[1]) <= module.count(".") + 1 else []
            imported = ".".join([*package, *filter(None, found[2].split("."))])
            if imported not in place: continue
            other, lower = place[imported]
            own = other == part and lower < number
            earlier = part in PARTS and other in PARTS and PARTS.index(other) < PARTS.index(part)
            assert own or earlier or other == "" and part != "" or other == "internals" and part != "", f"{module} imports {imported}"


WITHOUT_TORCH = [
    "artifacts", "text.vocabulary", "text.simplification", "text.statistics", "text.corpus", "text.parts", "text.simplified",
    "stories.lexicon", "stories.dials", "stories.teller", "stories.grammar", "stories.world", "stories.story", "stories.tasks",
    "scoring.tasks", "scoring.public_tasks", "scoring.twins", "scoring.items", "scoring.requests", "scoring.metrics", "scoring.evaluation",
    "scoring.contamination", "laws.scaling", "studies.languages", "studies.study", "studies.running", "studies.claims", "studies.report",
    "cli.commands"]
WITHOUT_CHARTS = [f"laws.{name}" for name in ("fitting", "rivals", "frontier", "emergence", "forecast", "size_factor")]

# Each module is imported by a fork of a process that has imported libraries which all of them may use
IMPORT = """
import importlib, os, sys
import numba, numpy, pandas, pyarrow.parquet, scipy.stats
for module in sys.argv[1:]:
    sys.stdout.flush()
    if os.fork(): os.wait()
    else:
        importlib.import_module(module)
        print(module, *({"torch", "altair.vegalite"} & {*sys.modules}), flush=True)
        os._exit(0)
"""


@pytest.fixture(scope="module")
def loaded():
    """Module -> which of the two large libraries its import loads."""
    modules = [f"simplelm.{name}" for name in (*WITHOUT_TORCH, *WITHOUT_CHARTS)]
    done = subprocess.run([sys.executable, "-c", IMPORT, *modules, "torch", "altair"], capture_output=True, text=True)
    return {module: set(large) for module, *large in map(str.split, done.stdout.splitlines())}


@pytest.mark.parametrize("module", WITHOUT_TORCH)
def test_imports_without_torch(module, loaded): assert "torch" not in loaded[f"simplelm.{module}"]


@pytest.mark.parametrize("module", WITHOUT_CHARTS)
def test_imports_without_torch_and_charts(module, loaded): assert not loaded[f"simplelm.{module}"]


def test_imports_are_seen(loaded): assert loaded["torch"] == {"torch"} and loaded["altair"] == {"altair.vegalite"}


# A folder of the machine that ran a page, the packages installed on it, or the number of a kernel's process
MACHINE = re.compile(r"(?<![\w.:/])/(?:tmp|work|home|root|usr|opt|var|Users)/|site-packages|ipykernel_\d")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_outputs_are_the_same_on_every_machine(path):
    """No output names a folder of one machine, and no progress bar is saved as a widget that a reader cannot open."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert "widgets" not in notebook["metadata"]
    for number, cell in enumerate(notebook["cells"]):
        shown = json.dumps(cell.get("outputs", []), ensure_ascii=False)
        assert "widget-view" not in shown, f"cell {number} shows a widget"
        found = MACHINE.search(shown)
        assert not found, f"cell {number} shows {shown[max(0, found.start() - 40):found.end() + 40]}"
