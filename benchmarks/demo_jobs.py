"""The jobs of a finished run: how long each took, and which chain of them took longest."""

import csv
import io
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

from qunlearn.run.errors import InputError

PAUSE = 60.0  # seconds without a job from which the run was not under way


@dataclass(frozen=True)
class Job:
    """A job of a run, as its benchmark file tells of it.

    Attributes:
        name: its log's path below logs/, without suffix, e.g. `eval/news/target/bf16`.
        rule: the rule that it belongs to.
        after: the names of the jobs whose outputs it reads.
        seconds: from its start to its end.
        end: Unix time at which its benchmark file was written.
    """

    name: str
    rule: str
    after: frozenset[str]
    seconds: float
    end: float

    @property
    def start(self) -> float:
        """Unix time at which it started."""
        return self.end - self.seconds


@dataclass(frozen=True)
class Span:
    """How long a run took, from its first start to its last end, without the pauses.

    Attributes:
        seconds: of the whole.
        alone: of it, while one job ran.
        idle: of it, while none ran.
        pauses: how often none ran for more than `PAUSE` seconds: between two calls of Snakemake.
    """

    seconds: float
    alone: float
    idle: float
    pauses: int


def read_jobs(summary: str, results: Path, folder: Path) -> list[Job]:
    """The jobs of `snakemake --detailed-summary`, which has a row an output.

    A job is known by its log: every rule has one. Its benchmark file has the log's path but for the
    folder's name and the suffix.

    Args:
        summary: what Snakemake printed.
        results: the experiment's folder, as the paths in `summary` begin.
        folder: where Snakemake ran: what those paths are relative to.

    Raises:
        InputError: a job has no log or no benchmark file, for it has not run.
    """
    rows = list(csv.DictReader(io.StringIO(summary), delimiter="\t"))
    for row in rows:
        if row["log-file(s)"] == "-":
            raise InputError(f"{row['output_file']}: not made yet; finish the experiment first")
    logs = results / "logs"
    names = {row["output_file"]: _name(row["log-file(s)"], logs) for row in rows}
    first = {names[row["output_file"]]: row for row in rows}
    jobs = []
    for name, row in first.items():
        inputs = row["input-file(s)"].split(",")
        after = frozenset(names[path] for path in inputs if path in names)
        file = folder / results / "benchmarks" / f"{name}.tsv"
        jobs.append(_job(name, row["rule"], after, file))
    return jobs


def _name(log: str, logs: Path) -> str:
    return Path(log).relative_to(logs).with_suffix("").as_posix()


def _job(name: str, rule: str, after: frozenset[str], path: Path) -> Job:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file, so {name} has not run; finish the experiment first"
        ) from None
    row = next(csv.DictReader(io.StringIO(text), delimiter="\t"))
    return Job(name, rule, after, seconds=float(row["s"]), end=path.stat().st_mtime)


def critical_path(jobs: Iterable[Job]) -> list[Job]:
    """The chain of jobs, each waiting for the one before, whose seconds have the largest sum."""
    known = {job.name: job for job in jobs}
    order = TopologicalSorter({name: sorted(known[name].after) for name in sorted(known)})
    until: dict[str, float] = {}  # name -> the seconds of the longest chain that ends there
    before: dict[str, str | None] = {}
    for name in order.static_order():
        longest = max(sorted(known[name].after), key=lambda other: until[other], default=None)
        before[name] = longest
        until[name] = known[name].seconds + (until[longest] if longest else 0.0)
    chain: list[Job] = []
    last = max(sorted(until), key=lambda other: until[other], default=None)
    while last is not None:
        chain.append(known[last])
        last = before[last]
    return chain[::-1]


def lower_bound(jobs: Sequence[Job], cores: int) -> float:
    """Seconds that no order of the jobs beats, one core a job: the chain, or the cores' share.

    The bound of Graham, Bounds on multiprocessing timing anomalies, 1969: a schedule is at least as
    long as the critical path, and as all work divided by the number of processors.
    """
    chain = sum(job.seconds for job in critical_path(jobs))
    return max(chain, sum(job.seconds for job in jobs) / cores)


def span(jobs: Sequence[Job]) -> Span:
    """How long the run took, and how much of it one job or none ran."""
    steps = sorted([(job.start, 1) for job in jobs] + [(job.end, -1) for job in jobs])
    spent = {"none": 0.0, "one": 0.0, "more": 0.0}
    pauses = running = 0
    for (time, change), (following, _) in itertools.pairwise(steps):
        running += change
        if running == 0 and following - time > PAUSE:
            pauses += 1
        else:
            spent["none" if running == 0 else "one" if running == 1 else "more"] += following - time
    return Span(sum(spent.values()), spent["one"], spent["none"], pauses)


def by_rule(jobs: Iterable[Job], chain: Iterable[Job]) -> list[Mapping[str, str | int | float]]:
    """A row a rule, the longest first: jobs, their seconds, and those on the critical path."""
    on_path = {job.name for job in chain}
    rules: dict[str, list[Job]] = {}
    for job in jobs:
        rules.setdefault(job.rule, []).append(job)
    rows: list[Mapping[str, str | int | float]] = [
        {
            "rule": rule,
            "jobs": len(own),
            "seconds": round(sum(job.seconds for job in own), 2),
            "on the critical path": round(
                sum(job.seconds for job in own if job.name in on_path), 2
            ),
        }
        for rule, own in rules.items()
    ]
    return sorted(rows, key=lambda row: (-float(row["seconds"]), row["rule"]))
