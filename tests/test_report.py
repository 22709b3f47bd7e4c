"""The report of committed results, changed into runs of other shapes, as a browser shows it."""
import json
import re
import shutil

import pandas as pd
import pytest

from conftest import ROOT
from simplelm.studies.report import load_run, report_html, write_report

TABLES = ("models", "curves", "scores", "languages", "dials", "outcomes", "baselines")
LONG = "simple_then_regular_without_the_words_of_children"
WHOLE = "with_a_pretrained_model"
EIGHT = ("regular", "random", "same_documents", "short_sentences", LONG, "deduplicated", "easy_first", "shuffled")


class Folder:
    """A copy of the committed run, to be changed."""
    def __init__(self, path):
        self.path = path
        shutil.copytree(ROOT/"nbs"/"results"/"tiny", path)
        self.study = json.loads((path/"study.json").read_text())
        self.tables = {name: self.read(name) for name in TABLES}

    def read(self, name):
        if name in ("outcomes", "baselines"): return pd.read_parquet(self.path/f"{name}.parquet")
        return pd.read_csv(self.path/f"{name}.csv", dtype={"value": str}, keep_default_na=False, na_values=[""])

    def write(self):
        for name, table in self.tables.items():
            if name in ("outcomes", "baselines"): table.to_parquet(self.path/f"{name}.parquet")
            else: table.to_csv(self.path/f"{name}.csv", index=False)
        (self.path/"study.json").write_text(json.dumps(self.study))
        return self.path

    def keep(self, test):
        """Keep the models that pass a test of their row."""
        for name, table in self.tables.items():
            if "seed" in table: self.tables[name] = table[test(table)]

    def drop_baselines(self):
        del self.tables["baselines"]
        (self.path/"baselines.parquet").unlink()

    def copy_language(self, name, others):
        """Let copies of a language stand for others."""
        for key, table in self.tables.items():
            if key == "baselines" or "language" not in table: continue
            copies = [table[table.language == name].assign(language=other) for other in others]
            self.tables[key] = pd.concat([table[table.language != name], *copies], ignore_index=True)
        kept = self.study["languages"].pop(name)
        self.study["languages"] |= {other: kept for other in others}


def nine_languages(run):
    run.copy_language("regular", EIGHT)
    sizes = run.study["models"]["sizes"]
    run.keep(lambda table: table["size"] != sizes[-1])
    run.study["models"]["sizes"] = sizes[:-1]

def one_language_alone(run):
    """Without anything to compare it with, baselines neither."""
    for key in ("models", "curves", "scores", "languages", "outcomes"):
        table = run.tables[key]
        run.tables[key] = table[table.language == "simple"]
    del run.study["languages"]["regular"]
    run.study |= dict(claims=[], reference="simple")
    run.drop_baselines()

def unfinished(run):
    first = run.tables["models"].seed.min()
    run.keep(lambda table: table.seed == first)
    run.drop_baselines()

def with_a_pretrained_model(run):
    table = run.tables["baselines"]
    one = table[table.baseline == table.baseline.iloc[0]]
    about = dict(baseline="smollm2-135m", of="pretrained", language="", parameters=135_000_000, non_embedding_parameters=106_000_000)
    run.tables["baselines"] = pd.concat([table, one.assign(**about)], ignore_index=True)


