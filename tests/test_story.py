"""The report's start page says what the numbers say, and nothing else."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import ROOT
from docutils.core import publish_parts

from qunlearn.analysis.summary import Key, Summary, write_summaries
from qunlearn.analysis.verdicts import Outcome
from qunlearn.report.finished import read_table
from qunlearn.report.story import MECHANISM, story
from qunlearn.run.errors import InputError

SETTINGS: dict[str, Any] = {
    "experiment": "made_up",
    "seeds": [0],
    "corpus": {"source": "mini"},
    "models": {
        "base": "scratch",
        "target": "train",
        "retrain": "train",
        "architecture": {"layers": 4, "hidden": 256},
    },
}
KEPT = Summary(0.01, -0.02, 0.05, 1, 0, 0, 32)
BACK = Summary(0.88, 0.8, 0.95, 1, 0, 0, 32)
OPEN = Summary(0.1, 0.02, 0.3, 1, 0, 0, 32)
UNDEFINED = Summary(None, None, None, 1, 0, 1)
DIVERGED = Summary(None, None, None, 1, 1, 0)
ROW = {"corpus": "news", "objective": "npo_gdr", "precision": "rtn3g64", "relative_norm": "0.04"}


def key(adapter: str, precision: str = "rtn3g64", metric: str = "reversion_nll_forget") -> Key:
    return Key("news", "npo_gdr", adapter, precision, metric)


def told(found: dict[Key, Summary], **more: Any) -> str:
    """The page in one line of words, after docutils found nothing to complain of."""
    tables = [
        pd.DataFrame(more.get(name, []), columns=columns, dtype=str)
        for name, columns in (
            ("mechanism", MECHANISM),
            ("tests", ["family", "p_holm"]),
            ("claims", ["claim", "verdict"]),
        )
    ]
    text = story(found, *tables, more.get("settings", SETTINGS), more.get("notes", ()))
    publish_parts(text, writer="html", settings_overrides={"halt_level": 2, "report_level": 2})
    return " ".join(text.split())


@pytest.mark.parametrize(
    ("summary", "verdict"),
    [
        (KEPT, "survived"),
        (BACK, "came back"),
        (OPEN, "inconclusive"),
        (Summary(0.1, 0.1, 0.1, 1, 0), "inconclusive"),  # on the margin is on neither side
        (Summary(-0.5, -0.9, -0.1, 1, 0), "survived"),
        (UNDEFINED, "undefined"),
        (DIVERGED, "diverged"),
    ],
)
def test_an_interval_decides(summary: Summary, verdict: str) -> None:
    assert Outcome(key("lora"), summary).verdict == verdict


LORA = {key("lora"): KEPT}
USERS = {"models": {"base": "a/b", "target": "c/d", "retrain": "e/f"}}
TESTS = [{"family": "adapters", "p_holm": value} for value in ("0.04", "0.05", "undefined")]
CLAIMS = [{"claim": "kept", "verdict": verdict} for verdict in ("supported", "undecided")]


@pytest.mark.parametrize(
    ("found", "more", "said", "unsaid"),
    [
        pytest.param(
            {key("full"): BACK, key("lora"): KEPT, key("lora", "nf4"): OPEN},
            {},
            [
                "forgetting came back in 1, survived in 1, is inconclusive in 1.",
                "FT (fp32 masters): came back in the only one. Where it came back: RTN3 g64 under "
                "NPO+GDR: 0.88 [0.80, 0.95].",
                "LoRA: of 2, survived in 1, is inconclusive in 1. Inconclusive: NF4 under NPO+GDR: "
                "0.10 [0.02, 0.30], could show 0.20.",
                "(n = 32), one seed: of 3 combinations",
                "One seed: the intervals",
                "hold for this run; another may fall outside",
                "None were run",
            ],
            ["What was tested", "over these seeds"],
            id="something comes back",
        ),
        pytest.param(
            {key("full"): KEPT, key("lora"): KEPT},
            {},
            ["forgetting came back in 0, survived in 2."],
            ["**0."],
            id="nothing comes back",
        ),
        pytest.param(
            {key("full"): UNDEFINED, key("lora"): DIVERGED},
            {},
            ["came back in 0, is undefined in 1, training diverged in 1."],
            ["of the updates arrived"],
            id="nothing was forgotten, or training diverged",
        ),
        pytest.param(
            {key("lora", "bf16"): KEPT},
            {},
            ["cannot show what comes back"],
            ["forgetting came back in"],
            id="bf16 alone",
        ),
        pytest.param(
            {key("lora"): replace(BACK, seeds=3, diverged=1)},
            {"settings": SETTINGS | {"seeds": [0, 1, 2]}},
            ["0.88 [0.80, 0.95] (2 of 3 seeds)", "over these seeds, drawn together"],
            ["One seed"],
            id="some seeds have no number",
        ),
        pytest.param(
            LORA,
            {"settings": SETTINGS | USERS},
            ["a checkpoint supplied by the user"],
            ["from scratch", "by the workflow"],
            id="the user's models",
        ),
        pytest.param(
            LORA | {key("lora_matched"): BACK, key("full_bf16", "rtn3g64m"): OPEN},
            {},
            [
                "of 1 combination of",
                "LoRA at FT's norm: came back in the only one",
                "with a boundary at 0",
            ],
            ["None were run"],
            id="controls are kept out of the answer",
        ),
        pytest.param(
            LORA,
            {"tests": TESTS, "claims": CLAIMS},
            [
                "Tests over items and seeds",
                "``adapters``: p below 0.05 in 1 of 2 tests.",
                "``kept``: supported in 1, undecided in 1 of 2.",
            ],
            [],
            id="tests and claims are counted",
        ),
        pytest.param(
            LORA,
            {"tests": [{"family": "adapters", "p_holm": "one seed"}]},
            ["Nothing: a difference is tested over items and seeds, which takes three"],
            ["p below"],
            id="too few seeds for a test",
        ),
        pytest.param(
            LORA,
            {"notes": ["Learning rates: my_way 0.0005. At another, others."]},
            [r"* Learning rates: my\_way 0.0005. At another, others."],
            [],
            id="how the models were trained is repeated",
        ),
        pytest.param(
            {Key("my_", "npo_gdr", "lora", "nf4", "reversion_nll_forget"): KEPT},
            {},
            [r"**my\_.**"],
            [],
            id="names have no meaning as markup",
        ),
        pytest.param(
            {
                Key("news", "target", "none", "bf16", "utility"): Summary(79.7, 70.0, 90.0, 1, 0),
                Key("news", "retrain", "none", "bf16", "utility"): Summary(60.9, 50.0, 70.0, 1, 0),
                key("lora", "bf16", "utility"): Summary(62.5, 50.0, 70.0, 1, 0),
                key("full", "bf16", "utility"): Summary(53.1, 50.0, 70.0, 1, 0),
                key("full", "nf4", "utility"): Summary(1.0, 0.0, 2.0, 1, 0),
            },
            {},
            [
                "Utility in bf16, NEWS: 53.1 to 62.5 in the unlearned models, 79.7 in target, "
                "60.9 in retrain."
            ],
            [],
            id="what unlearning cost",
        ),
    ],
)
def test_the_page_says_what_the_numbers_say(
    found: dict[Key, Summary], more: dict[str, Any], said: list[str], unsaid: list[str]
) -> None:
    text = told(found, **more)
    assert [words for words in said if words not in text] == []
    assert [words for words in unsaid if words in text] == []


def test_what_arrived_is_told_apart_by_what_came_back() -> None:
    rows = [
        ROW | {"adapter": "full", "projection_adaptive": "0.04", "zero_bin_moved": "0.96"},
        ROW | {"adapter": "lora", "projection_adaptive": "0.99", "zero_bin_moved": "undefined"},
        ROW | {"adapter": "lora", "projection_adaptive": "1.02", "zero_bin_moved": "undefined"},
        ROW | {"adapter": "lora_matched", "projection_adaptive": "7", "zero_bin_moved": "7"},
    ]
    text = told({key("full"): BACK, key("lora"): KEPT}, mechanism=rows)
    assert "came back (1): projection 0.04; share of the moved weights in the bin of 0 0.96" in text
    assert "survived (2): projection 0.99 to 1.02; size of the update 0.040." in text


def test_a_table_without_the_column_is_named(tmp_path: Path) -> None:
    table = tmp_path / "claims.csv"
    with pytest.raises(InputError, match="no such file; make the table first"):
        read_table(table, "claim")
    table.write_text("claim\nkept\n", encoding="utf-8")
    assert read_table(table, "claim").to_dict("records") == [{"claim": "kept"}]
    with pytest.raises(InputError, match=re.escape("no column 'verdict'")):
        read_table(table, "claim", "verdict")


def test_the_script_writes_the_same_bytes_twice(tmp_path: Path) -> None:
    write_summaries(tmp_path / "tables/summary.csv", "x", {key("lora"): BACK})
    for name, head in (
        ("mechanism", ",".join(MECHANISM)),
        ("tests", "family,p_holm"),
        ("claims", "claim,verdict"),
    ):
        (tmp_path / f"tables/{name}.csv").write_text(f"{head}\n", encoding="utf-8")
    written = []
    for name in ("first", "second"):
        command = [sys.executable, ROOT / "workflow/scripts/write_page.py", "--page", "story"]
        command += ["--results", tmp_path, "--settings", json.dumps(SETTINGS)]
        command += ["--cells", "news/target/bf16", "--output", tmp_path / f"{name}.rst"]
        subprocess.run(command, check=True)
        written.append((tmp_path / f"{name}.rst").read_bytes())
    assert written[0] == written[1]
    assert b"came back in the only one" in written[0]
