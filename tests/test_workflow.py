"""The DAG from corpus to figure on the tiny experiment, and what a change runs again."""

import csv
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, Snakemake

TINY = ("--configfile", str(ROOT / "config/tiny.yaml"))
ADAPTERS = ("full", "full_bf16", "lora")
PRECISIONS = ("bf16", "nf4", "gptq4g32", "rtn3g64")
MODELS = ["target", "retrain", *(f"npo_klr/{adapter}/seed0" for adapter in ADAPTERS)]


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


def test_every_cell_has_every_metric(results: Path) -> None:
    found = {(r["objective"], r["adapter"], r["precision"], r["metric"]) for r in rows(results)}
    metrics = ["verbmem", "knowmem", "privleak", "utility", "auc", "nll_forget", "nll_retain"]
    reversions = [f"reversion_{name}" for name in ("verbmem", "knowmem", "privleak", "nll_forget")]
    references = [("target", "none"), ("retrain", "none")]
    unlearned = [("npo_klr", name) for name in ADAPTERS]
    assert found == {
        (*model, precision, metric)
        for model in references + unlearned
        for precision in PRECISIONS
        for metric in (metrics if model in references else metrics + reversions)
    }


def test_retrain_in_bf16_is_the_zero_of_privleak(results: Path) -> None:
    values = [
        row["value"]
        for row in rows(results)
        if (row["objective"], row["precision"], row["metric"]) == ("retrain", "bf16", "privleak")
    ]
    assert [float(value) for value in values] == [0.0]


def test_tables_and_figures_are_there(results: Path) -> None:
    for name in ("tables/main.csv", "tables/main.md", "tables/main.tex", "tables/main.html"):
        assert "NPO+KLR" in (results / name).read_text(encoding="utf-8")
    for form in ("png", "pdf"):
        assert (results / f"figures/survival_of_forgetting.{form}").stat().st_size > 5000


def test_manifests_tell_one_step_from_the_next(results: Path) -> None:
    unlearned = json.loads(
        (results / "unlearned/news/npo_klr/lora/seed0/manifest.json").read_text(encoding="utf-8")
    )
    assert unlearned["settings"]["rank"] == 16
    assert unlearned["packages"]["torch"]
    assert str(ROOT) not in json.dumps(unlearned)


def test_training_leaves_no_checkpoints_behind(results: Path) -> None:
    assert not list((results / "checkpoints").glob("*"))


@pytest.mark.parametrize("model", MODELS)
def test_rescore_gives_the_same_bytes(results: Path, tmp_path: Path, model: str) -> None:
    cell = tmp_path / "cell"
    shutil.copytree(results / f"eval/news/{model}/bf16", cell)
    scored = (cell / "metrics.json").read_bytes()
    (cell / "metrics.json").unlink()
    reference = results / "eval/news/retrain/bf16/privleak.jsonl"
    retrain = [] if model == "retrain" else ["--retrain", str(reference)]
    subprocess.run(
        [sys.executable, ROOT / "workflow/scripts/rescore.py", "--folder", cell, *retrain],
        check=True,
    )
    assert (cell / "metrics.json").read_bytes() == scored


def test_a_finished_run_has_nothing_to_do(tiny_run: Path, snakemake: Snakemake) -> None:
    again = snakemake(tiny_run, *TINY)
    assert again.returncode == 0
    assert "Nothing to be done" in again.stderr


