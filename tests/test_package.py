"""The wheel: what is in it, what it asks for, and that it runs where nothing else of the project is."""
import configparser
import os
import re
import subprocess
import sys
import zipfile

import pytest

from conftest import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", str(folder), str(ROOT)], check=True, timeout=300)
    return next(folder.glob("simplelm-*.whl"))


def read_settings():
    settings = configparser.ConfigParser(delimiters=["="])
    settings.read(ROOT/"settings.ini")
    return settings["DEFAULT"]


def test_contents(wheel):
    with zipfile.ZipFile(wheel) as z:
        names = z.namelist()
        metadata = z.read(next(n for n in names if n.endswith("METADATA"))).decode()
    packaged = [f for f in (ROOT/"simplelm").rglob("*") if f.is_file() and "__pycache__" not in f.parts]
    assert {str(f.relative_to(ROOT)) for f in packaged} <= set(names)
    assert "simplelm/studies/report.html.jinja" in names
    assert any(n.startswith("simplelm/lexicon/") for n in names)
    assert not [n for n in names if n.startswith(("nbs", "tests"))]
    needed = [line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line]
    asked = {key.removesuffix("_requirements") for key in read_settings() if key.endswith("_requirements")}
    assert {line.split(": ")[1] for line in metadata.splitlines() if line.startswith("Provides-Extra")} == asked
    assert needed and not [line for line in needed if any(tool in line for tool in ("nbdev", "pytest", "jupyter", "smalldocs"))]


def test_runs_away_from_the_checkout(wheel, tmp_path):
    subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path/"site"), str(wheel)], check=True)
    code = "import simplelm, sys; print(simplelm.__file__); from simplelm.cli import main; main(['plan', 'paper'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path/"site")}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(tmp_path/"site")) and "36 models" in done.stdout


def test_every_requirement_is_pinned():
    settings = read_settings()
    pins = {line.split("==")[0].lower().replace("_", "-") for line in (ROOT/"constraints.txt").read_text().splitlines() if "==" in line}
    for key in (k for k in settings if k.endswith("requirements")):
        for requirement in settings[key].split():
            name = re.split(r"[<>=!~\[]", requirement)[0].lower().replace("_", "-")
            assert name in pins, f"{name} of {key} is not pinned in constraints.txt"
