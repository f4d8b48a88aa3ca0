"""The DAG from corpus to figure on the tiny experiment, and what a change runs again."""

import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import ROOT, Snakemake
from small_workflow import TINY, changed, copied, jobs, planned, run_on

from qunlearn.run import fingerprint
from qunlearn.run.files import read_json, write_text
from qunlearn.run.fingerprint import code_version

PRECISIONS = ("bf16", "nf4", "gptq4g32", "rtn3g64")


@pytest.fixture(scope="module")
def results(tiny_run: Path) -> Path:
    return tiny_run / "results/tiny"


def test_a_run_leaves_tables_figures_and_manifests_but_no_checkpoints(results: Path) -> None:
    for form in ("csv", "md", "tex", "html"):
        assert "NPO+KLR" in (results / f"tables/main.{form}").read_text(encoding="utf-8")
    for form in ("png", "pdf"):
        assert (results / f"figures/survival_of_forgetting.{form}").stat().st_size > 5000
    made = read_json(results / "unlearned/news/npo_klr/lora/seed0/manifest.json")
    assert (made["settings"]["rank"], bool(made["packages"]["torch"])) == (16, True)
    assert str(ROOT) not in json.dumps(made)
    assert not list((results / "checkpoints").glob("*"))
    lines = (results / "tables/main.md").read_text(encoding="utf-8").splitlines()
    short = read_json(results / "eval/news/target/bf16/manifest.json")["shortfalls"]
    assert short and {f"* NEWS: {line}." for line in short} <= set(lines)
    assert any(line.startswith("* Processor: trained and evaluated on ") for line in lines)