TABLES = Counter(
    collect_metrics=1,
    **dict.fromkeys(("summary", "differences", "claims", "vs_paper"), 1),
    main_table=1,
    mechanism_tables=1,
    model_cards=1,
    figure=4,  # of scores
    page=5,
    story=1,
    all=1,
)
GRIDS = Counter(figure=2)  # of each update on the grids
RUNS = Counter(figure=1)  # of the training logs


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(
            {"evaluate": {"verbmem_tokens": 9}},
            Counter(evaluate=20) + TABLES,
            id="how models are asked: evaluations",
        ),
        pytest.param(
            {"unlearn": {"overrides": {"*/*/lora": {"lr": 0.01}}}},
            Counter(unlearn=1, quantize=4, evaluate=4, survival=1) + RUNS + GRIDS + TABLES,
            id="one variant's learning rate: its cells",
        ),
        pytest.param(
            {"precisions": ["bf16", "nf4", "gptq4g32", "rtn3g64", "rtn4"]},
            Counter(quantize=5, evaluate=5, survival=3) + GRIDS + TABLES,
            id="one more precision: its cells",
        ),
        pytest.param(
            {"quantization": {"calibration": {"seed": 1}}},
            Counter(quantize=5, evaluate=5, survival=3) + GRIDS + TABLES,
            id="another calibration sample: GPTQ's cells",
        ),
        pytest.param(
            {"seeds": [0, 1]},
            Counter(unlearn=3, quantize=12, evaluate=12, survival=3) + RUNS + TABLES,
            id="one more seed: its runs",
        ),
        pytest.param(
            {"seeds": [0, 1], "seed_scope": "all"},
            Counter(train_base=2, finetune=4, unlearn=6, quantize=40, evaluate=40, survival=6)
            + RUNS
            + GRIDS
            + TABLES,
            id="a target and a retrain for each seed: everything but the corpus",
        ),
        pytest.param(
            {"train": {"target": {"epochs": 3}}},
            Counter(finetune=1, unlearn=3, quantize=16, evaluate=16, survival=3)
            + RUNS
            + GRIDS
            + TABLES,
            id="how target is trained: all models but retrain",
        ),
        pytest.param(
            {
                "unlearn": {
                    "objectives": ["npo_klr", "npo_gdr"],
                    "overrides": {"*/npo_gdr/*": {"alpha": 3}},
                }
            },
            Counter(unlearn=3, quantize=12, evaluate=12, survival=3)
            + RUNS
            + GRIDS  # of the new objective; the other's stay
            + TABLES,
            id="an objective, or its weight: its cells, and none of another objective's",
        ),
        pytest.param(
            {"unlearn": {"overrides": {"*/npo_klr/*": {"alpha": 3}}}},
            Counter(unlearn=3, quantize=12, evaluate=12, survival=3) + RUNS + GRIDS + TABLES,
            id="the weight of the one objective: its cells, but no training before them",
        ),
        pytest.param(
            {"resources": {"train": {"threads": 2}, "unlearn": {"threads": 2, "mem_mb": 9000}}},
            {},
            id="threads and memory: nothing, though threads move a result's last bit",
        ),
        pytest.param(
            {"train": {"retrain": {"epochs": 3}}},
            Counter(finetune=1, quantize=4, evaluate=20) + TABLES,
            id="how retrain is trained: retrain, and what is compared with it",
        ),
    ],
)
def test_a_change_runs_only_what_depends_on_it(
    tiny_run: Path, snakemake: Snakemake, tmp_path: Path, change: object, expected: dict[str, int]
) -> None:
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


def planned_jobs(checkout: Path, snakemake: Snakemake) -> dict[str, int]:
    planned = snakemake(checkout, "--snakefile", str(checkout / "Snakefile"), *TINY, "--dry-run")
    assert planned.returncode == 0, planned.stderr
    return jobs(planned.stdout)


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_a_comment_runs_nothing_again(checkout: Path, snakemake: Snakemake) -> None:
    files = [
        *(file for part in ("src", "workflow") for file in (checkout / part).rglob("*.py")),
        *(checkout / "workflow/rules").glob("*.smk"),
        *(checkout / "envs").glob("*.yaml"),
    ]
    for file in files:
        file.write_text("# a comment\n" + file.read_text(encoding="utf-8"), encoding="utf-8")
    assert planned_jobs(checkout, snakemake) == {}


def test_a_changed_loss_runs_unlearning_again_but_no_training(
    checkout: Path, snakemake: Snakemake
) -> None:
    edit(
        checkout / "src/qunlearn/training/unlearn.py",
        'loss = self.settings.gamma * terms["loss_forget"]',
        'loss = 2 * terms["loss_forget"]',
    )
    assert (
        planned_jobs(checkout, snakemake)
        == Counter(unlearn=3, quantize=12, evaluate=12, survival=3) + RUNS + GRIDS + TABLES
    )


def test_a_changed_metric_runs_evaluations_again_and_nothing_before(
    checkout: Path, snakemake: Snakemake
) -> None:
    """The drawings of updates among the rest: their check of what they draw knows the records."""
    edit(checkout / "src/qunlearn/evaluate/formulas.py", "return ", "return 2 * ")
    assert planned_jobs(checkout, snakemake) == Counter(evaluate=20) + GRIDS + TABLES


def test_a_changed_label_of_a_figure_draws_that_figure_again(
    checkout: Path, snakemake: Snakemake
) -> None:
    module = checkout / "src/qunlearn/report/figures/plot_loss_curves.py"
    edit(module, 'NO_RETAIN = "no retain term"', 'NO_RETAIN = "-"')
    assert planned_jobs(checkout, snakemake) == RUNS + Counter(all=1)


def test_a_changed_claim_is_judged_again_and_nothing_else(
    checkout: Path, snakemake: Snakemake
) -> None:
    edit(checkout / "resources/claims.yaml", "abstract", "summary")
    planned = planned_jobs(checkout, snakemake)
    assert planned == {"claims": 1, "page": 1, "story": 1, "all": 1}
