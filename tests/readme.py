"""README.md is the front page, `nbs/index.ipynb`, as Markdown; `python tests/readme.py` writes it."""
import re
from pathlib import Path

import nbformat

SITE = "https://simplelm.github.io/simplelm/"
PAGE = re.compile(r"\]\((?!https?:)((?:\w+/)?)\d*_?(\w+)\.ipynb(#[^)]*)?\)")


def render(notebook):
    """Markdown of a notebook: text as it stands, code in fences, hidden cells and outputs left out, links to the published pages."""
    parts = []
    for cell in nbformat.read(notebook, as_version=4).cells:
        if "#| hide" in cell.source or cell.cell_type == "raw": continue
        parts.append(cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```")
    text = PAGE.sub(lambda m: f"]({SITE}{m[1]}{m[2]}.html{m[3] or ''})", "\n\n".join(parts))
    return text.replace("](results/", "](nbs/results/") + "\n"


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    (root/"README.md").write_text(render(root/"nbs"/"index.ipynb"), encoding="utf-8")
