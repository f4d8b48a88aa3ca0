"""The tidy table: one row a metric, read back as it was written."""

from pathlib import Path

import pytest
from small_evaluations import CELLS, entries, evaluate

from qunlearn.analysis.metrics import (
    METRICS,
    Cell,
    Score,
    collect,
    read_metrics,
    write_metrics,
)
from qunlearn.run.errors import InputError


def test_metrics_csv_has_these_bytes(tmp_path: Path) -> None:
    values = {
        **entries(0.0),
        "verbmem": {"value": 17.23456789, "ci_low": -0.0, "ci_high": 21, "n": 32},
    }
    evaluate(tmp_path, "news/target/bf16", {"status": "ok", "metrics": values})
    evaluate(tmp_path, "news/ga/lora/seed7/nf4", {"status": "diverged", "metrics": {}})

    write_metrics(
        tmp_path / "metrics.csv",
        collect(tmp_path, ["news/target/bf16", "news/ga/lora/seed7/nf4"], "mini"),
    )

    assert (tmp_path / "metrics.csv").read_bytes() == (
        b"experiment,corpus,objective,adapter,seed,precision,metric,value,ci_low,ci_high,n\n"
        b"mini,news,target,none,,bf16,verbmem,17.2346,0,21,32\n"
        b"mini,news,target,none,,bf16,knowmem,1,-0.25,3.75,31\n"
        b"mini,news,target,none,,bf16,privleak,2,0.75,4.75,32\n"
        b"mini,news,target,none,,bf16,utility,3,1.75,5.75,33\n"
        b"mini,news,target,none,,bf16,auc,4,2.75,6.75,34\n"
        b"mini,news,target,none,,bf16,nll_forget,5,3.75,7.75,35\n"
        b"mini,news,target,none,,bf16,nll_retain,6,4.75,8.75,36\n"
        b"mini,news,ga,lora,7,nf4,verbmem,diverged,,,\n"
        b"mini,news,ga,lora,7,nf4,knowmem,diverged,,,\n"
        b"mini,news,ga,lora,7,nf4,privleak,diverged,,,\n"
        b"mini,news,ga,lora,7,nf4,utility,diverged,,,\n"
        b"mini,news,ga,lora,7,nf4,auc,diverged,,,\n"
        b"mini,news,ga,lora,7,nf4,nll_forget,diverged,,,\n"
        b"mini,news,ga,lora,7,nf4,nll_retain,diverged,,,\n"
    )


def test_metrics_csv_reads_back_what_was_collected(evaluations: Path, tmp_path: Path) -> None:
    scores = collect(evaluations, CELLS[::-1], "mini")
    missing = Score.missing("mini", Cell.parse(CELLS[0]), "reversion_verbmem", "undefined")
    write_metrics(tmp_path / "metrics.csv", [*scores, missing])

    assert read_metrics(tmp_path / "metrics.csv") == [*scores, missing]
    cells = [score.cell for score in scores[:: len(METRICS)]]
    assert cells == [Cell.parse(cell) for cell in CELLS[::-1]]


@pytest.mark.parametrize(
    "name", ["news/target/nf4", "news/target/seed2/nf4", "news/npo_gdr/lora_scaled0.5/seed7/nf4"]
)
def test_a_cells_name_is_its_corpus_model_and_precision(name: str) -> None:
    cell = Cell.parse(name)

    assert f"{cell.corpus}/{cell.model}/{cell.precision}" == name
    assert (cell.adapter == "none") == (cell.objective == "target")


def test_a_cell_that_was_not_evaluated_is_named(evaluations: Path) -> None:
    with pytest.raises(InputError, match=r"cell 'news/ga/full/seed0/nf4'.*evaluate this cell"):
        collect(evaluations, ["news/ga/full/seed0/nf4"], "mini")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"status": "killed", "metrics": {}}, "status is 'killed'"),
        ([], "status is None"),
        ({"status": "ok", "metrics": {}}, "verbmem.value is None"),
        ({"status": "ok", "metrics": {**entries(0), "auc": {}}}, "auc.value is None"),
        (
            {"status": "ok", "metrics": {**entries(0), "nll_forget": {"value": float("nan")}}},
            "nll_forget.value is nan, not a finite number",
        ),
    ],
)
def test_a_broken_metrics_file_is_refused(tmp_path: Path, content: object, complaint: str) -> None:
    evaluate(tmp_path, "news/target/bf16", content)

    with pytest.raises(InputError, match=complaint):
        collect(tmp_path, ["news/target/bf16"], "mini")


@pytest.mark.parametrize(
    "name",
    [
        "news/target",
        "news/ga/lora/seed/nf4",
        "news/ga/lora/0/nf4",
        "news/ga/lora/nf4",
        "/target/bf16",
        "news/target/",
    ],
)
def test_a_misnamed_cell_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="write <corpus>/<objective>/<adapter>/seed<k>"):
        Cell.parse(name)


def test_no_cells_and_repeated_cells_are_refused(evaluations: Path) -> None:
    with pytest.raises(InputError, match="none given"):
        collect(evaluations, [], "mini")
    with pytest.raises(InputError, match="news/target/bf16 given more than once"):
        collect(evaluations, [CELLS[0], CELLS[0]], "mini")
