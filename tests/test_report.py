"""The report of a finished run, opened in a browser: it is whole, and needs no network."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import CHROMIUM, Browser
from conftest import ROOT, Snakemake

if CHROMIUM is None:
    pytest.skip("no chromium to open the report with: install it", allow_module_level=True)

FIGURE = "results/tiny/figures/survival_of_forgetting.png"
TABLE = "results/tiny/tables/main.html"


@pytest.fixture(scope="module")
def report(tiny_run: Path, snakemake: Snakemake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    for part in ("results", ".snakemake"):
        shutil.copytree(tiny_run / part, folder / part)
    file = "results/tiny/report.html"
    # Whatever would be fetched by http is refused: the report is made without a network too.
    proxy = "http://127.0.0.1:9"
    surroundings = {"http_proxy": proxy, "https_proxy": proxy}
    tiny = ("--configfile", str(ROOT / "config/tiny.yaml"))
    made = snakemake(folder, *tiny, "--report", file, environment=surroundings)
    assert made.returncode == 0, made.stderr[-3000:]
    assert "Missing metadata" not in made.stderr
    return folder / file


@pytest.fixture
def browser(report: Path, tmp_path: Path) -> Iterator[Browser]:
    """The report's start page; at the end, nothing was asked of a network or complained of."""
    with Browser(tmp_path / "profile") as opened:
        opened.call("Page.navigate", url=report.as_uri())
        opened.wait_for("document.querySelector('#rulegraph canvas, #rulegraph svg') !== null")
        yield opened
        opened.do("1")  # what came before its answer has been noted
        assert opened.requests == []
        assert opened.errors == []


def test_the_start_page_tells_the_story_beside_the_graph(browser: Browser) -> None:
    text = browser.do("document.querySelector('#app .prose').innerText")
    assert text.startswith("Does unlearning survive quantization?")
    assert "of 9 combinations of method, variant and grid" in text
    assert "System Message" not in text
    assert browser.do("document.querySelector('#app .prose').getBoundingClientRect().top >= 0")


def test_every_category_has_its_results_and_each_has_a_caption(browser: Browser) -> None:
    categories = browser.do("JSON.stringify(Object.keys(categories).sort())")
    assert json.loads(categories) == [
        *("Claims", "Forgetting", "Mechanism", "Provenance", "Tables")
    ]
    assert browser.do("Object.values(results).every(r => r.caption.length > 100)")
    assert browser.do("Object.values(results).every(r => r.labels !== null)")


def test_a_figure_is_shown(browser: Browser) -> None:
    _open(browser, "Forgetting", FIGURE)
    browser.wait_for("document.querySelector('#app .overflow-auto .p-3 > img')?.complete")
    assert browser.do("document.querySelector('#app .overflow-auto .p-3 > img').naturalWidth") > 500


def test_a_table_is_shown(browser: Browser) -> None:
    _open(browser, "Tables", TABLE)
    browser.wait_for("document.querySelector('iframe')?.src.startsWith('data:text/html')")
    page = browser.do(
        f"decodeURIComponent(escape(atob(results['{TABLE}'].data_uri.split(',')[1])))"
    )
    assert "NPO+KLR" in page


def test_statistics_are_drawn(browser: Browser) -> None:
    browser.do("app.setView({content: 'stats'})")
    browser.wait_for("document.querySelector('#runtimes canvas, #runtimes svg') !== null")


def _open(browser: Browser, category: str, result: str) -> None:
    """Click as a reader does: on the category, then on the eye beside the result."""
    menu = f"[...document.querySelectorAll('nav a')].find(a => a.innerText.trim() == '{category}')"
    browser.wait_for(f"{menu} !== undefined")
    browser.do(f"{menu}.click()")
    label = browser.do(f"results['{result}'].labels.result")
    row = f"[...document.querySelectorAll('nav tr')].find(r => r.innerText.trim() == '{label}')"
    browser.wait_for(f"{row} !== undefined")
    browser.do(f"{row}.querySelector('a').click()")
