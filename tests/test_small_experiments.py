"""The scripts that write tables, on experiments with little or nothing to compare."""

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from small_corpora import script
from small_manifests import sign_evaluations, sign_measurements
from small_records import evaluate
from small_survival import matrices, write_cell

from qunlearn.analysis.selection.choice import choose, gather, write
from qunlearn.corpora.overlaps import Overlap
from qunlearn.report.candidates import notes
from qunlearn.run.files import read_json, write_json
from qunlearn.run.manifest import digest, write_manifest
from qunlearn.settings.evaluation import EvaluateSettings


@dataclass(frozen=True)
class Experiment:
    """What was run; `status` is of the unlearned models."""

    adapters: tuple[str, ...]
    precisions: tuple[str, ...]
    status: str = "ok"

    @property
    def unlearned(self) -> list[str]:
        return [
            f"news/npo_gdr/{adapter}/seed0/{precision}"
            for adapter in self.adapters
            for precision in self.precisions
        ]

    @property
    def cells(self) -> tuple[str, ...]:
        models = ("target", "retrain")
        given = [f"news/{model}/{precision}" for model in models for precision in self.precisions]
        return (*given, *self.unlearned)


EXPERIMENTS = [
    Experiment(("lora",), ("bf16",)),
    Experiment(("lora",), ("bf16",), status="diverged"),
    Experiment(("full_bf16",), ("bf16", "nf4")),
]
OVERLAP = Overlap("knowmem/retain_qa.json", 4, "knowmem/retain_qa_icl.json", count=1, of=9)
SWEPT = "news/npo_gdr/lora"
SCORES = {"knowmem": 30.0, "utility": 58.0, "nll_forget": 1.25}
CHOICE = choose(
    *(SWEPT, {"forget": 30, "retain": 29}),
    target=SCORES,
    retrain=SCORES,
    candidates=gather(["r4"], {"r4": [{"epoch1": {"status": "ok", **SCORES}}]}),
)


def records(folder: Path, experiment: Experiment) -> None:
    """Evaluations and measurements of the experiment, below `folder`."""
    for cell in experiment.cells:
        status = experiment.status if cell in experiment.unlearned else "ok"
        evaluate(folder / "eval", cell, status=status)
    for cell in experiment.unlearned:
        write_cell(folder / "survival", cell, None if experiment.status == "ok" else matrices())
    sign_evaluations(folder / "eval")
    sign_measurements(folder / "survival")
    corpus = folder / "data/news"
    corpus.mkdir(parents=True)
    about = {"settings": {}, "inputs": {}}
    write_manifest(corpus, step="corpus", **about, overlaps=[str(OVERLAP)])
    for file in (folder / "eval").rglob("manifest.json"):
        made = read_json(file) | {"shortfalls": ["KnowMem: no"]}
        made["inputs"]["corpus"] = digest(corpus)
        write_json(file, made)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(
    scope="module", params=EXPERIMENTS, ids=lambda each: "-".join(each.adapters + each.precisions)
)
def experiment(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def results(experiment: Experiment, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the experiment, with all its tables."""
    results = tmp_path_factory.mktemp("results")
    records(results, experiment)
    script("analyse.py")(results, experiment.cells, "small", EvaluateSettings())
    write(results / f"selection/{SWEPT}.json", CHOICE)
    given = EvaluateSettings(), experiment.cells
    script("write_tables.py")(results, *given, notes=("A note.",), swept=(SWEPT,))
    return results


def test_nothing_is_marked_and_no_claim_is_decided(results: Path, experiment: Experiment) -> None:
    tables = results / "tables"
    main = (tables / "main.md").read_text(encoding="utf-8")
    assert main.count("| NPO+GDR") == len(experiment.unlearned)
    assert "**" not in main and "Bold" not in main
    assert {row["verdict"] for row in rows(tables / "claims.csv")} == {"undecided"}
    assert len(rows(tables / "metrics.csv")) > 0
    if experiment == EXPERIMENTS[0]:
        assert rows(tables / "tests.csv") == []
        assert "no number" in (tables / "claims.md").read_text(encoding="utf-8").lower()


def test_the_main_table_says_how_its_numbers_came_about(results: Path) -> None:
    shown = (results / "tables/main.md").read_text(encoding="utf-8").splitlines()
    below = [line.removeprefix("* ") for line in shown if line.startswith("* ")]
    expected = [f"NEWS: {OVERLAP}.", *notes([CHOICE]), "A note.", "NEWS: KnowMem: no."]
    at = below.index(expected[0])
    assert below[at : at + len(expected)] == expected
    assert below[at + len(expected)].startswith("Processor: ")
