"""What stays on the disk without models, and what runs again once they are gone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Snakemake
from test_workflow import jobs

TINY = str(ROOT / "config/tiny.yaml")
Plan = Callable[..., dict[str, int]]


@pytest.fixture
def plan(snakemake: Snakemake, tmp_path: Path) -> Plan:
    """The jobs that a change of the configuration would run in a folder."""

    def planned(folder: Path, **change: Any) -> dict[str, int]:
        changed = tmp_path / "changed.yaml"
        changed.write_text(yaml.safe_dump({"keep_models": False, **change}), encoding="utf-8")
        done = snakemake(folder, "--configfile", TINY, str(changed), "--dry-run")
        assert done.returncode == 0, done.stderr
        return jobs(done.stdout)

    return planned


def files(results: Path) -> set[str]:
    """What is in an experiment's folder, but logs, timings and what is hidden."""
    names = (path.relative_to(results).as_posix() for path in results.rglob("*") if path.is_file())
    hidden = ("logs/", "benchmarks/")
    return {name for name in names if not name.startswith(hidden) and "/." not in f"/{name}"}


@pytest.mark.slow
def test_models_go_and_the_tables_stay(
    tiny_run: Path, tmp_path: Path, snakemake: Snakemake, plan: Plan
) -> None:
    done = snakemake(tmp_path, "--configfile", TINY, "--config", "keep_models=false")
    assert done.returncode == 0, done.stderr[-3000:]
    everything, kept = tiny_run / "results/tiny", tmp_path / "results/tiny"

    goes = ("quantized/", "cards/", "unlearned/")
    assert files(kept) == {name for name in files(everything) if not name.startswith(goes)}
    assert (kept / "records/unlearned/news/npo_klr/lora/seed0/adapter_model.safetensors").exists()
    for name in ("metrics.csv", "summary.csv", "mechanism.csv", "claims.csv"):
        table = f"tables/{name}"
        assert (kept / table).read_bytes() == (everything / table).read_bytes()
    assert plan(tmp_path) == {}

    # What was deleted is made anew, so that what reads it runs as well.
    again = plan(tmp_path, evaluate={"verbmem_tokens": 9})
    assert again["unlearn"] == 3 and again["quantize"] == 20
    assert "finetune" not in again
