"""`snakemake --logger progress`: a line a job, and words for the time left."""

import subprocess
import sys
from pathlib import Path

from snakemake_logger_plugin_progress import TimeLeft

SNAKEFILE = """
rule all:
    input: "fine", "slow"

rule fine:
    output: "fine"
    message: "Making what is fine"
    shell: "touch {output}"

rule slow:
    input: "fine"
    output: "slow"
    log: "slow.log"
    shell: "%s"
"""


def run(folder: Path, command: str, *flags: str) -> subprocess.CompletedProcess[str]:
    (folder / "Snakefile").write_text(SNAKEFILE % command)
    words = [sys.executable, "-m", "snakemake", "--cores", "1", "--logger", "progress", *flags]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def test_each_job_is_a_line_and_a_second_run_has_none(tmp_path: Path) -> None:
    planned = run(tmp_path, "touch {output}", "--dry-run")  # which is left to Snakemake
    assert "slow" in planned.stdout + planned.stderr
    lines = run(tmp_path, "touch {output}").stderr.splitlines()
    assert "Making what is fine (1 of 3 jobs" in lines[0]
    assert "slow (2 of 3 jobs)" in lines[1]
    assert "all (3 of 3 jobs)" in lines[2]
    assert "Nothing to be done" in run(tmp_path, "touch {output}").stderr


def test_an_error_is_snakemakes_own(tmp_path: Path) -> None:
    failed = run(tmp_path, "echo broken > {log}; false", "--show-failed-logs")
    assert failed.returncode == 1
    assert "Error in rule slow" in failed.stderr
    assert "broken" in failed.stderr


def test_the_time_left_is_that_of_the_rules_jobs_side_by_side() -> None:
    left = TimeLeft({"train": 2, "evaluate": 10, "plot": 1}, start=0)
    assert left.estimate(1) == ""
    left.ended("train", 300)
    assert left.estimate(300) == ""  # most jobs are of rules that are unknown
    left.ended("evaluate", 60)
    # 300 + 9 x 60 + the median rule's 180, two at a time as till now
    assert left.estimate(180) == ", about 8 min left"
    for _ in range(9):
        left.ended("evaluate", 60)
    left.ended("train", 300)
    left.ended("plot", 1)
    assert left.estimate(600) == ""
