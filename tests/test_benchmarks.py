"""The benchmarks' arithmetic, and that docs/performance.md is what they kept."""

import json
import sys
from pathlib import Path

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT))

from benchmarks import harness, step_7b
from benchmarks.demo_jobs import Job, critical_path, lower_bound, span
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


def test_flops_of_llama_2_7b() -> None:
    # Linear layers: 32 * (4 * 4096^2 + 3 * 4096 * 11008) + 32000 * 4096 = 6,607,077,376.
    # A token's forward pass: 2 * that + 2 * 32 * 4096 * 2048 = 13,751,025,664.
    assert step_7b.update_flops(step_7b.SHAPES["7b"], "full", 1, 0) == 3 * 13_751_025_664
    # Rank 16 on all linear layers: 39,976,960 parameters.
    lora = step_7b.update_flops(step_7b.SHAPES["7b"], "lora", 4096, 39_976_960)
    assert lora == (2 * 13_751_025_664 + 6 * 39_976_960) * 4096


def test_a_step_of_7b_in_miniature(tmp_path: Path) -> None:
    step_7b.main("tiny", "lora", 2, True, 2, tmp_path)
    found = json.loads((tmp_path / "step_tiny_lora.json").read_text(encoding="utf-8"))
    assert found["tokens"] == 2 * 2 * 64
    assert found["tokens_a_second"] == pytest.approx(256 / found["seconds"])
    assert 0 < found["loss"] < 14  # NPO at beta 0.1 starts at 20 ln 2 = 13.86
