"""The site builds without a complaint, and a browser shows every page offline: no console error, every chart drawn."""
import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from conftest import ROOT

pytest.importorskip("nbdev", reason="the site is made by nbdev, of the extra `dev`")
pytest.importorskip("smalldocs", reason="the site is rendered by smalldocs, of the extra `docs`")
pytest.importorskip("latex2mathml", reason="formulas are set by latex2mathml, of the extra `docs`")
QUARTO_ALONE = ("output-file", "keep-md") # nbdev writes these two for Quarto; smalldocs has no use for them


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of what the site is made from, so that nothing is built inside the repository."""
    copy = tmp_path_factory.mktemp("site")/"simplelm"
    shutil.copytree(ROOT, copy, symlinks=True, ignore=shutil.ignore_patterns(".git", "runs", ".venv*", "_proc", "_docs", "build", "*.egg-info"))
    done = subprocess.run([sys.executable, ".ci/site.py"], cwd=copy, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return copy


@pytest.fixture(scope="module")
def site(checkout): return checkout/"_proc"/"_docs"


def test_one_configuration():
    assert (ROOT/"nbs"/"_quarto.yml").is_symlink() and (ROOT/"nbs"/"_quarto.yml").resolve() == (ROOT/"_quarto.yml").resolve()


def test_check_reports_nothing(checkout, site):
    done = subprocess.run([Path(sys.executable).with_name("smalldocs"), "check", "_proc"], cwd=checkout, capture_output=True, text=True, timeout=600)
    lines = [line for line in done.stdout.splitlines() if line.strip() and not re.match(r"\d+ page", line)]
    assert not [line for line in lines if not any(option in line for option in QUARTO_ALONE)]


def test_every_notebook_is_a_page(site):
    # Quarto names a page by nbdev's `output-file`, which has no number; `.ci/site.py` makes smalldocs' pages the same
    pages = {p.relative_to(site).with_suffix("").as_posix() for p in site.rglob("*.html")}
    for notebook in (ROOT/"nbs").rglob("*.ipynb"):
        if ".ipynb_checkpoints" in notebook.parts: continue
        name = notebook.relative_to(ROOT/"nbs").with_suffix("")
        assert name.with_name(re.sub(r"^\d+_", "", name.name)).as_posix() in pages, f"{name} is no page"


def test_every_link_leads_somewhere(site):
    """Within the site, and from README to it: the offline build has the pages that the published one has."""
    pages = {p.relative_to(site).as_posix() for p in site.rglob("*.html")}
    lost = [(p.name, target) for p in site.rglob("*.html") for target in re.findall(r'href="([^"#:]+\.html)', p.read_text(encoding="utf-8"))
            if not (p.parent/target).resolve().is_file()]
    assert not lost
    own = {target for p in site.rglob("*.html") for target in re.findall(r'href="https://simplelm\.github\.io/simplelm/([^"#]+\.html)', p.read_text(encoding="utf-8"))}
    assert len(own) > 10 and not own - pages, "a definition's name leads to a page that is not there"
    published = re.findall(r"\(https://simplelm\.github\.io/simplelm/([\w/]+\.html)", (ROOT/"README.md").read_text(encoding="utf-8"))
    assert len(published) > 20 and not set(published) - pages


def test_browser_shows_every_page(site):
    playwright = pytest.importorskip("playwright.sync_api", reason="pages are opened by playwright, of the extra `docs`")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium: pytest.skip("no Chromium on this machine")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(site))
    handler.log_message = lambda *_: None
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = f"http://127.0.0.1:{server.server_port}"
    problems, charts = [], 0
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu", "--disable-background-networking",
                                                                    "--disable-component-update", "--disable-sync"])
        for path in sorted(site.rglob("*.html")):
            page = browser.new_page()
            page.on("console", lambda m, n=path.name: problems.append(f"{n}: {m.text}") if m.type == "error" else None)
            page.on("pageerror", lambda e, n=path.name: problems.append(f"{n}: {e}"))
            page.on("request", lambda r, n=path.name: problems.append(f"{n}: asks {r.url}") if not r.url.startswith((home, "data:", "blob:")) else None)
            page.goto(f"{home}/{path.relative_to(site).as_posix()}", wait_until="networkidle")
            empty = page.eval_on_selector_all(".cell-output svg, .cell-output img, main img", "e => e.filter(x => !(x.getBoundingClientRect().width > 20 && (x.tagName != 'IMG' || x.naturalWidth > 0))).length")
            if empty: problems.append(f"{path.name}: {empty} charts are not drawn")
            bare = page.eval_on_selector_all("main .math", "e => e.length")
            if bare: problems.append(f"{path.name}: {bare} formulas are not set")
            charts += page.eval_on_selector_all(".cell-output svg, .cell-output img, main img", "e => e.length")
            page.close()
        browser.close()
    server.shutdown()
    assert not problems
    assert charts >= 5
