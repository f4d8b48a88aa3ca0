"""An experiment from end to end on this machine's GPU, its tables beside those of a CPU."""

import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.harness import ROOT
from qunlearn.analysis.compare import compare, summarize
from qunlearn.experiment import configfiles
from qunlearn.quantize.method import method_of

SEEDS = {"tiny": [0], "mini": [0, 1, 2]}
KEPT = {"tiny": ROOT / "tests/golden/tiny", "mini": ROOT / "docs/results"}
FILES = {"tiny": ROOT / "config/tiny.yaml", "mini": ROOT / "config.yaml"}


def measure(experiment: str, output: Path, *more: str) -> dict[str, Any]:
    """Run an experiment, and count how its numbers lie to the kept ones (`analysis.compare`).

    Precisions whose packages are not installed are left out: their cells are `missing`.

    Args:
        experiment: `tiny` or `mini`, the default one.
        output: folder of the run.
        more: arguments of Snakemake; with --dry-run the kept tables are compared with themselves.

    Returns:
        Seconds, precisions, how many numbers have which verdict, and `comparison`: Markdown.
    """
    precisions = [
        name
        for name in configfiles.read([FILES[experiment]])["precisions"]
        if all(find_spec(package) for package in method_of(name).packages)
    ]
    settings = [f"seeds={SEEDS[experiment]}", f"precisions=[{','.join(precisions)}]"]
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--scheduler", "greedy"]  # the other one needs 16 MB of solvers
    command += ["--cores", str(os.cpu_count()), "--directory", str(output)]
    command += ["--configfile", str(FILES[experiment]), "--config", *settings, *more]
    start = time.perf_counter()
    subprocess.run([*command, "--", "tables"], check=True)
    seconds = time.perf_counter() - start
    found = output / "results" / experiment
    compared = compare(KEPT[experiment], found if found.exists() else KEPT[experiment])
    known = {"seconds": seconds, "precisions": precisions, "numbers": len(compared)}
    return (
        known | compared["verdict"].value_counts().to_dict() | {"comparison": summarize(compared)}
    )
