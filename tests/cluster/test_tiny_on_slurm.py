"""The tiny experiment through Slurm with the shipped profile: the same numbers as on a laptop."""

import json
import subprocess
from pathlib import Path

import pytest

from cluster.small_slurm import DRIVER, ROOT, Run, Slurm, Workflow

pytestmark = pytest.mark.cluster
METRICS = "results/tiny/tables/metrics.csv"
FIGURE = "results/tiny/figures/survival_of_forgetting.png"
CLAIMS = "results/tiny/tables/claims.md"
ASKED = {"train": {"gpu": 1, "mem_mb": 1700}, "unlearn": {"gpu": 2, "runtime": 33}}


@pytest.fixture(scope="module")
def run(slurm: Slurm, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("through slurm")
    gpu = {"unlearn": {"slurm_partition": "gpu"}}
    per_rule = {"set-resources": Workflow.shipped()["set-resources"] | gpu}
    work = Workflow(folder, {"resources": ASKED, "keep_models": False}, **per_rule)
    return work.run(METRICS, FIGURE, CLAIMS)


def test_the_numbers_are_those_of_a_local_run(run: Run, tiny_run: Path) -> None:
    assert run.code == 0, run.said[-3000:]
    assert (run.folder / METRICS).read_bytes() == (tiny_run / METRICS).read_bytes()


def test_the_driver_has_no_torch_and_the_jobs_have(run: Run) -> None:
    look = "import importlib.util as u; print([u.find_spec(n) is None for n in ('torch', 'peft')])"
    driver = subprocess.run(
        [DRIVER.with_name("python"), "-c", look], capture_output=True, text=True, check=True
    )
    assert driver.stdout.strip() == "[True, True]"
    pinned = (ROOT / "envs/pip/run.txt").read_text().splitlines()
    adapter = run.folder / "results/tiny/records/unlearned/news/npo_klr/lora/seed0/manifest.json"
    version = json.loads(adapter.read_text())["packages"]["torch"]
    assert f"torch=={version.partition('+')[0]}" in pinned


def test_jobs_asked_for_what_the_configuration_says(run: Run, slurm: Slurm) -> None:
    finetune, *_ = slurm.jobs(run.folder, "rule_finetune")
    assert finetune["TresPerJob"] == "gres:gpu:1"
    assert finetune["MinMemoryNode"] == "1700M"
    assert (finetune["Partition"], finetune["NumTasks"], finetune["Requeue"]) == ("cpu", "1", "1")
    unlearn, *_ = slurm.jobs(run.folder, "rule_unlearn")
    assert unlearn["TresPerJob"] == "gres:gpu:2"
    assert unlearn["TimeLimit"] == "00:33:00"
    assert (unlearn["Partition"], unlearn["NumTasks"]) == ("gpu", "1")
    corpus, *_ = slurm.jobs(run.folder, "rule_corpus")
    assert "TresPerJob" not in corpus


def test_two_gpus_start_a_script_once(run: Run) -> None:
    """What FACTS calls a trap: a task for each GPU, and so the script twice."""
    for log in run.folder.glob("results/tiny/logs/unlearned/news/npo_klr/*/seed0.log"):
        text = log.read_text()
        assert text.count("train_runtime") == 1, text
        assert "waiting until it ends" not in text
        assert "resuming" not in text


def test_tables_and_figures_share_a_job(run: Run, slurm: Slurm) -> None:
    [group] = [job for job in slurm.jobs(run.folder) if "claims" in job["Comment"]]
    assert "figure" in group["Comment"]
    assert (group["NumCPUs"], group["TimeLimit"]) == ("1", "00:20:00")  # of both, in turn


def test_logs_of_what_succeeded_are_deleted(run: Run) -> None:
    assert (run.folder / FIGURE).exists()
    assert not list(run.folder.glob("results/slurm_logs/**/*.log"))
