"""Snakemake's progress for someone who watches: what runs, how far it is, how long the rest takes.

    snakemake --cores 2 --logger progress

On a terminal a bar stays at the bottom, with a line for each job that runs; elsewhere each job that
ends is a line. Warnings and errors are Snakemake's own, and its log file has everything. Snakemake
finds the module by its name. The plugin on PyPI (`rich`) says neither what runs nor how long the
rest takes, and is silent where there is no terminal.
"""

from collections import Counter, defaultdict
from datetime import timedelta
from logging import WARNING, LogRecord
from statistics import mean, median
from time import monotonic
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed
from rich.text import Text
from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent


class TimeLeft:
    """How long the jobs that have not ended may take, from the seconds of those that have."""

    def __init__(self, jobs: dict[str, int], start: float) -> None:
        """Args: jobs: of each rule, how many are to run; start: seconds on the caller's clock."""
        self.remaining, self.start = Counter(jobs), start
        self.seconds = defaultdict[str, list[float]](list)

    def ended(self, rule: str, seconds: float) -> None:
        """Count a job."""
        self.remaining[rule] -= 1
        self.seconds[rule].append(seconds)

    def estimate(self, now: float) -> str:
        """Words for the time left; empty as long as half of the rules' times are unknown.

        A job will take what its rule's took on average, or the median rule's; as many will run
        side by side as did until now.
        """
        means = {rule: mean(seconds) for rule, seconds in self.seconds.items()}
        left = {rule: jobs for rule, jobs in self.remaining.items() if jobs > 0}
        if not left or 2 * sum(rule in means for rule in left) < len(left):
            return ""
        work = sum(jobs * means.get(rule, median(means.values())) for rule, jobs in left.items())
        done = sum(sum(seconds) for seconds in self.seconds.values())
        minutes = work * (now - self.start) / max(done, 1e-9) / 60
        return f", about {minutes:.0f} min left" if minutes >= 1 else ", less than 1 min left"


class Running(NamedTuple):
    """A job that runs: its rule and message, since when (seconds), its line on the screen."""

    rule: str
    message: str
    since: float
    task: TaskID


class LogHandler(LogHandlerBase):
    """What Snakemake calls with each of its records."""

    writes_to_stream = True
    writes_to_file = False
    has_filter = False
    has_formatter = False
    needs_rulegraph = False

    def __post_init__(self) -> None:
        self.console = Console(stderr=not self.common_settings.stdout, highlight=False)
        self.bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(32),
            Elapsed(),
            TextColumn("{task.fields[left]}"),
            console=self.console,
            transient=True,
        )
        self.running = dict[int, Running]()

    def emit(self, record: LogRecord) -> None:
        """Show one of Snakemake's records, or pass it over."""
        event = getattr(record, "event", None)
        if self.common_settings.dryrun or record.levelno >= WARNING:
            self._say(self.format(record))
            if event == LogEvent.JOB_ERROR:  # it may be tried again
                self._take_off(record.jobid)  # type: ignore[attr-defined]
        elif event == LogEvent.RUN_INFO:
            self._begin(record.stats)  # type: ignore[attr-defined]
        elif event == LogEvent.JOB_INFO:
            job, rule = record.jobid, record.rule_name  # type: ignore[attr-defined]
            self._begin_job(job, rule, record.rule_msg or rule)  # type: ignore[attr-defined]
        elif event == LogEvent.JOB_FINISHED:
            self._end_job(record.job_id)  # type: ignore[attr-defined]
        elif record.getMessage().startswith(("Nothing to be done", "Complete log")):
            self._say(record.getMessage())

    def _begin(self, stats: dict[str, int]) -> None:
        """Args: stats: how many jobs each rule has, and `total`."""
        jobs = {rule: count for rule, count in stats.items() if rule != "total"}
        self.left = TimeLeft(jobs, monotonic())
        self.bars.add_task(
            "All jobs", total=sum(jobs.values()), left=f"0 of {sum(jobs.values())} jobs"
        )
        if self.console.is_terminal:
            self.bars.start()

    def _begin_job(self, job: int, rule: str, message: str) -> None:
        task = self.bars.add_task(f"  {message}", total=None, left="")
        self.running[job] = Running(rule, message, monotonic(), task)

    def _end_job(self, job: int) -> None:
        now, ended = monotonic(), self._take_off(job)
        self.left.ended(ended.rule, now - ended.since)
        whole = self.bars.tasks[0]
        left = f"{whole.completed + 1:.0f} of {whole.total:.0f} jobs{self.left.estimate(now)}"
        self.bars.update(whole.id, advance=1, left=left)
        if not self.console.is_terminal:
            passed = timedelta(seconds=round(now - self.left.start))
            self._say(f"{passed} {ended.message} ({left})")

    def _take_off(self, job: int) -> Running:
        ended = self.running.pop(job)
        self.bars.remove_task(ended.task)
        return ended

    def _say(self, line: str) -> None:
        if line.strip():
            self.console.print(Text(line), soft_wrap=True)

    def close(self) -> None:
        """Take the bars off the screen."""
        self.bars.stop()
        super().close()
