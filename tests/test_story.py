"""The report's start page says what the numbers say, and nothing else."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from docutils.core import publish_parts

from qunlearn.analysis.summary import Key, Summary, write_summaries
from qunlearn.analysis.verdicts import Outcome
from qunlearn.report.story import MECHANISM, story
from qunlearn.report.storynumbers import read_table
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
    settings = more.pop("settings", SETTINGS)
    text = story(found, more.pop("mechanism", []), settings, **more)
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


def test_something_comes_back() -> None:
    text = told({key("full"): BACK, key("lora"): KEPT, key("lora", "nf4"): OPEN})
    assert "forgetting came back in 1, survived in 1, is inconclusive in 1." in text
    assert (
        "FT (fp32 masters): came back in the only one. Where it came back: "
        "RTN3 g64 under NPO+GDR: 0.88 [0.80, 0.95]." in text
    )
    assert (  # 2.8 standard errors, of which the interval is 3.92 wide
        "LoRA: of 2, survived in 1, is inconclusive in 1. Inconclusive: NF4 under NPO+GDR: "
        "0.10 [0.02, 0.30], could show 0.20." in text
    )
    assert "(n = 32), one seed: of 3 combinations" in text


def test_nothing_comes_back() -> None:
    text = told({key("full"): KEPT, key("lora"): KEPT})
    assert "forgetting came back in 0, survived in 2." in text
    assert "**0." not in text


def test_nothing_was_forgotten_or_training_diverged() -> None:
    text = told({key("full"): UNDEFINED, key("lora"): DIVERGED})
    assert "came back in 0, is undefined in 1, training diverged in 1." in text
    assert "What arrived" not in text


def test_bf16_alone_says_nothing_of_what_comes_back() -> None:
    text = told({key("lora", "bf16"): KEPT})
    assert "nothing can be said of what comes back" in text
    assert "forgetting came back in" not in text


def test_some_seeds_without_a_number_are_counted() -> None:
    text = told({key("lora"): replace(BACK, seeds=3, diverged=1)})
    assert "0.88 [0.80, 0.95] (2 of 3 seeds)" in text


def test_seeds_are_spoken_of_as_they_are() -> None:
    several = SETTINGS | {"seeds": [0, 1]}
    found = {key("lora"): KEPT}
    assert "One seed: the intervals" in told(found)
    assert "decided of this run; another may fall outside" in told(found)
    drawn = told(found, settings=several)
    assert "over these seeds, drawn together" in drawn
    assert "One seed" not in drawn


def test_given_models_are_not_called_trained_here() -> None:
    models = {"base": "a/b", "target": "c/d", "retrain": "e/f"}
    text = told({key("lora"): KEPT}, settings=SETTINGS | {"models": models})
    assert "a checkpoint given by the user" in text
    assert "from scratch" not in text
    assert "by the workflow" not in text


def test_controls_are_kept_out_of_the_answer() -> None:
    found = {key("lora"): KEPT, key("lora_matched"): BACK, key("full_bf16", "rtn3g64m"): OPEN}
    text = told(found)
    assert "of 1 combination of" in text
    assert "LoRA at FT's norm: came back in the only one" in text
    assert "with a boundary at 0" in text
    assert "None were run" not in text
    assert "None were run" in told({key("lora"): KEPT})


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


def test_tests_and_claims_are_counted_where_there_are_any() -> None:
    tests = [{"family": "adapters", "p_holm": value} for value in ("0.04", "0.05", "undefined")]
    claims = [{"claim": "kept", "verdict": verdict} for verdict in ("supported", "undecided")]
    text = told({key("lora"): KEPT}, tests=tests, claims=claims)
    assert "Tests over items and seeds" in text
    assert "``adapters``: 1 of 2 tests with a p-value have one below 0.05." in text
    assert "``kept``: supported in 1, undecided in 1 of 2." in text
    assert "What was tested" not in told({key("lora"): KEPT})
    untested = [{"family": "adapters", "p_holm": "one seed"}]
    text = told({key("lora"): KEPT}, tests=untested)
    assert "Nothing: a difference is tested over items and seeds, and that takes three" in text
    assert "p-value" not in text


def test_how_the_models_were_trained_is_repeated() -> None:
    text = told({key("lora"): KEPT}, notes=["Learning rates: my_way 0.0005. At another, others."])
    assert r"* Learning rates: my\_way 0.0005. At another, others." in text


def test_what_unlearning_cost() -> None:
    found = {
        Key("news", "target", "none", "bf16", "utility"): Summary(79.7, 70.0, 90.0, 1, 0),
        Key("news", "retrain", "none", "bf16", "utility"): Summary(60.9, 50.0, 70.0, 1, 0),
        key("lora", "bf16", "utility"): Summary(62.5, 50.0, 70.0, 1, 0),
        key("full", "bf16", "utility"): Summary(53.1, 50.0, 70.0, 1, 0),
        key("full", "nf4", "utility"): Summary(1.0, 0.0, 2.0, 1, 0),
    }
    assert (
        "Utility in bf16, NEWS: 53.1 to 62.5 in the unlearned models, 79.7 in target, "
        "60.9 in retrain." in told(found)
    )


def test_names_have_no_meaning_as_markup() -> None:
    text = told({Key("my_", "npo_gdr", "lora", "nf4", "reversion_nll_forget"): KEPT})
    assert r"**my\_.**" in text


def test_a_table_without_the_column_is_named(tmp_path: Path) -> None:
    table = tmp_path / "claims.csv"
    with pytest.raises(InputError, match="no such file; make the table first"):
        read_table(table, "claim")
    table.write_text("claim\nkept\n", encoding="utf-8")
    assert read_table(table, "claim") == [{"claim": "kept"}]
    with pytest.raises(InputError, match=re.escape("no column 'verdict'")):
        read_table(table, "claim", "verdict")


def test_the_script_writes_the_same_bytes_twice(tmp_path: Path) -> None:
    write_summaries(tmp_path / "summary.csv", "x", {key("lora"): BACK})
    for name, head in (
        ("mechanism", ",".join(MECHANISM)),
        ("tests", "family,p_holm"),
        ("claims", "claim,verdict"),
    ):
        (tmp_path / f"{name}.csv").write_text(f"{head}\n", encoding="utf-8")
    tables = [
        part
        for name in ("summary", "mechanism", "tests", "claims")
        for part in (f"--{name}", tmp_path / f"{name}.csv")
    ]
    written = []
    for name in ("first", "second"):
        command = [sys.executable, ROOT / "workflow/scripts/write_story.py", *tables]
        command += ["--settings", json.dumps(SETTINGS), "--output", tmp_path / f"{name}.rst"]
        subprocess.run(command, check=True)
        written.append((tmp_path / f"{name}.rst").read_bytes())
    assert written[0] == written[1]
    assert b"came back in the only one" in written[0]
