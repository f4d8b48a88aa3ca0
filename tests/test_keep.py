"""What stays on the disk at each level of `keep`, and what runs again once models are gone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Snakemake
from test_workflow import GRIDS, RUNS, TABLES, jobs

TINY = str(ROOT / "config/tiny.yaml")
LEVELS = ("adapters", "tables")
WHOLE = ("full", "full_bf16")
# Without cards, as there are no quantized models to lay them into.
REPORTS = {rule: count for rule, count in TABLES.items() if rule != "model_cards"}
Plan = Callable[..., dict[str, int]]


@pytest.fixture
def plan(snakemake: Snakemake, tmp_path: Path) -> Plan:
    """The jobs that a change of the configuration would run in a folder."""

    def planned(folder: Path, **change: Any) -> dict[str, int]:
        changed = tmp_path / "changed.yaml"
        changed.write_text(yaml.safe_dump(change), encoding="utf-8")
        done = snakemake(folder, "--configfile", TINY, str(changed), "--dry-run")
        assert done.returncode == 0, done.stderr
        return jobs(done.stdout)

    return planned


ASKED = {"evaluate_in_memory": 5, "quantize_gptq": 5, "evaluate": 5, "survival": 3}
FROM_NOTHING = {"generate_corpus": 1, "train_base": 1, "finetune": 2, **ASKED, "keep_log": 3}


@pytest.mark.parametrize(
    ("level", "expected"),
    [
        ("adapters", {"unlearn": 1, "unlearn_whole": 2}),
        ("tables", {"unlearn": 3, "keep_manifest": 3}),
    ],
)
def test_the_jobs_of_each_level(
    plan: Plan, tmp_path: Path, level: str, expected: dict[str, int]
) -> None:
    assert plan(tmp_path, keep=level) == FROM_NOTHING | expected | RUNS | GRIDS | REPORTS


def test_swept_models_that_are_whole_go_and_adapters_stay(plan: Plan, tmp_path: Path) -> None:
    grid = {"*/*/lora": {"rank": [2, 4]}, "*/*/full": {"lr": [1e-5, 2e-5]}}
    planned = plan(tmp_path, keep="adapters", sweep=grid, precisions=["bf16"])
    wanted = {"sweep": 2, "sweep_whole": 2, "take_selected": 1, "take_selected_whole": 1}
    assert {rule: planned[rule] for rule in wanted} == wanted
    assert planned["unlearn_whole"] == 1  # full_bf16
    assert "unlearn" not in planned


def files(results: Path) -> set[str]:
    """What is in an experiment's folder, but logs, timings and what is hidden."""
    names = (path.relative_to(results).as_posix() for path in results.rglob("*") if path.is_file())
    hidden = ("logs/", "benchmarks/")
    return {name for name in names if not name.startswith(hidden) and "/." not in f"/{name}"}


@pytest.fixture(scope="module", params=LEVELS)
def finished(
    request: pytest.FixtureRequest, snakemake: Snakemake, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """A level, and a folder in which the tiny experiment was run with it from nothing."""
    folder = tmp_path_factory.mktemp(request.param)
    done = snakemake(folder, "--configfile", TINY, "--config", f"keep={request.param}")
    assert done.returncode == 0, done.stderr[-3000:]
    return request.param, folder


AGAIN = {
    # What was deleted is made anew, so that what reads it runs as well.
    "adapters": {**ASKED, "unlearn_whole": 2, "keep_log": 2, **RUNS, **GRIDS, **REPORTS},
    "tables": {
        **{"train_base": 1, "finetune": 2, "unlearn": 3, "keep_log": 3, "keep_manifest": 3},
        **ASKED,
        **RUNS,
        **GRIDS,
        **REPORTS,
    },
}


@pytest.mark.slow
def test_what_stays(finished: tuple[str, Path], tiny_run: Path, plan: Plan) -> None:
    level, folder = finished
    everything, kept = tiny_run / "results/tiny", folder / "results/tiny"
    goes = ["quantized/", "cards/"]
    goes += [f"unlearned/news/npo_klr/{adapter}/" for adapter in WHOLE]
    goes += ["unlearned/", "models/"] if level == "tables" else []
    expected = {name for name in files(everything) if not name.startswith(tuple(goes))}
    trained = [f"unlearned/news/npo_klr/{adapter}/seed0" for adapter in (*WHOLE, "lora")]
    expected |= {f"records/{name}/train_log.jsonl" for name in trained}
    trained += (
        [f"models/news/{name}" for name in ("base", "target", "retrain")]
        if level == "tables"
        else []
    )
    expected |= {f"records/{name}/manifest.json" for name in trained}
    assert files(kept) == expected
    for name in ("metrics.csv", "summary.csv", "mechanism.csv", "claims.csv"):
        table = f"tables/{name}"
        assert (kept / table).read_bytes() == (everything / table).read_bytes()
    assert plan(folder, keep=level) == {}


@pytest.mark.slow
def test_what_a_change_runs_again_once_models_are_gone(
    finished: tuple[str, Path], plan: Plan
) -> None:
    level, folder = finished
    assert plan(folder, keep=level, evaluate={"verbmem_tokens": 9}) == AGAIN[level]


@pytest.mark.slow
def test_tables_and_figures_are_made_again_without_a_model(
    finished: tuple[str, Path], snakemake: Snakemake
) -> None:
    level, folder = finished
    figure = folder / "results/tiny/figures/loss_curves.png"
    drawn = figure.read_bytes()
    for part in ("tables", "figures", "report"):
        for file in (folder / "results/tiny" / part).iterdir():
            file.unlink()
    done = snakemake(folder, "--configfile", TINY, "--config", f"keep={level}")
    assert done.returncode == 0, done.stderr[-3000:]
    assert jobs(done.stderr) == {**RUNS, **GRIDS, **REPORTS}
    assert figure.read_bytes() == drawn


def test_a_finished_run_that_is_to_keep_less_is_asked_again_but_not_trained(
    plan: Plan, tiny_run: Path
) -> None:
    asked = {"evaluate_in_memory": 5, "evaluate": 5}
    assert plan(tiny_run, keep="adapters") == {**asked, "keep_log": 3, **RUNS, **REPORTS}
