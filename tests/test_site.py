"""The site builds without a complaint, its links lead somewhere, and a browser shows every page offline: on a desk and on a phone, light and dark."""
import functools
import http.server
import re
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

from conftest import ROOT

pytest.importorskip("nbdev", reason="the site is made by nbdev, of the extra `dev`")
pytest.importorskip("smalldocs", reason="the site is rendered by smalldocs, of the extra `docs`")
pytest.importorskip("latex2mathml", reason="formulas are set by latex2mathml, of the extra `docs`")
QUARTO_ALONE = ("output-file", "keep-md") # nbdev writes these two for Quarto; smalldocs has no use for them
PUBLISHED = "https://simplelm.github.io/simplelm/"
REPOSITORY = "https://github.com/simplelm/simplelm/"
DESK, PHONE = dict(width=1280, height=800), dict(width=400, height=800)


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


@pytest.mark.slow
def test_check_reports_nothing(checkout, site):
    done = subprocess.run([Path(sys.executable).with_name("smalldocs"), "check", "_proc"], cwd=checkout, capture_output=True, text=True, timeout=600)
    lines = [line for line in done.stdout.splitlines() if line.strip() and not re.match(r"\d+ page", line)]
    assert not [line for line in lines if not any(option in line for option in QUARTO_ALONE)]


@pytest.mark.slow
def test_every_notebook_is_a_page(site):
    # Quarto names a page by nbdev's `output-file`, which has no number; `.ci/site.py` makes smalldocs' pages the same
    pages = {p.relative_to(site).with_suffix("").as_posix() for p in site.rglob("*.html")}
    for notebook in (ROOT/"nbs").rglob("*.ipynb"):
        if ".ipynb_checkpoints" in notebook.parts: continue
        name = notebook.relative_to(ROOT/"nbs").with_suffix("")
        assert name.with_name(re.sub(r"^\d+_", "", name.name)).as_posix() in pages, f"{name} is no page"


class Page(HTMLParser):
    """The links of a page, and the names within it that a link can lead to."""
    def __init__(self, path):
        super().__init__()
        self.links, self.names = [], {"", "top"}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.names.update(attributes[key] for key in ("id", "name") if attributes.get(key))
        self.links += [attributes[key] for key in ("href", "src") if attributes.get(key)]


@pytest.fixture(scope="module")
def pages(site): return {path.resolve(): Page(path) for path in site.rglob("*.html")}


def leads_nowhere(link, path, pages, site):
    """Why a link on a page is lost; nothing where it is not, or leads to another project."""
    place, name = urldefrag(link)
    if link.startswith(PUBLISHED): return "the published site, where this build has the page itself"
    if place.startswith(f"{REPOSITORY}blob/main/"):
        file = ROOT/unquote(place.removeprefix(f"{REPOSITORY}blob/main/"))
        if not file.is_file(): return "no such file"
        line = re.fullmatch(r"L(\d+)", name)
        return "no such line" if line and int(line[1]) > len(file.read_text(encoding="utf-8").splitlines()) else None
    if re.match(r"(https|data|mailto|javascript):", link): return None
    if re.match(r"[a-z]+:", link): return "not by https"
    target = (path.parent/unquote(place)).resolve() if place else path
    if target.is_dir(): target /= "index.html"
    if not target.is_file(): return "no such page"
    return None if target not in pages or unquote(name) in pages[target].names else "no such place on the page"


@pytest.mark.slow
def test_every_link_leads_somewhere(site, pages):
    """To a page of this build and a place on it, or to a file of the repository and a line of it."""
    reasons = {(path.name, link): leads_nowhere(link, path, pages, site) for path, page in pages.items() for link in page.links}
    assert not {link: reason for link, reason in reasons.items() if reason}
    assert sum("#" in link and not link.startswith(("#", "http")) for _, link in reasons) > 50 # names lead to definitions on other pages


@pytest.mark.slow
def test_links_of_the_readme(site, pages):
    """The build has the pages of the published site that README names."""
    published = re.findall(rf"\({PUBLISHED}([\w/]+\.html)", (ROOT/"README.md").read_text(encoding="utf-8"))
    assert len(published) > 20 and not [page for page in published if (site/page).resolve() not in pages]


class Silent(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_): pass


