"""The report of a finished run is whole, and needs no network."""

import json
import re
import shutil
from pathlib import Path

import pytest
from conftest import ROOT, Snakemake


@pytest.fixture(scope="module")
def report(tiny_run: Path, snakemake: Snakemake, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("run")
    for part in ("results", ".snakemake"):
        shutil.copytree(tiny_run / part, folder / part)
    # Whatever would be fetched by http is refused: the report is made without a network too.
    proxy = "http://127.0.0.1:9"
    surroundings = {"http_proxy": proxy, "https_proxy": proxy}
    tiny = ("--configfile", str(ROOT / "config/tiny.yaml"), "--report", "report.html")
    made = snakemake(folder, *tiny, environment=surroundings)
    assert made.returncode == 0, made.stderr[-3000:]
    assert "Missing metadata" not in made.stderr
    return (folder / "report.html").read_text(encoding="utf-8")


def held(report: str, name: str) -> dict[str, dict[str, object]]:
    """The JSON that a variable of the page is set to."""
    start = re.search(rf"\b{name} ?= ?(?=\{{)", report)
    assert start
    found: dict[str, dict[str, object]] = json.JSONDecoder().raw_decode(report, start.end())[0]
    return found


def test_the_page_holds_the_story_and_loads_nothing(report: str) -> None:
    assert "Does unlearning survive quantization?" in report
    assert "of 9 combinations of method, variant and grid" in report
    assert "System Message" not in report
    assert re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=.https?:[^>]*>", report) == []


def test_every_category_has_its_results_and_each_has_a_caption(report: str) -> None:
    assert sorted(held(report, "categories")) == [
        *("Claims", "Forgetting", "Mechanism", "Provenance", "Tables")
    ]
    results = held(report, "results")
    for name, start in (
        ("figures/survival_of_forgetting.png", "data:image/png"),
        ("tables/main.html", "data:text/html"),
    ):
        assert str(results[f"results/tiny/{name}"]["data_uri"]).startswith(start)
    assert all(len(str(one["caption"])) > 100 and one["labels"] for one in results.values())
