"""Build the site offline into `_proc/_docs`: `python .ci/site.py`.

nbdev processes the notebooks and smalldocs renders them by `_quarto.yml`, as Quarto would. smalldocs leaves formulas to a script
from a CDN; here they become MathML, which browsers draw by themselves, so the pages need no network. Pages take the names that
Quarto gives them, without the number of their notebook, so that one address serves both.
"""
import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

from latex2mathml.converter import convert

FORMULA = re.compile(r'<span class="math (inline|display)">\\[(\[](.*?)\\[)\]]</span>', re.DOTALL)
CDN = re.compile(r'<(?:link|script)[^>]*cdn\.jsdelivr\.net/npm/katex[^>]*>(?:</script>)?')


def set_formulas(page: str) -> str:
    """A page with its TeX as MathML."""
    page = FORMULA.sub(lambda m: convert(html.unescape(m[2]), display="block" if m[1] == "display" else "inline"), page)
    return CDN.sub("", page)


def drop_numbers(docs: Path) -> None:
    """Call `text/04_corpus.html` `text/corpus.html`, in its name and in all that leads to it."""
    numbered = re.compile(r"\b\d\d_(\w+\.html)")
    for path in [*docs.rglob("*.html"), docs/"search.json", docs/"sitemap.xml"]:
        path.write_text(numbered.sub(r"\1", path.read_text(encoding="utf-8")), encoding="utf-8")
        if (name := numbered.sub(r"\1", path.name)) != path.name: path.rename(path.with_name(name))


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    shutil.rmtree(root/"_proc", ignore_errors=True)
    # the command nbdev_proc_nbs would first try to install Quarto
    subprocess.run([sys.executable, "-c", "from nbdev.serve import proc_nbs; proc_nbs()"], cwd=root, check=True)
    subprocess.run([Path(sys.executable).with_name("smalldocs"), "render", "_proc"], cwd=root, check=True)
    for path in (root/"_proc"/"_docs").rglob("*.html"):
        path.write_text(set_formulas(path.read_text(encoding="utf-8")), encoding="utf-8")
    drop_numbers(root/"_proc"/"_docs")
