"""`import simplelm` alone: quick, complete, typed, and with help."""
import ast
import inspect
import re
import subprocess
import sys
from dataclasses import is_dataclass

import pytest

import simplelm
from conftest import ROOT


def test_importing_loads_nothing_heavy():
    code = "import sys, simplelm, simplelm.text, simplelm.models; heavy = {'torch', 'transformers', 'numba', 'pyarrow', 'pandas', 'datasets'} & {*sys.modules}; sys.exit(str(heavy) if heavy else 0)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("name", [name for name in simplelm.__all__ if name != "__version__"])
def test_every_name(name):
    """It is there, where it says, with a docstring if it can be called."""
    found = getattr(simplelm, name)
    assert name in dir(simplelm) and getattr(simplelm, name) is found
    if callable(found): assert inspect.getdoc(found) and found.__module__ == f"simplelm.{simplelm._HOMES[name]}"


def test_type_checkers_and_python_see_the_same_names():
    text = (ROOT/"simplelm"/"__init__.py").read_text()
    seen = {(home, name) for home, name, again in re.findall(r"^    from \.([\w.]+) import (\w+) as (\w+)$", text, re.M) if name == again}
    assert seen == {(home, name) for name, home in simplelm._HOMES.items()}


def imports_of(path):
    """Every `from ... import name` of a module, those inside functions too: the dotted module, and the name."""
    package = ("simplelm", *path.relative_to(ROOT/"simplelm").parts[:-1])
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.ImportFrom): continue
        above = package[:len(package) - node.level + 1] if node.level else ()
        home = (*above, *(node.module or "").split(".")) if node.module else above
        if home[0] == "simplelm": yield from ((home, alias.name) for alias in node.names)


def defined_in(home):
    """The names at the top of a module or package, and the modules of a package."""
    folder = ROOT.joinpath(*home)
    path = folder/"__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    assert path.is_file(), f"no module {'.'.join(home)}"
    names = {one.stem for one in folder.iterdir()} if folder.is_dir() else set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.Import, ast.ImportFrom)): names |= {alias.asname or alias.name for alias in node.names}
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)): names.add(node.name)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store): names.add(node.id)
    return names


@pytest.mark.parametrize("path", sorted((ROOT/"simplelm"/"cli").glob("*.py")), ids=lambda path: path.stem)
def test_what_a_command_imports_when_it_is_called_exists(path):
    found = list(imports_of(path))
    assert found
    for home, name in found: assert name in defined_in(home), f"{'.'.join(home)} has no {name}"


def test_help_says_what_each_parameter_is():
    for name in simplelm._HOMES:
        found = getattr(simplelm, name)
        if not inspect.isfunction(found) and not is_dataclass(found): continue
        said = inspect.getdoc(found)
        for parameter in inspect.signature(found).parameters: assert re.search(rf"^{parameter}\n    \S", said, re.M), (name, parameter)


def test_an_unknown_name():
    with pytest.raises(AttributeError, match="has no attribute 'simplfy'"): simplelm.simplfy


def test_a_library_call_leaves_the_process_as_it_is(tmp_path, blocks):
    """Signals, the collector of garbage, threads and the allocator are the caller's."""
    code = f"""
import gc, signal, ctypes
import torch
from simplelm.internals import kernels
kept = []
kernels.keep_memory = lambda: kept.append(1) # before anybody imports it
from simplelm import TrainingConfig, model_size, train
before = signal.getsignal(signal.SIGTERM), gc.get_threshold(), gc.isenabled(), torch.get_num_threads()
installed = []
real, signal.signal = signal.signal, lambda *a: installed.append(a)
train(model_size("32x2", vocab_size=512, context=64), {str(blocks)!r}, {str(tmp_path/"m")!r}, TrainingConfig(tokens=8192, batch_size=16, evaluate_sequences=8))
assert before == (signal.getsignal(signal.SIGTERM), gc.get_threshold(), gc.isenabled(), torch.get_num_threads()) and not kept
assert not [a for a in installed if a[0] == signal.SIGTERM]
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
