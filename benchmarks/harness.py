"""How a benchmark measures and what it leaves: ratios of two ways that ran in turn, in one run.

A benchmark is a script `benchmarks/bench_<name>.py` that calls `keep`; `make bench` runs them all
and writes docs/performance.md from what they kept. Seconds of two runs on a shared machine cannot
be compared; the ratio of two ways that took turns can.
"""

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from qunlearn.run.files import write_json
from qunlearn.run.manifest import installed

ROOT = Path(__file__).resolve().parents[1]
KEPT = ROOT / "docs/results/performance"


@dataclass(frozen=True)
class Comparison:
    """One number of ours beside the obvious alternative's, measured in the same rounds.

    Attributes:
        what: what is compared, e.g. `NPO+KLR, full: seconds an update`.
        unit: of both lists, e.g. `s` or `MiB`.
        ours, baseline: one value a round.
        sense: `speed-up`: the ratio is baseline / ours; `share`: it is ours / baseline.
        goal: the ratio that is aimed at: at least (speed-up) or at most (share); None: no goal.
    """

    what: str
    unit: str
    ours: list[float]
    baseline: list[float]
    sense: Literal["speed-up", "share"]
    goal: float | None = None

    @property
    def ratios(self) -> list[float]:
        """The ratio of each round."""
        pairs = zip(self.ours, self.baseline, strict=True)
        if self.sense == "speed-up":
            return [baseline / ours for ours, baseline in pairs]
        return [ours / baseline for ours, baseline in pairs]

    @property
    def ratio(self) -> float:
        """The median of the rounds' ratios."""
        return statistics.median(self.ratios)


def interleaved(
    ways: Mapping[str, Callable[[], object]],
    rounds: int = 5,
    clock: Callable[[], float] = time.perf_counter,
    warm_up: bool = True,
) -> dict[str, list[float]]:
    """Seconds of each way in each round.

    Args:
        clock: what is read before and after: wall time, or `childrens_cpu`.
        warm_up: begin with a round that does not count.
    """
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(-1 if warm_up else 0, rounds):
        for name, way in ways.items():
            start = clock()
            way()
            if number >= 0:
                seconds[name].append(clock() - start)
    return seconds


def childrens_cpu() -> float:
    """CPU seconds of the processes that ended below this one: neighbours do not stretch them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def in_fresh_process(script: Path, *arguments: str) -> Any:
    """The JSON value that `script` prints as its last line, run by a new interpreter.

    For what only a process of its own can tell: peak memory, and what starting costs.
    """
    done = subprocess.run(
        [sys.executable, str(script), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])},
    )
    return json.loads(done.stdout.splitlines()[-1])


def keep(name: str, comparisons: list[Comparison], bound_by: str, **facts: Any) -> None:
    """Write docs/results/performance/<name>.json, and print each ratio.

    Args:
        bound_by: what bounds the numbers, as the profile says: sentences for docs/performance.md.
        facts: what else the document tells, e.g. the model and the lengths.
    """
    for one in comparisons:
        goal = "" if one.goal is None else f" (goal {one.goal:g})"
        print(f"{one.what}: {one.sense} {one.ratio:.2f}{goal}")
    write_json(
        KEPT / f"{name}.json",
        {
            "comparisons": [{**asdict(one), "ratio": round(one.ratio, 3)} for one in comparisons],
            "bound_by": bound_by,
            "facts": facts,
            "machine": machine(),
        },
    )


def machine() -> dict[str, Any]:
    """Processor, cores, threads, GPU if one is used, and the packages that decide speed."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "gpu": _gpu(),
        "python": platform.python_version(),
        "packages": installed(),
    }


def _gpu() -> str | None:
    torch = sys.modules.get("torch")
    return str(torch.cuda.get_device_name()) if torch and torch.cuda.is_available() else None


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