TABLES = Counter(
    **dict.fromkeys(("analyse", "score", "write_tables", "model_cards", "all"), 1),
    words=2,
    figure=5,  # of scores
    page=5,
)
GRIDS = Counter(figure=2)  # of each update on the grids
RUNS = Counter(figure=1)  # of the training logs
VARIANTS = Counter(unlearn=3, quantize=12, evaluate=12, survival=3, forecast=1) + RUNS + TABLES
PRECISION = Counter(quantize=5, evaluate=5, survival=3, forecast=1) + GRIDS + TABLES
SEEDS = Counter(finetune=6, unlearn=6, quantize=40, evaluate=40, survival=6, forecast=1)
CHANGES: dict[str, tuple[Any, dict[str, int]]] = {
    "nothing: nothing": ({}, {}),
    "how models are evaluated: evaluations": (
        {"evaluate": {"verbmem_tokens": 9}},
        Counter(evaluate=20) + TABLES,
    ),
    "one more precision: its cells": ({"precisions": [*PRECISIONS, "rtn4"]}, PRECISION),
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
def test_changed_settings(tiny_run: Path, snakemake: Snakemake, tmp_path: Path, what: str) -> None:
    change, expected = CHANGES[what]
    assert planned(snakemake, tiny_run, tmp_path, change) == expected


def test_an_experiment_with_nothing_to_compare_has_tables_too(
    tiny_run: Path, snakemake: Snakemake, tmp_path: Path
) -> None:
    """One precision and one variant, which diverges."""
    lora = {"adapters": ["lora"], "overrides": {"*/*/lora": {"lr": 1e30}}}
    results = run_on(snakemake, tiny_run, tmp_path, {"unlearn": lora, "precisions": ["bf16"]})
    scores, tests, claims = (
        pd.read_csv(results / f"tables/{name}.csv") for name in ("metrics", "tests", "claims")
    )
    diverged = scores["value"] == "diverged"
    assert (diverged == (scores["adapter"] == "lora")).all()
    assert tests.empty and set(claims["verdict"]) == {"undecided"}
    table = (results / "tables/main.md").read_text(encoding="utf-8")
    assert "diverged †" in table and "**" not in table


@pytest.fixture
def checkout(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the workflow's code beside a copy of the tiny run's results."""
    folder = tmp_path / "checkout"
    for part in ("src", "workflow", "config", "envs", "profiles", "resources"):
        shutil.copytree(ROOT / part, folder / part)
    for file in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / file, folder / file)
    return copied(tiny_run, folder)


Edit = Callable[[Path], None]


def comment(checkout: Path) -> None:
    files = [
        *(file for part in ("src", "workflow") for file in (checkout / part).rglob("*.py")),
        *(checkout / "workflow/rules").glob("*.smk"),
        *(checkout / "envs").glob("*.yaml"),
    ]
    for file in files:
        file.write_text("# a comment\n" + file.read_text(encoding="utf-8"), encoding="utf-8")


def edit(path: str, old: str = "", new: str = "X = 1") -> Edit:
    """Other text in the place of some, or at the end."""

    def apply(checkout: Path) -> None:
        text = (checkout / path).read_text(encoding="utf-8")
        assert old in text
        text = text.replace(old, new, 1) if old else f"{text}\n{new}\n"
        (checkout / path).write_text(text, encoding="utf-8")

    return apply


HOUSE = "src/qunlearn"
NO_ROW = ("no text has two tokens or more", "every text is too short")
EDITS: dict[str, tuple[list[Edit], dict[str, int]]] = {
    "comments, messages, and a loss that is not used: nothing": (
        [
            comment,
            edit(f"{HOUSE}/run/errors.py", "LONGEST = 2000", "LONGEST = 1000"),
            edit(f"{HOUSE}/training/rows.py", *NO_ROW),
            edit(f"{HOUSE}/training/terms/ga.py"),
        ],
        {},
    ),
    "a term of the objective: its cells": (
        [edit(f"{HOUSE}/training/terms/klr.py")],
        VARIANTS + GRIDS - Counter(page=1),  # the configuration's page stays
    ),
    # Every figure is drawn anew: what they share knows the records.
    "a metric: evaluations and nothing before": (
        [edit(f"{HOUSE}/evaluate/formulas.py", "return ", "return 2 * ")],
        Counter(evaluate=20) + RUNS + GRIDS + TABLES,
    ),
    "a figure: it alone": (
        [edit(f"{HOUSE}/report/figures/plot_pareto.py")],
        Counter(figure=1, all=1),
    ),
    # And the figure that is made from a table.
    "a template: all pages": (
        [edit(f"{HOUSE}/report/templates/claims.md.j2", new="words")],
        Counter(write_tables=1, score=1, model_cards=1, words=2, page=5, figure=2, all=1),
    ),
    "a claim: the tables, and what is made from them": (
        [edit("resources/claims.yaml", "abstract", "summary")],
        Counter(write_tables=1, page=3, words=1, figure=1, all=1),
    ),
}


@pytest.mark.parametrize("what", EDITS)
def test_changes_of_code(checkout: Path, snakemake: Snakemake, what: str) -> None:
    changes, expected = EDITS[what]
    for change in changes:
        change(checkout)
    done = snakemake(checkout, "--snakefile", str(checkout / "Snakefile"), *TINY, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert jobs(done.stdout) == expected


# --- Without models -----------------------------------------------------------------------------


def files(results: Path) -> set[str]:
    """What is in an experiment's folder, but logs, timings and what is hidden."""
    names = (path.relative_to(results).as_posix() for path in results.rglob("*") if path.is_file())
    hidden = ("logs/", "benchmarks/")
    return {name for name in names if not name.startswith(hidden) and "/." not in f"/{name}"}


@pytest.mark.slow
def test_models_go_and_tables_stay(tiny_run: Path, tmp_path: Path, snakemake: Snakemake) -> None:
    gone = {"keep_models": False}
    done = snakemake(tmp_path, *changed(tmp_path, gone))
    assert done.returncode == 0, done.stderr[-3000:]
    everything, kept = tiny_run / "results/tiny", tmp_path / "results/tiny"

    goes = ("quantized/", "cards/", "unlearned/")
    assert files(kept) == {name for name in files(everything) if not name.startswith(goes)}
    assert (kept / "records/unlearned/news/npo_klr/lora/seed0/adapter_model.safetensors").exists()
    for name in ("metrics.csv", "summary.csv", "mechanism.csv", "claims.csv"):
        table = f"tables/{name}"
        assert (kept / table).read_bytes() == (everything / table).read_bytes()
    assert planned(snakemake, tmp_path, tmp_path, gone) == {}

    # What was deleted is made anew, so that what reads it runs as well.
    gone |= {"evaluate": {"verbmem_tokens": 9}}
    again = planned(snakemake, tmp_path, tmp_path, gone)
    assert again["unlearn"] == 3 and again["quantize"] == 20
    assert "finetune" not in again


def test_the_report_loads_nothing(tiny_run: Path, snakemake: Snakemake, tmp_path: Path) -> None:
    # Whatever would be fetched by http is refused: the report is made without a network too.
    surroundings = dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    command = (*TINY, "--report", "report.html")
    made = snakemake(copied(tiny_run, tmp_path), *command, environment=surroundings)
    assert made.returncode == 0, made.stderr[-3000:]
    assert "Missing metadata" not in made.stderr
    report = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Does unlearning survive quantization?" in report
    assert "of 9 combinations of method, variant and grid" in report
    assert "System Message" not in report
    assert re.findall(r"<(?:script|link|img)[^>]*(?:src|href)=.https?:[^>]*>", report) == []


# --- The fingerprint of code ----------------------------------------------------------------------

SCRIPT = '''"""A script."""

import sys

from qunlearn.run.errors import InputError


def main() -> None:
    """Do it."""
    if not sys.argv:
        raise InputError(f"only {sys.argv}: no text")
    print("warning: the first is long", file=sys.stderr)
    print(len(sys.argv) + 2)  # a comment
'''
SAME = [
    ("  # a comment", ""),
    ('"""Do it."""', '"""Do it\n\n    at once.\n    """'),
    ("len(sys.argv) + 2", "(len(sys.argv)  +\n        2)"),
    ('"""A script."""', "# A comment"),
    ("no text", "too little text"),
    ("only {", "there is but {"),
    ("first is long", "first is very long"),
]
OTHER = [
    ("len(sys.argv) + 2", "len(sys.argv) - 2"),
    ("print(len(", "print('text', len("),
    ("if not sys.argv", "if sys.argv"),
]


def version(script: Path) -> str:
    fingerprint._parsed.cache_clear()
    return code_version(script)


@pytest.mark.parametrize(
    ("old", "new", "same"), [(*x, True) for x in SAME] + [(*x, False) for x in OTHER]
)
def test_what_of_a_file_counts(old: str, new: str, same: bool, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    write_text(script, SCRIPT)
    before = version(script)
    assert re.fullmatch("[0-9a-f]{12}", before)
    assert old in SCRIPT
    write_text(script, SCRIPT.replace(old, new))
    assert (version(script) == before) is same
