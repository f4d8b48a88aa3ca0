"""What starting costs: `--help` and the imports of each script, and Snakemake's dry run.

The obvious way to start a job is to let transformers import whatever is installed; ours hides what
the job does not use (`run.cli.hide_unused`). Seconds are CPU seconds: importing is the work of
one thread, and waiting for a core on a shared machine is no part of them.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import ROOT, Comparison, childrens_cpu, interleaved, keep
from benchmarks.start_probe import start_of

SCRIPTS = ROOT / "workflow/scripts"
PROBE = ROOT / "benchmarks/start_probe.py"
MOST_JOBS = ("evaluate.py", "quantize.py", "unlearn.py")  # 102 of the 131 jobs of the default
SNAKEMAKE = Path(sys.executable).with_name("snakemake")
BOUND_BY = (
    "`python -X importtime`, of a job of evaluate.py: torch is a third, transformers' own scan of "
    "its models a fifth; torch's compiler and its distributed tensors, with sympy, which "
    "transformers imports unasked, are three tenths, and nltk under rouge_score a twentieth. "
    "`hide` keeps scikit-learn, scipy, datasets (with pandas and pyarrow), peft, bitsandbytes and "
    "gptqmodel out. `--help` is tyro, for 0.05 s. A dry run is Snakemake's own imports, pandas "
    "among them, and for a fifth the fingerprints of the scripts' code."
)


def main() -> None:
    """Measure, and keep the numbers."""
    scripts = sorted(SCRIPTS.glob("*.py"))
    heavy = [script for script in scripts if start_of(script).hides]
    nothing = _command(sys.executable, "-c", "pass")
    helps = interleaved(
        {"": nothing, **{script.name: _python(script, "--help") for script in scripts}},
        clock=childrens_cpu,
    )
    starts = interleaved(
        {script.name: _python(PROBE, script) for script in scripts if script.name not in MOST_JOBS},
        clock=childrens_cpu,
        warm_up=False,
    )
    shown = {f"all {name}": _python(PROBE, SCRIPTS / name, "--show-all") for name in MOST_JOBS}
    hidden = {name: _python(PROBE, SCRIPTS / name) for name in MOST_JOBS}
    starts |= interleaved(hidden | shown, clock=childrens_cpu, warm_up=False)
    dry = interleaved(
        {
            "dry": _command(SNAKEMAKE, "-n", "--quiet"),
            "bare": _command(sys.executable, "-c", "import snakemake.cli"),
        },
        clock=childrens_cpu,
        warm_up=False,
    )
    all_helps = [
        statistics.fmean(helps[script.name][number] for script in scripts)
        for number in range(len(helps[""]))
    ]
    keep(
        "start",
        [
            *(
                Comparison(
                    f"{name}, start of a job: unused packages hidden, or all imported",
                    "s",
                    _rounded(starts[name]),
                    _rounded(starts[f"all {name}"]),
                    "speed-up",
                )
                for name in MOST_JOBS
            ),
            Comparison(
                "--help, mean of all scripts, over `python -c pass`",
                "s",
                _rounded(all_helps),
                _rounded(helps[""]),
                "share",
            ),
            Comparison(
                "`snakemake -n`, over the import of Snakemake alone",
                "s",
                _rounded(dry["dry"]),
                _rounded(dry["bare"]),
                "share",
            ),
        ],
        bound_by=BOUND_BY,
        clock="CPU seconds of the process",
        dry_run_goal_seconds=2,
        scripts=[
            {
                "script": script.name,
                "--help, s": _median(helps[script.name]),
                "start of a job, s": _median(starts[script.name]),
                "imports torch": script in heavy,
            }
            for script in scripts
        ],
    )


def _python(*arguments: str | Path) -> Callable[[], None]:
    return _command(sys.executable, *arguments)


def _command(*arguments: str | Path) -> Callable[[], None]:
    """A call that runs a program, which must end well, and drops what it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1"}

    def run() -> None:
        command = [str(argument) for argument in arguments]
        subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)

    return run


def _median(seconds: list[float]) -> float:
    return round(statistics.median(seconds), 2)


def _rounded(seconds: list[float]) -> list[float]:
    return [round(value, 4) for value in seconds]


if __name__ == "__main__":
    main()