@pytest.fixture(scope="module")
def home(site):
    """The address of a server of the site."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Silent, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="pages are opened by playwright, of the extra `docs`")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium: pytest.skip("no Chromium on this machine")
    alone = ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu", *alone])
        yield browser
        browser.close()


MEASURES = """() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)]
  const box = e => e.getBoundingClientRect()
  const scrolls = e => getComputedStyle(e).overflowX !== "visible"
  // the nearest box that scrolls, if any, within the page's text
  const frame = e => { for (let p = e.parentElement; p && p.tagName !== "MAIN"; p = p.parentElement) if (scrolls(p)) return p; return null }
  const words = e => `${e.tagName} ${e.textContent.trim().slice(0, 30)}`

  const rgb = text => text.match(/[\\d.]+/g).map(Number)
  const over = (front, back) => { const a = front[3] ?? 1; return [0, 1, 2].map(i => a*front[i] + (1 - a)*back[i]) }
  const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= 0.04045 ? v/12.92 : ((v + 0.055)/1.055)**2.4); return 0.2126*r + 0.7152*g + 0.0722*b }
  const contrast = (a, b) => { const [x, y] = [light(a), light(b)].sort((p, q) => q - p); return (x + 0.05)/(y + 0.05) }
  const ground = e => { // what is behind an element
    if (!e) return [255, 255, 255]
    const own = rgb(getComputedStyle(e).backgroundColor)
    return (own[3] ?? 1) === 1 ? own : over(own, ground(e.parentElement))
  }
  const readable = (e, property) => contrast(over(rgb(getComputedStyle(e)[property]), ground(e)), ground(e))

  const width = document.documentElement.clientWidth
  const toc = document.querySelector("#TOC"), margin = toc && box(toc).width && box(toc).left > width/2 ? box(toc).left : width
  const drawings = all(".cell-output svg, .cell-output img, main img")
  const scale = svg => box(svg).width/svg.viewBox.baseVal.width
  return {
    scrolls: document.documentElement.scrollWidth - width,
    // into the table of contents, or out of the window
    beyond: all("main *").filter(e => box(e).width && box(e).right > margin + 1 && !frame(e)).map(words),
    spilled: all("main.content, main.content *, #TOC *").filter(e => e.clientWidth && !scrolls(e) && !frame(e) && e.scrollWidth > e.clientWidth + 1).map(words),
    charts: drawings.length,
    empty: drawings.filter(e => !(box(e).width > 20 && (e.tagName !== "IMG" || e.naturalWidth > 0))).length,
    bare_formulas: all("main .math").filter(e => !e.querySelector("math")).length,
    small: all(".cell-output-display svg").flatMap(svg => all("text", svg).map(t => scale(svg)*parseFloat(getComputedStyle(t).fontSize))).filter(size => size < 9).length,
    boxes: all(".cell-output-display svg").filter(svg => rgb(getComputedStyle(svg).backgroundColor)[3] !== 0
             || all("rect", svg).some(r => r.parentElement === svg && getComputedStyle(r).fill !== "none")).length,
    faint: all(".cell-output-display svg text").filter(t => readable(t, "fill") < 4.5).map(t => `${t.textContent} ${getComputedStyle(t).fill}`),
    lined: all("table.dataframe").filter(t => parseFloat(getComputedStyle(t).borderLeftWidth) > 0).length,
    misaligned: all("table.dataframe td").filter(t => /^[-+]?[.\\d]+$/.test(t.textContent) && !t.classList.contains("words") && getComputedStyle(t).textAlign !== "right").length,
    search: all(".search-result-title, .search-result-section, .search-result-text, .search-result-text mark").map(e => readable(e, "color")),
    dark: light(ground(document.body)) < 0.1,
  }
}"""
FAULTS = ("beyond", "spilled", "empty", "bare_formulas", "boxes", "faint", "lined", "misaligned")


def faults(measured, *more):
    """What is wrong with a page, of what `MEASURES` looks at."""
    return {what: measured[what] for what in (*FAULTS, *more) if measured[what]}


@pytest.mark.slow
def test_browser_shows_every_page(site, browser, home):
    """At a desk's and a phone's width, light, and dark by the switch of the page."""
    problems, charts = {}, 0
    for path in sorted(site.rglob("*.html")):
        name = path.relative_to(site).as_posix()
        said = problems[name] = []
        page = browser.new_page(viewport=DESK, color_scheme="light")
        page.on("console", lambda m: said.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: said.append(str(e)))
        page.on("request", lambda r: said.append(f"asks {r.url}") if not r.url.startswith((home, "data:", "blob:")) else None)
        page.goto(f"{home}/{name}")
        desk = page.evaluate(MEASURES)
        page.click(".quarto-color-scheme-toggle")
        page.wait_for_function("document.documentElement.classList.contains('quarto-dark')")
        dark = page.evaluate(MEASURES)
        page.set_viewport_size(PHONE)
        phone = page.evaluate(MEASURES)
        assert not desk["dark"] and dark["dark"]
        said += [found for found in (faults(desk), faults(dark), faults(phone, "small", "scrolls")) if found]
        charts += desk["charts"]
        page.close()
    assert not {name: said for name, said in problems.items() if said}
    assert charts >= 5


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_search_results_can_be_read(browser, home, scheme):
    page = browser.new_page(viewport=DESK, color_scheme=scheme)
    page.goto(f"{home}/index.html")
    page.fill("#quarto-search input", "vocabulary")
    page.wait_for_selector(".search-result")
    found = page.evaluate(MEASURES)
    page.close()
    assert found["dark"] == (scheme == "dark")
    assert len(found["search"]) > 10 and min(found["search"]) >= 4.5
