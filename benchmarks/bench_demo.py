"""The whole default experiment: its critical path, and how near the run came to its bound.

The seconds of a job are those of Snakemake's benchmark files, which job waits for which is told by
`snakemake --detailed-summary`, and the run's own time is that from its first job's start to its
last job's end, by the times of the benchmark files. Nothing is run again: `make demo` comes first.
"""

import subprocess
import sys
from pathlib import Path

from benchmarks.demo_figure import draw
from benchmarks.demo_jobs import by_rule, critical_path, lower_bound, read_jobs, span
from benchmarks.harness import ROOT, Comparison, keep
from qunlearn.run.cli import run_script
from qunlearn.run.errors import InputError

RESULTS = Path("results/mini")
FIGURE = ROOT / "docs/demo_critical_path.png"


def main(cores: int = 2) -> None:
    """Look at the finished default experiment in results/mini.

    Args:
        cores: how many the run had; each job of the default experiment takes one.
    """
    jobs = read_jobs(_summary(), RESULTS, ROOT)
    chain = critical_path(jobs)
    bound, took = lower_bound(jobs, cores), span(jobs)
    on_chain = sum(job.seconds for job in chain)
    total = sum(job.seconds for job in jobs)
    rules = by_rule(jobs, chain)
    draw(rules, FIGURE)
    binds = "the critical path" if on_chain > total / cores else "the sum of all jobs"
    keep(
        "demo",
        [
            Comparison(
                f"wall time over the lower bound on {cores} cores",
                "s",
                [round(took.seconds, 2)],
                [round(bound, 2)],
                "share",
            )
        ],
        bound_by=(
            f"The lower bound is the larger of the critical path ({on_chain:.0f} s) and of all "
            f"jobs' seconds over the cores ({total / cores:.0f} s); here {binds} binds. "
            f"While the run went on, one job ran alone for {took.alone:.0f} s, where no other was "
            f"ready or Snakemake had yet to start it, and none for {took.idle:.0f} s."
        ),
        jobs=len(jobs),
        cores=cores,
        seconds_of_all_jobs=round(total, 1),
        seconds_of_the_critical_path=round(on_chain, 1),
        pauses_of_the_run=took.pauses,
        critical_path=[
            {"job": job.name, "rule": job.rule, "seconds": job.seconds} for job in chain
        ],
        rules=rules,
    )


def _summary() -> str:
    """What Snakemake says of the experiment's outputs."""
    if not (ROOT / RESULTS).is_dir():
        raise InputError(f"{RESULTS}: no such folder; run the experiment first: make demo")
    command = [str(Path(sys.executable).with_name("snakemake")), "--detailed-summary"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"snakemake --detailed-summary: {done.stderr.strip().splitlines()[-1]}")
    return done.stdout


if __name__ == "__main__":
    run_script(main)
