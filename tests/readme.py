"""README.md is the front page, `nbs/index.ipynb`, as Markdown; `python tests/readme.py` writes it."""
from pathlib import Path

import nbformat


def render(notebook):
    """Markdown of a notebook: text as it stands, code in fences, hidden cells and outputs left out."""
    parts = []
    for cell in nbformat.read(notebook, as_version=4).cells:
        if "#| hide" in cell.source or cell.cell_type == "raw": continue
        parts.append(cell.source if cell.cell_type == "markdown" else f"```python\n{cell.source}\n```")
    return "\n\n".join(parts).replace("](results/", "](nbs/results/") + "\n"


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    (root/"README.md").write_text(render(root/"nbs"/"index.ipynb"), encoding="utf-8")
