"""The benchmarks' arithmetic, and that docs/performance.md is what they kept."""

import json
import os
import sys
from pathlib import Path

from conftest import ROOT

sys.path.insert(0, str(ROOT))

from benchmarks import harness
from benchmarks.demo_jobs import Job, critical_path, lower_bound, read_jobs, span
from benchmarks.harness import Comparison, interleaved
from benchmarks.write_performance import DOCUMENT, SECTIONS, document


def test_ratios_and_turns() -> None:
    ours, theirs = [1.0, 2.0, 5.0], [2.0, 6.0, 5.0]
    faster = Comparison("x", "s", ours, theirs, "speed-up")
    smaller = Comparison("x", "MiB", ours, theirs, "share")
    assert (faster.ratios, faster.ratio) == ([2.0, 3.0, 1.0], 2.0)
    assert (smaller.ratios, smaller.ratio) == ([0.5, 2.0 / 6.0, 1.0], 0.5)
    calls: list[str] = []
    times = iter(range(100))
    ways = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    seconds = interleaved(ways, rounds=2, clock=lambda: float(next(times)))
    assert calls == list("ababab")  # the warm-up does not count
    assert seconds == {"a": [1.0, 1.0], "b": [1.0, 1.0]}


def job(name: str, seconds: float, end: float, *after: str) -> Job:
    return Job(name, name.rstrip("0123456789"), frozenset(after), seconds, end)


def test_no_run_is_shorter_than_its_longest_chain_or_its_cores_share() -> None:
    # Two cores: a (0-4), then b1 (4-7) beside b2 (4-5), then c (67.5-69), after a pause of 60.5 s.
    jobs = [job("c", 1.5, 69, "b1", "b2"), job("b1", 3, 7, "a"), job("b2", 1, 5, "a")]
    jobs.append(job("a", 4, 4))
    assert [one.name for one in critical_path(jobs)] == ["a", "b1", "c"]
    assert lower_bound(jobs, cores=2) == 8.5  # the chain; the share is 4.75
    assert lower_bound(jobs, cores=1) == 9.5  # the share
    found = span(jobs)
    assert (found.seconds, found.pauses, found.idle) == (8.5, 1, 0)
    assert found.alone == 7.5  # a, the end of b1, and c


SUMMARY = """\
output_file\tdate\trule\tlog-file(s)\tinput-file(s)\tshellcmd\tstatus\tplan
r/data/news\tnow\tcorpus\tr/logs/data/news.log\tgiven/news\trun x\tok\tno update
r/t/a.csv\tnow\ttable\tr/logs/t.log\tr/data/news,r/other\trun x\tok\tno update
r/t/a.md\tnow\ttable\tr/logs/t.log\tr/data/news,r/other\trun x\tok\tno update
"""


def test_a_job_is_all_rows_of_a_log_and_waits_for_who_makes_its_inputs(tmp_path: Path) -> None:
    for name in ("data/news", "t"):
        file = tmp_path / f"r/benchmarks/{name}.tsv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("s\th:m:s\tmax_rss\n2.50\t0:00:02\t1.0\n")
        os.utime(file, (100, 100))
    assert read_jobs(SUMMARY, Path("r"), tmp_path) == [
        Job("data/news", "corpus", frozenset(), 2.5, 100.0),
        Job("t", "table", frozenset({"data/news"}), 2.5, 100.0),
    ]


def test_the_document_is_what_the_benchmarks_kept() -> None:
    names = {path.stem for path in harness.KEPT.glob("*.json")}
    assert names <= {section.name for section in SECTIONS}
    assert DOCUMENT.read_text(encoding="utf-8") == document(harness.KEPT), (
        "write it anew: python -m benchmarks.write_performance"
    )
    for path in harness.KEPT.glob("*.json"):
        for one in json.loads(path.read_text(encoding="utf-8"))["comparisons"]:
            ratio = one.pop("ratio")
            assert ratio == round(Comparison(**one).ratio, 3), path
