"""Which configuration the workflow runs: the one that is named, else the default experiment's."""

import shlex
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import Snakemake

OWN = {
    "experiment": "own",
    "corpora": ["news"],
    "unlearn": {"objectives": ["npo_gdr"], "adapters": ["lora"], "settings": {"lr": 1e-6}},
    "precisions": ["bf16"],
    "evaluate": {"shots": 2},
}


def write(folder: Path, config: dict[str, Any]) -> str:
    (folder / "own.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    return "own.yaml"


def flags(report: str, script: str) -> dict[str, str]:
    """The flags of the last job of a script in a dry run that prints shell commands."""
    lines = [line for line in report.splitlines() if f"run {script} " in line]
    words = shlex.split(lines[-1])
    return {word: value for word, value in pairwise(words) if word.startswith("--")}


def test_what_is_named_goes_over_the_documented_defaults(
    tmp_path: Path, snakemake: Snakemake
) -> None:
    named = ("--configfile", write(tmp_path, OWN), "--config", "seeds=[4]")
    planned = snakemake(tmp_path, "--dry-run", "--printshellcmds", *named)
    assert planned.returncode == 0, planned.stderr[-3000:]
    unlearn, evaluate = (flags(planned.stdout, f"{name}.py") for name in ("unlearn", "evaluate"))
    assert {key: unlearn[f"--{key}"] for key in ("lr", "alpha", "stop-nll", "seed")} == {
        "lr": "1e-06",
        "alpha": "1.0",
        "stop-nll": "0.0",
        "seed": "4",
    }
    assert (evaluate["--shots"], evaluate["--verbmem-tokens"]) == ("2", "128")


def test_single_values_go_over_the_default_experiment(tmp_path: Path, snakemake: Snakemake) -> None:
    planned = snakemake(tmp_path, "--dry-run", "--printshellcmds", "--config", "seeds=[4]")
    assert planned.returncode == 0, planned.stderr[-3000:]
    unlearn = flags(planned.stdout, "unlearn.py")
    assert (unlearn["--stop-nll"], unlearn["--seed"]) == ("4.0", "4")
    assert "results/mini/unlearned" in planned.stdout


def test_a_cluster_s_job_reads_what_its_driver_read(tmp_path: Path, snakemake: Snakemake) -> None:
    """It is started with the driver's --configfile and --config."""
    rules = ("unlearn", "finetune", "corpus")
    wanted = "unlearn:corpus=news,objective=npo_gdr,adapter=lora,seed=4"
    planned = snakemake(
        tmp_path,
        *("--dry-run", "--printshellcmds", "--force", "--nolock", "--mode", "remote"),
        *("--allowed-rules", *rules, "--target-jobs", wanted),
        *("--configfile", write(tmp_path, OWN), "--config", "seeds=[4]"),
    )
    assert planned.returncode == 0, planned.stderr[-3000:]
    unlearn = flags(planned.stdout, "unlearn.py")
    assert (unlearn["--lr"], unlearn["--stop-nll"], unlearn["--seed"]) == ("1e-06", "0.0", "4")


@pytest.mark.parametrize("shots", [{}, {"shots": 3}])
def test_more_examples_than_the_generated_corpus_has_are_refused(
    shots: dict[str, int], tmp_path: Path, snakemake: Snakemake
) -> None:
    planned = snakemake(
        tmp_path, "--dry-run", "--configfile", write(tmp_path, OWN | {"evaluate": shots})
    )
    assert planned.returncode != 0
    asked = shots.get("shots", 10)
    line = planned.stderr.strip().splitlines()[-1]
    assert line.startswith(
        f"error: config key 'evaluate.shots': {asked} is more than corpus.mini.shots, 2; lower it"
    )
