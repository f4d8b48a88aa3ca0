"""The controls on the tiny experiment, from the finished runs to their rows and their figure."""

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Snakemake

from qunlearn.experiment.controls import CHOICES

TINY = str(ROOT / "config/tiny.yaml")
SCALED = ("lora_scaled0.5", "lora_matched", "full_matched")
SPARED = tuple(f"spare_{choice}" for choice in CHOICES)


@pytest.fixture(scope="module")
def results(tiny_run: Path, snakemake: Snakemake, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("controls")
    for part in ("results", ".snakemake"):
        shutil.copytree(tiny_run / part, folder / part)
    settings = {
        "precisions": ["bf16", "rtn3g64"],
        "control_settings": {"lambdas": [0.5], "tolerance": 0.1},
    }
    (folder / "controls.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    done = snakemake(folder, "--configfile", TINY, "controls.yaml", "--config", "controls=true")
    assert done.returncode == 0, done.stderr[-3000:]
    assert "rule unlearn:" not in done.stderr  # they are made from what is there
    return folder / "results/tiny"


def manifest(folder: Path) -> Any:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def test_every_control_has_its_reversion(results: Path) -> None:
    with (results / "tables/metrics.csv").open(encoding="utf-8") as stream:
        found = {
            (row["adapter"], row["precision"])
            for row in csv.DictReader(stream)
            if row["metric"] == "reversion_nll_forget"
        }
    trained = ("full", "full_bf16", "lora")
    assert found == {(adapter, "rtn3g64m") for adapter in trained} | {
        (adapter, precision)
        for adapter in (*trained, *SCALED, *SPARED)
        for precision in ("bf16", "rtn3g64")
    }


def test_scaled_and_matched_updates_have_the_norms_that_they_should(results: Path) -> None:
    def norm(variant: str) -> float:
        file = results / f"survival/news/npo_klr/{variant}/seed0/bf16.csv"
        with file.open(encoding="utf-8") as stream:
            return sum(float(row["norm_d"]) ** 2 for row in csv.DictReader(stream)) ** 0.5

    assert norm("lora_scaled0.5") == pytest.approx(norm("lora") / 2, rel=1e-4)
    assert norm("lora_matched") == pytest.approx(norm("full"), rel=1e-4)
    assert norm("full_matched") == pytest.approx(norm("lora"), rel=0.1)


def test_the_search_and_what_was_spared_are_on_record(results: Path) -> None:
    folder = results / "unlearned/news/npo_klr/full_matched/seed0"
    search = json.loads((folder / "search.json").read_text(encoding="utf-8"))
    last = search["runs"][-1]
    assert abs(last["norm"] / search["norm"] - 1) <= 0.1
    assert manifest(folder)["settings"]["lr"] == last["lr"]
    assert not list((results / "checkpoints").glob("*"))
    place = results / "quantized/news/npo_klr"
    zero, other, unmoved = (manifest(place / name / "seed0/rtn3g64")["spared"] for name in SPARED)
    assert zero == unmoved > 0
    moved = manifest(place / "spare_unmoved/seed0/rtn3g64")["moved"]
    assert zero + other == pytest.approx(moved, abs=1e-5)


def test_figure_and_cards_are_there(results: Path) -> None:
    for form in ("png", "pdf"):
        assert (results / f"figures/controls.{form}").stat().st_size > 5000
    card = results / "quantized/news/npo_klr/full_matched/seed0/rtn3g64/README.md"
    assert "FT at LoRA's norm" in card.read_text(encoding="utf-8")


def test_with_the_controls_off_again_only_tables_and_figures_run(
    results: Path, snakemake: Snakemake
) -> None:
    planned = snakemake(
        results.parents[1], "--configfile", TINY, "controls.yaml", "--dry-run", "--quiet", "rules"
    )
    assert planned.returncode == 0, planned.stderr
    assert not any(word in planned.stdout for word in ("unlearn", "quantize", "evaluate"))
