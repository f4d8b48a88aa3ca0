"""The DAG from corpus to figure on the tiny experiment, and what a change runs again."""

import csv
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Snakemake

from qunlearn.run.files import read_json

TINY = ("--configfile", str(ROOT / "config/tiny.yaml"))
ADAPTERS = ("full", "full_bf16", "lora")
PRECISIONS = ("bf16", "nf4", "gptq4g32", "rtn3g64")


@pytest.fixture(scope="module")
def results(tiny_run: Path) -> Path:
    return tiny_run / "results/tiny"


def rows(results: Path) -> list[dict[str, str]]:
    with (results / "tables/metrics.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def jobs(report: str) -> dict[str, int]:
    """Rule -> number of jobs, from a dry run's first table; empty when there is nothing to do."""
    table = re.search(r"^job +count\n[- ]+\n(.*?)^total", report, re.DOTALL | re.MULTILINE)
    lines = table[1].splitlines() if table else []
    return {name: int(count) for name, count in (line.split() for line in lines)}


def test_a_run_leaves_tables_figures_and_manifests_but_no_checkpoints(results: Path) -> None:
    for form in ("csv", "md", "tex", "html"):
        assert "NPO+KLR" in (results / f"tables/main.{form}").read_text(encoding="utf-8")
    for form in ("png", "pdf"):
        assert (results / f"figures/survival_of_forgetting.{form}").stat().st_size > 5000
    made = read_json(results / "unlearned/news/npo_klr/lora/seed0/manifest.json")
    assert (made["settings"]["rank"], bool(made["packages"]["torch"])) == (16, True)
    assert str(ROOT) not in json.dumps(made)
    assert not list((results / "checkpoints").glob("*"))


def test_a_finished_run_has_nothing_to_do(tiny_run: Path, snakemake: Snakemake) -> None:
    again = snakemake(tiny_run, *TINY)
    assert again.returncode == 0
    assert "Nothing to be done" in again.stderr


TABLES = Counter(
    **dict.fromkeys(("analyse", "claims", "write_tables", "model_cards", "all"), 1),
    words=2,
    figure=4,  # of scores
    page=5,
)
GRIDS = Counter(figure=2)  # of each update on the grids
RUNS = Counter(figure=1)  # of the training logs
VARIANTS = Counter(unlearn=3, quantize=12, evaluate=12, survival=3) + RUNS + TABLES
PRECISION = Counter(quantize=5, evaluate=5, survival=3) + GRIDS + TABLES
SEEDS = Counter(finetune=6, unlearn=6, quantize=40, evaluate=40, survival=6)
CHANGES: dict[str, tuple[Any, dict[str, int]]] = {
    "how models are evaluated: evaluations": (
        {"evaluate": {"verbmem_tokens": 9}},
        Counter(evaluate=20) + TABLES,
    ),
    "one more precision: its cells": (
        {"precisions": [*PRECISIONS, "rtn4"]},
        PRECISION,
    ),
    "one more seed: its runs": ({"seeds": [0, 1]}, VARIANTS),
    "a target and a retrain for each seed: everything but the corpus": (
        {"seeds": [0, 1], "seed_scope": "all"},
        SEEDS + RUNS + GRIDS + TABLES,
    ),
    "the weight of the one objective: its cells, but no training before them": (
        {"unlearn": {"overrides": {"*/npo_klr/*": {"alpha": 3}}}},
        VARIANTS + GRIDS,
    ),
    "threads and memory: nothing, though threads move a result's last bit": (
        {"resources": {"train": {"threads": 2}, "unlearn": {"threads": 2, "mem_mb": 9000}}},
        {},
    ),
    "how retrain is trained: retrain, and what is compared with it": (
        {"train": {"retrain": {"epochs": 3}}},
        Counter(finetune=1, quantize=4, evaluate=20) + TABLES,
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_runs_only_what_depends_on_it(
    tiny_run: Path, snakemake: Snakemake, tmp_path: Path, what: str
) -> None:
    change, expected = CHANGES[what]
    changed = tmp_path / "changed.yaml"
    changed.write_text(yaml.safe_dump(change), encoding="utf-8")
    planned = snakemake(tiny_run, *TINY, str(changed), "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert jobs(planned.stdout) == expected


def test_a_run_that_diverges_is_a_cell_of_the_table(
    tiny_run: Path, snakemake: Snakemake, tmp_path: Path
) -> None:
    for part in ("results", ".snakemake"):
        shutil.copytree(tiny_run / part, tmp_path / part)
    changed = tmp_path / "changed.yaml"
    change = {"unlearn": {"overrides": {"*/*/lora": {"lr": 1e30}}}, "precisions": ["bf16"]}
    changed.write_text(yaml.safe_dump(change), encoding="utf-8")
    done = snakemake(tmp_path, *TINY, str(changed))
    assert done.returncode == 0, done.stderr[-3000:]
    values = {(row["adapter"], row["value"]) for row in rows(tmp_path / "results/tiny")}
    assert {adapter for adapter, value in values if value == "diverged"} == {"lora"}
    table = (tmp_path / "results/tiny/tables/main.md").read_text(encoding="utf-8")
    assert "diverged †" in table


@pytest.fixture
def checkout(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the workflow's code beside a copy of the tiny run's results."""
    folder = tmp_path / "checkout"
    for part in ("src", "workflow", "config", "envs", "profiles", "resources"):
        shutil.copytree(ROOT / part, folder / part)
    for file in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / file, folder / file)
    for part in ("results", ".snakemake"):
        shutil.copytree(tiny_run / part, folder / part)
    return folder


def comment(checkout: Path) -> None:
    files = [
        *(file for part in ("src", "workflow") for file in (checkout / part).rglob("*.py")),
        *(checkout / "workflow/rules").glob("*.smk"),
        *(checkout / "envs").glob("*.yaml"),
    ]
    for file in files:
        file.write_text("# a comment\n" + file.read_text(encoding="utf-8"), encoding="utf-8")


def edit(path: str, old: str, new: str) -> Callable[[Path], None]:
    def apply(checkout: Path) -> None:
        text = (checkout / path).read_text(encoding="utf-8")
        assert old in text
        (checkout / path).write_text(text.replace(old, new, 1), encoding="utf-8")

    return apply


LOSS = 'self.settings.gamma * terms["forget"]'
EDITS: dict[str, tuple[Callable[[Path], None], dict[str, int]]] = {
    "a comment: nothing": (comment, {}),
    "a loss: unlearning, but no training": (
        edit("src/qunlearn/training/unlearn.py", LOSS, '2 * terms["forget"]'),
        VARIANTS + GRIDS,
    ),
    # Every figure is drawn anew: what they share knows the records.
    "a metric: evaluations and nothing before": (
        edit("src/qunlearn/evaluate/formulas.py", "return ", "return 2 * "),
        Counter(evaluate=20) + RUNS + GRIDS + TABLES,
    ),
    "a label of a figure: that figure": (
        edit("src/qunlearn/report/figures/plot_loss_curves.py", '"no retain term"', '"-"'),
        RUNS + Counter(all=1),
    ),
    "a claim: its verdict, and where it is shown": (
        edit("resources/claims.yaml", "abstract", "summary"),
        Counter(claims=1, page=1, words=1, all=1),
    ),
}


@pytest.mark.parametrize("what", EDITS)
def test_a_change_of_code_runs_only_what_depends_on_it(
    checkout: Path, snakemake: Snakemake, what: str
) -> None:
    change, expected = EDITS[what]
    change(checkout)
    planned = snakemake(checkout, "--snakefile", str(checkout / "Snakefile"), *TINY, "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert jobs(planned.stdout) == expected
