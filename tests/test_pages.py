"""The report's pages: the story says what the numbers say; tables, configuration."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from docutils.core import publish_parts

from qunlearn.analysis.frame import CLAIMS_TABLE, TESTS_TABLE
from qunlearn.analysis.summary import Key, Summary, write_summaries
from qunlearn.analysis.verdicts import Outcome
from qunlearn.experiment.config import resolve
from qunlearn.report.pages import report_page, story

SCHEMAS = {"tests": TESTS_TABLE, "claims": CLAIMS_TABLE}
SETTINGS = resolve({"experiment": "made_up"})
KEPT = Summary(0.01, -0.02, 0.05, 1, 0, 0, 32)
BACK = Summary(0.88, 0.8, 0.95, 1, 0, 0, 32)
OPEN = Summary(0.1, 0.02, 0.3, 1, 0, 0, 32)
UNDEFINED = Summary(None, None, None, 1, 0, 1)
DIVERGED = Summary(None, None, None, 1, 1, 0)


def key(adapter: str, precision: str = "rtn3g64", metric: str = "reversion_nll_forget") -> Key:
    return Key("news", "npo_gdr", adapter, precision, metric)


def told(folder: Path, found: dict[Key, Summary], **more: Any) -> str:
    """The page in one line of words, after docutils found nothing to complain of."""
    write_summaries(folder / "summary.csv", "x", found)
    for name, schema in SCHEMAS.items():
        rows = pd.DataFrame(more.get(name, []), columns=list(schema))
        rows.to_csv(folder / f"{name}.csv", index=False)
    text = story(folder, more.get("settings", SETTINGS), more.get("notes", ()))
    publish_parts(text, writer="html", settings_overrides={"halt_level": 2, "report_level": 2})
    return " ".join(text.split())


VERDICTS = [
    (KEPT, "survived"),
    (BACK, "came back"),
    (OPEN, "inconclusive"),
    (Summary(0.1, 0.1, 0.1, 1, 0), "inconclusive"),  # on the margin is on neither side
    (Summary(-0.5, -0.9, -0.1, 1, 0), "survived"),
    (UNDEFINED, "undefined"),
    (DIVERGED, "diverged"),
]


def test_an_interval_decides() -> None:
    for summary, verdict in VERDICTS:
        assert Outcome(key("lora"), summary).verdict == verdict


LORA = {key("lora"): KEPT}
TESTS = [{"family": "adapters", "p_holm": value} for value in (0.04, 0.05, "undefined")]
CLAIMS = [{"claim": "kept", "verdict": verdict} for verdict in ("supported", "undecided")]

# Numbers, other tables and settings, what the page says of them, and what it does not say.
STORIES: dict[str, tuple[Any, ...]] = {
    "something comes back": (
        {key("full"): BACK, key("lora"): KEPT, key("lora", "nf4"): OPEN},
        {},
        "(n = 32), one seed: of 3 combinations of method, variant and grid, forgetting came back "
        "in 1, survived in 1, inconclusive in 1.|FT (fp32 masters): came back in 1 of 1. Where it "
        "came back: RTN3 g64 under NPO+GDR: 0.88 [0.80, 0.95].|LoRA: survived in 1, inconclusive "
        "in 1 of 2. Inconclusive: NF4 under NPO+GDR: 0.10 [0.02, 0.30], could show 0.20.|"
        "One seed: the intervals|None were run",
        "What was tested|over these seeds",
    ),
    "bf16 alone": (
        {key("lora", "bf16"): KEPT},
        {},
        "cannot show what comes back",
        "forgetting came back in",
    ),
    "some seeds have no number": (
        {key("lora"): replace(BACK, seeds=3, diverged=1)},
        {"settings": SETTINGS | {"seeds": [0, 1, 2]}},
        "0.88 [0.80, 0.95] (2 of 3 seeds)|over these seeds, drawn together",
        "One seed",
    ),
    "controls are kept out of the answer": (
        LORA | {key("lora_matched"): BACK, key("full_bf16", "rtn3g64m"): OPEN},
        {},
        "of 1 combination of|LoRA at FT's norm: came back in 1 of 1|with a boundary at 0",
        "None were run",
    ),
    "tests and claims are counted": (
        LORA,
        {"tests": TESTS, "claims": CLAIMS},
        "Tests over items and seeds|``adapters``: p below 0.05 in 1 of 2 tests.|"
        "``kept``: supported in 1, undecided in 1 of 2.",
    ),
    "names have no meaning as markup": (
        {Key("my_", "npo_gdr", "lora", "nf4", "reversion_nll_forget"): KEPT},
        {"notes": ["Learning rates: my_way 0.0005. At another, others."]},
        r"**my\_.**|* Learning rates: my\_way 0.0005. At another, others.",
    ),
}


@pytest.mark.parametrize("name", STORIES)
def test_the_story_says_what_the_numbers_say(name: str, tmp_path: Path) -> None:
    found, more, said, *unsaid = STORIES[name]
    text = told(tmp_path, found, **more)
    assert [words for words in said.split("|") if words not in text] == []
    assert [words for all_of in unsaid for words in all_of.split("|") if words in text] == []


def test_each_page_is_written(tmp_path: Path) -> None:
    tables = tmp_path / "tables"
    tables.mkdir()
    told(tables, {key("lora"): BACK})
    assert "came back in 1 of 1" in report_page("story", tmp_path, SETTINGS)
    lines = report_page("answer", tmp_path, SETTINGS).splitlines()
    assert len(lines) <= 10
    assert "LoRA               came back:    RTN3 g64 0.88 [0.80, 0.95]" in lines[2]

    (tables / "reversion.md").write_text("| a |\n| --- |\n| <b>0.5</b> |\n", encoding="utf-8")
    table = report_page("reversion", tmp_path, {})
    assert "<h1>Reversion</h1>" in table and "<td>&lt;b&gt;0.5&lt;/b&gt;</td>" in table
    assert "http" not in table
    shown = report_page("configuration", tmp_path, {"experiment": "a<b", "seeds": [0]})
    assert "<pre>experiment: a&lt;b\nseeds:\n- 0\n</pre>" in shown
