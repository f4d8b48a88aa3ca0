"""The tiny experiment through Slurm with the shipped profile: the same numbers as on a laptop."""

from pathlib import Path

import pytest

from cluster.small_slurm import SHIPPED, Workflow, jobs

pytestmark = pytest.mark.cluster
METRICS = "results/tiny/tables/metrics.csv"
FIGURE = "results/tiny/figures/survival_of_forgetting.png"
CLAIMS = "results/tiny/tables/claims.md"
WANTED = {"train": {"gpu": 1, "mem_mb": 1700}, "unlearn": {"gpu": 2, "runtime": 33}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the experiment was run."""
    per_rule = SHIPPED["set-resources"] | {"unlearn": {"slurm_partition": "gpu"}}
    work = Workflow(
        tmp_path_factory.mktemp("through slurm"),
        {"resources": WANTED, "keep_models": False},
        **{"set-resources": per_rule},
    )
    work.end(work.start(METRICS, FIGURE, CLAIMS))
    return work.folder


def test_the_numbers_are_those_of_a_local_run(folder: Path, tiny_run: Path) -> None:
    assert (folder / METRICS).read_bytes() == (tiny_run / METRICS).read_bytes()


def test_jobs_request_what_the_configuration_says(folder: Path) -> None:
    finetune, *_ = jobs(folder, "rule_finetune")
    assert finetune["TresPerJob"] == "gres:gpu:1"
    assert finetune["MinMemoryNode"] == "1700M"
    assert (finetune["Partition"], finetune["NumTasks"], finetune["Requeue"]) == ("cpu", "1", "1")
    unlearn, *_ = jobs(folder, "rule_unlearn")
    assert unlearn["TresPerJob"] == "gres:gpu:2"
    assert unlearn["TimeLimit"] == "00:33:00"
    assert (unlearn["Partition"], unlearn["NumTasks"]) == ("gpu", "1")
    corpus, *_ = jobs(folder, "rule_corpus")
    assert "TresPerJob" not in corpus
    # Tables and figures share a job.
    [group] = jobs(folder, "write_tables")
    assert "figure" in group["Comment"]
    assert (group["NumCPUs"], group["TimeLimit"]) == ("1", "00:20:00")  # of both, in turn


def test_two_gpus_start_a_script_once(folder: Path) -> None:
    """A plain srun would start a task for each GPU, and so the script twice."""
    for log in folder.glob("results/tiny/logs/unlearned/news/npo_klr/*/seed0.log"):
        text = log.read_text()
        assert text.count("train_runtime") == 1, text
        assert "resuming" not in text
