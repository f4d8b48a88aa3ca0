"""The benchmarks' arithmetic, and that docs/performance.md is what they kept."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from small_text import unpadded

from qunlearn.run.errors import InputError

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks import harness  # noqa: E402
from benchmarks.demo_jobs import (  # noqa: E402
    Job,
    by_rule,
    critical_path,
    lower_bound,
    read_jobs,
    span,
)
from benchmarks.harness import Comparison, interleaved  # noqa: E402
from benchmarks.start_probe import LATER, start_of  # noqa: E402
from benchmarks.write_performance import DOCUMENT, SECTIONS, document  # noqa: E402


def test_a_speed_up_is_the_others_time_over_ours_and_a_share_is_ours_over_the_others() -> None:
    ours, theirs = [1.0, 2.0, 5.0], [2.0, 6.0, 5.0]
    faster = Comparison("x", "s", ours, theirs, "speed-up")
    smaller = Comparison("x", "MiB", ours, theirs, "share")
    assert (faster.ratios, faster.ratio) == ([2.0, 3.0, 1.0], 2.0)
    assert (smaller.ratios, smaller.ratio) == ([0.5, 2.0 / 6.0, 1.0], 0.5)


def test_ways_take_turns_and_the_warm_up_does_not_count() -> None:
    calls: list[str] = []
    times = iter(range(100))
    ways = {name: (lambda name=name: calls.append(name)) for name in "ab"}
    seconds = interleaved(ways, rounds=2, clock=lambda: float(next(times)))
    assert calls == list("ababab")
    assert seconds == {"a": [1.0, 1.0], "b": [1.0, 1.0]}
    calls.clear()
    interleaved(ways, rounds=2, warm_up=False)
    assert calls == list("abab")


def job(name: str, seconds: float, end: float, *after: str) -> Job:
    return Job(name, name.rstrip("0123456789"), frozenset(after), seconds, end)


# Two cores: a (0-4), then b1 (4-7) beside b2 (4-5), then c (67.5-69), after a pause of 60.5 s.
JOBS = [
    job("c", 1.5, 69, "b1", "b2"),
    job("b1", 3, 7, "a"),
    job("b2", 1, 5, "a"),
    job("a", 4, 4),
]


def test_the_critical_path_is_the_longest_chain() -> None:
    assert [one.name for one in critical_path(JOBS)] == ["a", "b1", "c"]
    assert critical_path([]) == []


def test_the_lower_bound_is_the_longer_of_the_chain_and_of_the_cores_share() -> None:
    assert lower_bound(JOBS, cores=2) == 8.5  # the chain; the share is 4.75
    assert lower_bound(JOBS, cores=1) == 9.5  # the share


def test_the_time_between_two_calls_is_no_part_of_the_run() -> None:
    found = span(JOBS)
    assert (found.seconds, found.pauses) == (8.5, 1)
    assert found.alone == 7.5  # a, the end of b1, and c
    assert found.idle == 0
    short = span([job("a", 1, 1), job("b", 1, 4)])
    assert (short.seconds, short.alone, short.idle, short.pauses) == (4, 2, 2, 0)


def test_rules_are_summed_the_longest_first() -> None:
    rows = by_rule(JOBS, critical_path(JOBS))
    assert [tuple(row.values()) for row in rows] == [
        ("a", 1, 4, 4),
        ("b", 2, 4, 3),
        ("c", 1, 1.5, 1.5),
    ]


HEAD = "output_file\tdate\trule\tlog-file(s)\tinput-file(s)\tshellcmd\tstatus\tplan"
BENCHMARK = "s\th:m:s\tmax_rss\n2.50\t0:00:02\t1.0\n"


def summary_row(output: str, rule: str, log: str, inputs: str) -> str:
    return f"{output}\tnow\t{rule}\t{log}\t{inputs}\trun x\tok\tno update"


def test_a_job_is_all_rows_of_a_log_and_waits_for_who_makes_its_inputs(tmp_path: Path) -> None:
    summary = "\n".join(
        [
            HEAD,
            summary_row("r/data/news", "corpus", "r/logs/data/news.log", "given/news"),
            summary_row("r/t/a.csv", "table", "r/logs/t.log", "r/data/news,r/other"),
            summary_row("r/t/a.md", "table", "r/logs/t.log", "r/data/news,r/other"),
        ]
    )
    folder = tmp_path / "r/benchmarks"
    (folder / "data").mkdir(parents=True)
    for name in ("data/news", "t"):
        (folder / f"{name}.tsv").write_text(BENCHMARK)
        os.utime(folder / f"{name}.tsv", (100, 100))
    assert read_jobs(summary, Path("r"), tmp_path) == [
        Job("data/news", "corpus", frozenset(), 2.5, 100.0),
        Job("t", "table", frozenset({"data/news"}), 2.5, 100.0),
    ]
    (folder / "t.tsv").unlink()
    with pytest.raises(InputError, match=r"t\.tsv: no such file, so t has not run"):
        read_jobs(summary, Path("r"), tmp_path)
    unmade = f"{HEAD}\n{summary_row('r/x.json', 'x', '-', '-')}"
    with pytest.raises(InputError, match=r"r/x\.json: not made yet"):
        read_jobs(unmade, Path("r"), tmp_path)


def test_the_probe_finds_what_a_script_imports_and_hides(tmp_path: Path) -> None:
    script = tmp_path / "a_script.py"
    script.write_text(
        "import csv\n\ndef main(x: int) -> None:\n    import math\n    hide(*all)\n"
        "    if x:\n        from json import loads\n"
    )
    start = start_of(script)
    assert {"math", "loads"} <= set(start.imports.co_names)
    assert "csv" not in start.imports.co_names
    assert "scipy" in start.hidden
    script.write_text('def main() -> None:\n    hide("scipy")\n')
    assert start_of(script).hidden == ("scipy",)


def test_the_probe_knows_scripts_that_there_are() -> None:
    scripts = {path.name for path in (ROOT / "workflow/scripts").glob("*.py")}
    assert set(LATER) <= scripts


def test_the_probe_starts_a_script_without_running_it() -> None:
    command = [
        sys.executable,
        str(ROOT / "benchmarks/start_probe.py"),
        str(ROOT / "workflow/scripts/write_page.py"),
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def kept(folder: Path, name: str, *comparisons: Comparison, monkeypatch: Any, **facts: Any) -> None:
    monkeypatch.setattr(harness, "KEPT", folder)
    harness.keep(name, list(comparisons), "the clock", **facts)


def test_the_document_shows_ratios_goals_and_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept(
        tmp_path,
        "training",
        Comparison("full", "s", [1.0, 2.0, 1.0], [2.0, 2.0, 1.6], "speed-up", 1.5),
        Comparison("memory", "MiB", [50.0], [100.0], "share", 0.55),
        Comparison("other", "s", [1.0], [1.0], "share"),
        monkeypatch=monkeypatch,
        rows=[{"a_b": 1, "c": True}],
    )
    kept(
        tmp_path,
        "plan",
        Comparison("lora", "MiB", [96.0], [100.0], "share"),
        Comparison("full", "MiB", [120.0], [100.0], "share"),
        monkeypatch=monkeypatch,
    )
    text = unpadded(document(tmp_path))
    assert "| full | s | 1 | 2 | 1.6 (1–2) | speed-up | ≥ 1.5 | yes |" in text
    assert "| memory | MiB | 50 | 100 | 0.5 | share | ≤ 0.55 | yes |" in text
    assert "| other | s | 1 | 1 | 1 | share | – | – |" in text
    assert "| lora | MiB | 96 | 100 | 0.96 | share | 1 ± 0.05 | yes |" in text
    assert "| full | MiB | 120 | 100 | 1.2 | share | 1 ± 0.05 | no |" in text
    assert re.search(r"Rows:\n\n\| a b \| c \|\n.+\n\| 1 \| yes \|", text)
    assert text.count("What bounds it: the clock") == 2
    assert "Not measured: no GPU. `python -m benchmarks.step_7b`" in text
    assert text.count("Not measured") == len(SECTIONS) - 2


def test_the_document_is_what_the_benchmarks_kept() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document(harness.KEPT), (
        "write it anew: python -m benchmarks.write_performance"
    )


def test_what_is_kept_has_a_section() -> None:
    names = {path.stem for path in harness.KEPT.glob("*.json")}
    assert names <= {section.name for section in SECTIONS}


def test_the_kept_ratios_are_those_of_the_kept_rounds() -> None:
    for path in harness.KEPT.glob("*.json"):
        for one in json.loads(path.read_text(encoding="utf-8"))["comparisons"]:
            ratio = one.pop("ratio")
            assert ratio == round(Comparison(**one).ratio, 3), path
