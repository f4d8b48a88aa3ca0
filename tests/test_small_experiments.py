"""Experiments in which there is little or nothing to compare get their tables and figures too."""

import csv
import json
import runpy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from small_evaluations import entries
from small_manifests import sign_evaluations, sign_measurements
from small_records import evaluate
from small_survival import MATRIX, write_cell

from qunlearn.experiment.config import resolve
from qunlearn.run.files import write_json
from qunlearn.settings.evaluation import EvaluateSettings


@dataclass(frozen=True)
class Experiment:
    """What was run; `status` is of the unlearned models."""

    adapters: tuple[str, ...]
    precisions: tuple[str, ...]
    status: str = "ok"

    @property
    def grids(self) -> tuple[str, ...]:
        return self.precisions[1:]

    @property
    def unlearned(self) -> list[str]:
        return [
            f"news/npo_gdr/{adapter}/seed0/{precision}"
            for adapter in self.adapters
            for precision in self.precisions
        ]

    @property
    def cells(self) -> list[str]:
        models = ("target", "retrain")
        given = [f"news/{model}/{precision}" for model in models for precision in self.precisions]
        return given + self.unlearned


EXPERIMENTS = [
    Experiment(("lora",), ("bf16",)),
    Experiment(("lora",), ("bf16",), status="diverged"),
    Experiment(("full_bf16",), ("bf16", "nf4")),
    Experiment(("full", "lora"), ("bf16",)),
]


def run(script: str, *arguments: Any, **named: Any) -> None:
    runpy.run_path(str(ROOT / "workflow/scripts" / script))["main"](*arguments, **named)


def records(folder: Path, experiment: Experiment) -> None:
    """Evaluations and measurements of the experiment, below `folder`."""
    for cell in experiment.cells:
        status = experiment.status if cell in experiment.unlearned else "ok"
        evaluate(folder / "eval", cell)
        metrics = entries(10.0) if status == "ok" else {}
        write_json(folder / "eval" / cell / "metrics.json", {"status": status, "metrics": metrics})
    for cell in experiment.unlearned:
        write_cell(folder / "survival", cell, [MATRIX] if experiment.status == "ok" else [])
    sign_evaluations(folder / "eval")
    sign_measurements(folder / "survival")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(params=EXPERIMENTS, ids=lambda each: "-".join(each.adapters + each.precisions))
def experiment(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def tables(experiment: Experiment, tmp_path: Path) -> Path:
    """The folder of all CSV files and Markdown tables of the experiment."""
    records(tmp_path, experiment)
    asked = {"settings": EvaluateSettings(), "experiment": "small"}
    below, made = tmp_path / "eval", tmp_path / "tables"
    for script, name in (
        ("collect_metrics.py", "metrics.csv"),
        ("summarise.py", "summary.csv"),
        ("test_differences.py", "tests.csv"),
    ):
        run(script, below, experiment.cells, output=made / name, **asked)
    read = {"summary": made / "summary.csv", "tests": made / "tests.csv"}
    run("make_main_table.py", output=made, **read)
    published = ROOT / "resources/published"
    run(
        "judge_claims.py",
        *(ROOT / "resources/claims.yaml", read["summary"], read["tests"], published),
        *(EvaluateSettings(), made, below, tuple(experiment.cells)),
    )
    run(
        "make_mechanism_tables.py",
        made / "metrics.csv",
        read["summary"],
        tmp_path / "survival",
        made,
    )
    run("compare_with_paper.py", read["summary"], published, made / "vs_paper.csv")
    return made


def test_nothing_is_marked_and_no_claim_is_decided(tables: Path, experiment: Experiment) -> None:
    main = (tables / "main.md").read_text(encoding="utf-8")
    assert main.count("NPO+GDR") == len(experiment.unlearned)
    assert "**" not in main and "Bold" not in main
    assert {row["verdict"] for row in rows(tables / "claims.csv")} == {"undecided"}
    assert len(rows(tables / "metrics.csv")) > 0
    if experiment == EXPERIMENTS[0]:
        assert rows(tables / "tests.csv") == []
        assert "no number" in (tables / "claims.md").read_text(encoding="utf-8").lower()


def test_all_figures_are_drawn(tables: Path, experiment: Experiment, tmp_path: Path) -> None:
    output, survival = tmp_path / "figures", tmp_path / "survival"
    scored = {"summary": tables / "summary.csv"}
    run("plot.py", "survival_of_forgetting", output, **scored)
    measured = {"metrics": tables / "metrics.csv", "survival": survival}
    run("plot.py", "reversion", output, **scored, **measured)
    run("plot.py", "pareto", output, **scored)
    expected = {"survival_of_forgetting", "reversion", "pareto"}
    if experiment.grids:
        run("plot.py", "slope", output, **scored, precisions=experiment.grids)
        cells = [cell for cell in experiment.unlearned if not cell.endswith("bf16")]
        for name in ("update_survival", "update_over_step"):
            run("plot.py", name, output, survival=survival, cells=cells)
            expected.add(f"{name}_news_npo_gdr")
        expected.add("slope")
    assert {file.stem for file in output.glob("*.png")} == expected


def test_the_report_s_first_page_says_what_can_be_said(
    tables: Path, experiment: Experiment
) -> None:
    settings = resolve({"precisions": list(experiment.precisions)})
    page = tables / "story.rst"
    run("write_page.py", "story", tables.parent, json.dumps(settings), experiment.cells, page)
    text = page.read_text(encoding="utf-8")
    assert ("cannot show what comes back" in text) is not bool(experiment.grids)
