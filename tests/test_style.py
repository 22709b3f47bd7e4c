"""Sparse lines and plain pages. What does not keep to it yet is counted in `style_debt.json`, page by page; the counts may only shrink.

    python tests/test_style.py      # lowers the counts to what is there; it never raises one
"""
import ast
import json
import sys
from collections import Counter
from functools import lru_cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
DEBT = ROOT/"tests"/"style_debt.json"
NOTEBOOKS = sorted(path for path in (ROOT/"nbs").rglob("*.ipynb") if ".ipynb_checkpoints" not in path.parts)
COLUMNS, NODES, CELL_LINES = 110, 20, 30
DATA = (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set, ast.keyword, ast.Load, ast.UnaryOp, ast.USub) # of which tables are made


def code_of(cell): return "\n".join(line for line in "".join(cell["source"]).splitlines() if not line.startswith(("#|", "%", "!")))


def dense_lines(code):
    """Lines with more than `NODES` nodes of the syntax tree, tables of data excepted."""
    try: tree = ast.parse(code)
    except SyntaxError: return 0
    nodes, data = Counter(), Counter()
    for node in ast.walk(tree):
        if isinstance(node, ast.expr_context) or not hasattr(node, "lineno"): continue
        nodes[node.lineno] += 1
        data[node.lineno] += isinstance(node, DATA)
    return sum(n > NODES and data[line] < 0.8*n for line, n in nodes.items())


@lru_cache(maxsize=None)
def measure(path):
    """What a page owes: long lines, dense lines, large export cells, export cells without prose before them."""
    found, before = Counter(long=0, dense=0, large=0, bare=0), ""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code":
            code = code_of(cell)
            found["long"] += sum(len(line) > COLUMNS for line in code.splitlines())
            found["dense"] += dense_lines(code)
            if "#| export" in source:
                found["large"] += len(code.splitlines()) > CELL_LINES
                found["bare"] += before not in ("markdown", "export")
            before = "export" if "#| export" in source else "code" if "#| hide" not in source else before
        else: before = "markdown"
    return dict(found)


@lru_cache(maxsize=None)
def names_twice():
    """Public names of more than one module."""
    homes = {}
    for path in (ROOT/"simplelm").rglob("*.py"):
        if path.stem in ("_modidx", "__init__"): continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
                for name in ast.literal_eval(node.value): homes.setdefault(name, []).append(path.stem)
    return sorted(name for name, modules in homes.items() if len(modules) > 1)


def all_debt():
    pages = {path.relative_to(ROOT/"nbs").with_suffix("").as_posix(): measure(path) for path in NOTEBOOKS}
    return dict(pages=pages, names_twice=names_twice())


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.relative_to(ROOT/"nbs").with_suffix("").as_posix())
def test_a_page_owes_no_more_than_before(path):
    owed = json.loads(DEBT.read_text())["pages"].get(path.relative_to(ROOT/"nbs").with_suffix("").as_posix(), {})
    now = measure(path)
    more = {what: f"{n} (was {owed.get(what, 0)})" for what, n in now.items() if n > owed.get(what, 0)}
    assert not more, f"more than {COLUMNS} columns (long), {NODES} nodes a line (dense), {CELL_LINES} lines an export cell (large), or no prose before one (bare)"


def test_no_new_name_is_public_twice():
    assert not set(names_twice()) - set(json.loads(DEBT.read_text())["names_twice"])


def test_the_list_only_shrinks():
    """What has been paid is no longer owed: run python tests/test_style.py."""
    owed, now = json.loads(DEBT.read_text()), all_debt()
    assert set(owed["pages"]) <= set(now["pages"])
    assert owed["names_twice"] == now["names_twice"]
    for page, counts in owed["pages"].items(): assert counts == now["pages"][page], page


def test_no_page_says_see_above():
    for path in NOTEBOOKS: assert "see above" not in path.read_text(encoding="utf-8").lower(), path


if __name__ == "__main__":
    now = all_debt()
    if DEBT.exists():
        owed = json.loads(DEBT.read_text())
        for page, counts in now["pages"].items():
            for what, n in counts.items(): counts[what] = min(n, owed["pages"].get(page, {}).get(what, 0))
        now["names_twice"] = sorted(set(now["names_twice"]) & set(owed["names_twice"]))
    DEBT.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
    print({what: sum(counts[what] for counts in now["pages"].values()) for what in ("long", "dense", "large", "bare")}, len(now["names_twice"]), "names twice")
    sys.exit(0)
