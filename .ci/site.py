"""Build the site offline into `_proc/_docs`: `python .ci/site.py`.

nbdev processes the notebooks and smalldocs renders them by `_quarto.yml`, as Quarto would. Four things are changed afterwards, so
that the pages need no network and have the addresses of the published site:

- smalldocs leaves formulas to a script from a CDN; here they become MathML, which browsers draw by themselves.
- Pages take the names that Quarto gives them, without the number of their notebook.
- A theme asks Google for its typeface, which `styles.css` does not use; it no longer asks.
- The links that nbdev writes from a name in backticks to its definition lead to this build, not to the published site. Private names, which
  nbdev also knows but no page shows, are no links.

nbdev evaluates the types of a signature, and stops at one that only type checkers import. Here such a type stays a name.
"""
import html
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import fastcore.docments
from latex2mathml.converter import convert
from nbdev.serve import proc_nbs

FORMULA = re.compile(r'<span class="math (inline|display)">\\[(\[](.*?)\\[)\]]</span>', re.DOTALL)
PUBLISHED = "https://simplelm.github.io/simplelm/"
DEFINITION = re.compile(rf'<a href="{re.escape(PUBLISHED)}([^"#]+)#([^"]+)">(<code>[^<]*</code>)</a>')
CDN = re.compile(r'<(?:link|script)[^>]*cdn\.jsdelivr\.net/npm/katex[^>]*>(?:</script>)?')


def signature(called: object, *, eval_str: bool = False, evaluate=fastcore.docments.signature) -> object:
    """The signature of what a page shows, with its types as names where they cannot be evaluated."""
    try: return evaluate(called, eval_str=eval_str)
    except NameError: return evaluate(called)


def set_formulas(page: str) -> str:
    """A page with its TeX as MathML, in the same `span` that Quarto has around a formula."""
    def formula(found):
        mathml = convert(html.unescape(found[2]), display="block" if found[1] == "display" else "inline")
        return f'<span class="math {found[1]}">{mathml}</span>'
    return CDN.sub("", FORMULA.sub(formula, page))


def drop_numbers(docs: Path) -> None:
    """Call `text/04_corpus.html` `text/corpus.html`, in its name and in all that leads to it."""
    numbered = re.compile(r"\b\d\d_(\w+\.html)")
    for path in [*docs.rglob("*.html"), docs/"search.json", docs/"sitemap.xml"]:
        path.write_text(numbered.sub(r"\1", path.read_text(encoding="utf-8")), encoding="utf-8")
        if (name := numbered.sub(r"\1", path.name)) != path.name: path.rename(path.with_name(name))


def ask_for_no_typeface(docs: Path) -> None:
    """Themes without the typefaces that they import from elsewhere."""
    for path in (docs/"site_libs"/"themes").glob("*.css"):
        path.write_text(re.sub(r"@import url\(https:[^)]*\);", "", path.read_text(encoding="utf-8")), encoding="utf-8")


def keep_links_here(docs: Path) -> None:
    """Links to the published site become links between the pages of this one, if they lead to something."""
    pages = {path: path.read_text(encoding="utf-8") for path in docs.rglob("*.html")}
    places = {path.relative_to(docs).as_posix(): set(re.findall(r' id="([^"]+)"', page)) for path, page in pages.items()}
    for path, page in pages.items():
        up = "../" * len(path.relative_to(docs).parent.parts)
        def definition(found): return found[0] if found[2] in places.get(found[1], ()) else found[3]
        page = DEFINITION.sub(definition, page)
        path.write_text(page.replace(f'href="{PUBLISHED}', f'href="{up}'), encoding="utf-8")


if __name__ == "__main__":
    root = Path(__file__).resolve().parents[1]
    shutil.rmtree(root/"_proc", ignore_errors=True)
    os.chdir(root)
    fastcore.docments.signature = signature
    proc_nbs(n_workers=0) # the command nbdev_proc_nbs would first try to install Quarto
    subprocess.run([Path(sys.executable).with_name("smalldocs"), "render", "_proc"], cwd=root, check=True)
    docs = root/"_proc"/"_docs"
    for path in docs.rglob("*.html"):
        path.write_text(set_formulas(path.read_text(encoding="utf-8")), encoding="utf-8")
    drop_numbers(docs)
    ask_for_no_typeface(docs)
    keep_links_here(docs)
