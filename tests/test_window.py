"""One variant at several learning rates: read from finished runs, as table, CSV and figure."""

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from small_text import unpadded

from qunlearn.analysis.summary import Key, Summary, write_summaries
from qunlearn.report.learning_rates import read_rate, window_markdown
from qunlearn.run.errors import InputError

CELL = ("news", "npo_gdr", "full_bf16")
COLUMNS = "corpus,objective,adapter,seed,precision,moved,projection_adaptive"


def run(results: Path, lr: float, reversion: float | None, seeds: int = 2) -> Path:
    """A finished run: NLL of 3 in bf16, and this reversion on NF4; half of it on RTN3."""
    found = {Key(*CELL, "bf16", "nll_forget"): Summary(3.0, 2.9, 3.1, seeds, 0, n=32)}
    rows = [COLUMNS]
    for name, share in (("bf16", 0.0), ("nf4", 1.0), ("rtn3g64", 0.5)):
        value = None if reversion is None else share * reversion
        ends = (None, None) if value is None else (value - 0.1, value + 0.1)
        found.setdefault(Key(*CELL, name, "nll_forget"), Summary(1.0, 0.9, 1.1, seeds, 0, n=32))
        found[Key(*CELL, name, "reversion_nll_forget")] = Summary(
            value, *ends, seeds, 0, seeds if value is None else 0, None if value is None else 32
        )
        for seed in range(seeds):
            rows.append(f"news,npo_gdr,full_bf16,{seed},{name},{0.2 + seed / 10},{share}")
    write_summaries(results / "tables/summary.csv", results.name, found)
    (results / "tables/mechanism.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    for seed in range(seeds):
        folder = results.joinpath("unlearned", *CELL, f"seed{seed}")
        folder.mkdir(parents=True)
        (folder / "manifest.json").write_text(json.dumps({"settings": {"lr": lr}}), "utf-8")
    return results


def test_a_run_has_its_learning_rate_and_what_each_grid_took_back(tmp_path: Path) -> None:
    rate = read_rate(run(tmp_path, 2.25e-5, 0.87), *CELL)
    assert (rate.lr, rate.moved, rate.before.value) == (2.25e-5, pytest.approx(0.25), 3.0)
    assert {name: found.value for name, found in rate.reversions.items()} == {
        "nf4": 0.87,
        "rtn3g64": 0.435,
    }
    assert rate.projections == {"nf4": 1.0, "rtn3g64": 0.5}
    assert unpadded(window_markdown([rate])).splitlines()[-1] == (
        "| 2.25e-05 | 0.250 | 3.00 | 0.87 [0.77, 0.97] | 0.43 [0.34, 0.54] |"
    )


def test_what_is_no_such_run_is_named(tmp_path: Path) -> None:
    run(tmp_path, 1e-5, 0.5)
    with pytest.raises(InputError, match="no finished run of news/npo_gdr/lora at one learning"):
        read_rate(tmp_path, "news", "npo_gdr", "lora")
    manifest = tmp_path.joinpath("unlearned", *CELL, "seed1/manifest.json")
    manifest.write_text(json.dumps({"settings": {"lr": 2e-5}}), encoding="utf-8")
    with pytest.raises(InputError, match="at one learning rate; run make window"):
        read_rate(tmp_path, *CELL)


def test_the_script_fills_the_document(tmp_path: Path) -> None:
    runs = [
        run(tmp_path / name, lr, reversion)
        for name, lr, reversion in (("a", 9e-5, None), ("b", 2.25e-5, 0.87))
    ]
    document = tmp_path / "docs/page.md"
    document.parent.mkdir()
    document.write_text("# Page\n<!-- window: by -->\nold\n<!-- end of window -->\n", "utf-8")
    names = ("--corpus", "--objective", "--adapter")
    command = [sys.executable, ROOT / "workflow/scripts/fill_window.py", "--results", *runs]
    command += [word for pair in zip(names, CELL, strict=True) for word in pair]
    command += ["--document", document, "--kept", tmp_path / "window.csv"]
    subprocess.run(command, check=True)

    text = unpadded(document.read_text(encoding="utf-8"))
    assert "old" not in text
    assert text.index("| 2.25e-05 | 0.250 |") < text.index("| 9e-05 | 0.250 | 3.00 | undefined |")
    with (tmp_path / "window.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["lr"], row["precision"]) for row in rows] == [
        ("2.25e-05", "nf4"),
        ("2.25e-05", "rtn3g64"),
        ("9e-05", "nf4"),
        ("9e-05", "rtn3g64"),
    ]
    assert [row["reversion_nll_forget"] for row in rows[:3]] == ["0.87", "0.435", "undefined"]
    assert (rows[0]["ci_low"], rows[0]["seeds"], rows[2]["ci_low"]) == ("0.77", "2", "")
    assert (document.parent / "window.png").stat().st_size > 10_000