SHAPES = {change.__name__: change for change in (with_a_pretrained_model, nine_languages, one_language_alone, unfinished)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Shape -> a run folder with its report."""
    base, found = tmp_path_factory.mktemp("reports"), {}
    for name, change in SHAPES.items():
        run = Folder(base/name)
        change(run)
        found[name] = run.write()
        write_report(found[name])
    return found


@pytest.fixture(scope="module")
def pages(folders): return {name: (folder/"report.html").read_text(encoding="utf-8") for name, folder in folders.items()}


def test_answers_first(pages):
    claim = json.loads((ROOT/"nbs"/"results"/"tiny"/"study.json").read_text())["claims"][0]["name"]
    page = pages[WHOLE]
    assert page.index("<h1>") < page.index(claim) < page.index("95% interval") < page.index("Ability against size")


def test_unfinished_run_judges_nothing(folders, pages):
    models = pd.read_csv(folders["unfinished"]/"models.csv")
    facts = json.loads((folders["unfinished"]/"report.json").read_text())
    assert f"{len(models)} of {facts['planned']} models are finished" in pages["unfinished"]
    assert 0 < len(models) < facts["planned"] and facts["claims"] == facts["comparisons"] == []
    assert not re.search(r'class="badge|id="comparisons"|id="laws"', pages["unfinished"])
    assert all('id="comparisons"' in page for name, page in pages.items() if name != "unfinished")


def test_numbers_of_the_page_are_in_the_tables(folders, pages):
    for row in pd.read_csv(folders[WHOLE]/"claims.csv").itertuples():
        assert f"{row.low:+.3f} to {row.high:+.3f}".replace("-", "−") in pages[WHOLE]
    for row in pd.read_csv(folders["nine_languages"]/"means.csv").itertuples():
        assert f"{row.mean:.3f}<small>{row.low:.3f} to {row.high:.3f}" in pages["nine_languages"]


def test_pretrained_models_are_shown_and_not_compared(folders, pages):
    assert "smollm2-135m" in pages[WHOLE]
    facts = json.loads((folders[WHOLE]/"report.json").read_text())
    assert "smollm2-135m" not in json.dumps([facts["claims"], facts["comparisons"], facts["means"]])


def test_whatever_a_run_contains_is_text(tmp_path):
    run = Folder(tmp_path/"run")
    run.copy_language("regular", ["<img src=x>", "a & b"])
    run.study |= dict(description="<script>alert(1)</script>", name="<i>", claims=[])
    (run.write()/"samples.json").write_text(json.dumps([dict(language="<u>", size="64x2", seed=0, prompt="<u>", text="<u>x")]))
    page = report_html(load_run(run.path))
    assert not [tag for tag in ("<img", "<script", "<u>", "<i>") if tag in page]
    assert "&lt;img src=x&gt;" in page and "a &amp; b" in page


def test_two_bars_of_one_table_share_a_scale(pages):
    """A bar twice as long stands for an interval twice as wide."""
    section = pages[WHOLE].split('id="comparisons"')[1].split("<details>")[0]
    cells = re.findall(r"<small>([−+.\d]+) to ([−+.\d]+)</small><span class=\"bar\"><i style=\"left:[-.\d]+%;width:([.\d]+)%", section)
    wide = [[float(v.replace("−", "-")) for v in cell] for cell in cells]
    scales = sorted(width/(high - low) for low, high, width in wide)
    assert len(scales) > 2 and all(min(abs(s/t - 1) for t in (scales[0], scales[-1])) < 0.1 for s in scales)


SHOWN = """() => {
  const rgb = text => text.match(/[\\d.]+/g).map(Number)
  const light = c => { const [r, g, b] = c.map(v => (v /= 255) <= 0.04045 ? v/12.92 : ((v + 0.055)/1.055)**2.4); return 0.2126*r + 0.7152*g + 0.0722*b }
  const contrast = (a, b) => { const [x, y] = [light(a.slice(0, 3)), light(b.slice(0, 3))].sort((p, q) => q - p); return (x + 0.05)/(y + 0.05) }
  const ground = e => { const own = rgb(getComputedStyle(e).backgroundColor); return (own[3] ?? 1) === 1 ? own : e === document.documentElement ? [255, 255, 255] : ground(e.parentElement) }
  const words = e => `${e.tagName} ${e.textContent.trim().slice(0, 30)}`
  const inside = e => e.closest("svg") && e.tagName !== "svg"
  const all = [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().width > 0)
  const written = all.filter(e => !inside(e) || e.tagName === "text").filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim()))
  const paint = e => rgb(getComputedStyle(e)[e.closest("svg") ? "fill" : "color"])
  const marks = all.filter(e => e.matches("svg path[aria-roledescription=point], .keys path") && getComputedStyle(e).fill !== "none")
  return {
    scrolls: document.documentElement.scrollWidth - innerWidth,
    beyond: all.filter(e => !inside(e) && e.getBoundingClientRect().right > innerWidth + 1).map(words),
    faint: written.filter(e => contrast(paint(e), ground(e.closest("svg")?.parentElement ?? e)) < 4.5).map(words),
    pale: marks.filter(e => contrast(paint(e), ground(e.closest("svg").parentElement)) < 3).map(e => e.getAttribute("fill")),
    small: all.filter(e => e.tagName === "text").map(t => t.getBoundingClientRect().height).filter(h => h && h < 9).length,
    drawings: all.filter(e => e.tagName === "svg").length,
  }
}"""


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="pages are opened by playwright, of the extra `docs`")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if not chromium: pytest.skip("no Chromium on this machine")
    with playwright.sync_playwright() as p:
        browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 400])
def test_every_shape_fits_and_can_be_read(folders, browser, width, scheme):
    """All parts opened: nothing wider than the window, text of a contrast of 4.5 and marks of 3."""
    context = browser.new_context(viewport=dict(width=width, height=900), color_scheme=scheme)
    faults = {}
    for name, folder in folders.items():
        page = context.new_page()
        page.goto((folder/"report.html").as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(e => e.open = true)")
        found = page.evaluate(SHOWN)
        assert found.pop("drawings") >= 5
        faults |= {f"{name}: {what}": value for what, value in found.items() if value}
        page.close()
    context.close()
    assert not faults
