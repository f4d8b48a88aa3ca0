"""What commands write into README and docs is what was kept; the benchmarks' arithmetic."""

import json
import re
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT
from small_records import evaluate
from small_summaries import single

sys.path.insert(0, str(ROOT))

from benchmarks import harness, step_7b
from benchmarks.demo_jobs import Job, critical_path, lower_bound, span
from benchmarks.fill_document import answer_table, kept_table, replace_marked
from benchmarks.format_costs import costs_markdown
from benchmarks.harness import Comparison, interleaved
from benchmarks.run_spread import Run, measure, spread_notes
from benchmarks.write_performance import DOCUMENT, SECTIONS, document
from qunlearn.analysis.frame import FORECAST_TABLE
from qunlearn.analysis.summary import summaries, write_metrics
from qunlearn.experiment.names import Cell
from qunlearn.report.footnotes import processors
from qunlearn.run.csvfile import write_rows
from qunlearn.run.errors import InputError
from qunlearn.run.files import write_json
from qunlearn.run.manifest import MANIFEST


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


# --- README and docs -------------------------------------------------------------------------

MARKED = "before\n<!-- table: by a command -->\nold\n<!-- end of table -->\nafter\n"
SHOWN = ("bf16", "nf4", "fp4", "gptq4", "rtn3g64")  # as in the Makefile's target readme
KEPT = ROOT / "docs/results"
RESULTS = ROOT / "results/mini"
CHEAP = "news/npo_klr/full_bf16/seed0"
LORA = "news/npo_gdr/lora/seed{}/nf4"
SEEDS: dict[str, float | None] = {LORA.format(k): x for k, x in enumerate((10.0, 14.0, 30.0))}
SEEDS |= {f"news/npo_gdr/full/seed{k}/nf4": x for k, x in enumerate((5.0, None, 6.0))}
SEEDS |= {"news/target/nf4": 90.0}


def test_only_the_marked_part_is_replaced_and_can_be_again(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(MARKED, encoding="utf-8")
    for _ in range(2):
        replace_marked(file, "table", r"a \1 b" + "\n")
        assert file.read_text(encoding="utf-8") == MARKED.replace("old\n", "\na \\1 b\n\n")
    with pytest.raises(InputError, match="end of norms"):
        replace_marked(file, "norms", "text")


def test_the_tables_of_the_default_run_are_of_the_numbers_kept_beside_them() -> None:
    """After a change of the default experiment or of a table: make readme."""
    table = kept_table(KEPT, SHOWN)
    page = (ROOT / "docs/default-run.md").read_text(encoding="utf-8")
    assert f"\n{table}\n<!-- end of table -->" in page
    short = answer_table(summaries(KEPT / "summary.csv"), SHOWN)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"\n{short}\n<!-- end of answer -->" in readme
    assert re.search(r"^\* Processor: trained and evaluated on .+ \(.+\);", table, re.M)
    assert "* Learning rates: FT (fp32 masters) 3.5e-05; FT (bf16 weights) 5e-05;" in table
    assert re.search(r"^\* Another seed moves a number by .+: VerMem \d", table, re.M)


@pytest.mark.skipif(
    not (RESULTS / "tables/summary.csv").exists(), reason="the default experiment was not run here"
)
def test_the_numbers_kept_are_those_of_the_default_experiment() -> None:
    """Equal with the same seeds on the same processor. Elsewhere each training takes another path:
    there the cells and their items are the same, and the losses lie about as near as two seeds or
    two processors did. The other metrics jump with single answers, so no bound is known."""
    kept, run = (summaries(path / "summary.csv") for path in (KEPT, RESULTS / "tables"))
    assert [key for key in run if key in kept] == list(kept)
    spreads = pd.read_csv(KEPT / "spread.csv")
    if Run.read(RESULTS).name == spreads["first"].iloc[0]:
        assert {key: run[key] for key in kept} == kept
        return
    bounds = 2 * spreads.groupby("metric")["largest"].sum()
    for key, own in kept.items():
        assert own.n is None or run[key].n in (own.n, None), key
        if key.metric in ("nll_forget", "nll_retain"):
            assert run[key].value == pytest.approx(own.value, abs=bounds[key.metric]), key


def test_the_documents_have_their_pictures() -> None:
    for own in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"!\[[^]]*\]\(([^)]+)\)", own.read_text(encoding="utf-8")):
            assert (own.parent / target).stat().st_size > 10_000, target


def manifest(folder: Path, step: str, instructions: str | None, device: str = "AMD EPYC") -> None:
    content = {"step": step, "device": device, "instructions": instructions}
    write_json(folder / MANIFEST, content)


def run(results: Path, values: dict[str, float | None], instructions: str = "AVX512") -> Path:
    """A run with VerMem and forget NLL of these cells; the NLL is a hundredth of it."""
    scores = {}
    for name, value in values.items():
        cell = Cell.parse(name)
        manifest(results / "eval" / name, "evaluate", instructions)
        if cell.seed is not None:
            manifest(results / "unlearned/news" / cell.model, "unlearn", instructions)
        for metric, scale in (("verbmem", 1.0), ("nll_forget", 0.01)):
            scores[cell, metric] = single("diverged" if value is None else scale * value)
    manifest(results / "models/news/target", "finetune", instructions)
    write_metrics(results / "tables/metrics.csv", "mini", scores)
    return results


def test_each_processor_is_named_and_what_it_did(tmp_path: Path) -> None:
    manifest(tmp_path / "data/news", "corpus", None)
    manifest(tmp_path / "models/news/target", "finetune", "AVX2", "Intel Xeon")
    manifest(tmp_path / "unlearned/news/npo_gdr/lora/seed0", "unlearn", "AVX512")
    gpu = {"step": "evaluate", "device": "NVIDIA H100", "instructions": None, "dtype": "bfloat16"}
    write_json(tmp_path / "eval" / LORA.format(0) / MANIFEST, gpu)
    cells = ["news/target/nf4", LORA.format(0)]
    assert processors(tmp_path, cells) == (
        "trained on Intel Xeon (AVX2) and AMD EPYC (AVX512), evaluated on NVIDIA H100 (bfloat16)"
    )
    assert processors(tmp_path / "models", cells) == ""


def test_runs_are_compared_seed_by_seed_and_cell_by_cell(tmp_path: Path) -> None:
    first = Run.read(run(tmp_path / "a", SEEDS))
    other = run(tmp_path / "b", {"news/target/nf4": 91.0, LORA.format(0): 13.0}, "AVX2")
    assert first.name == "seeds 0, 1, 2, trained and evaluated on AMD EPYC (AVX512)"
    rows = measure(first, [Run.read(other)])
    assert rows["cell"][0] == LORA.format(0)
    assert spread_notes(rows) == [
        "Another seed moves a number by (median and largest): VerMem 10.0 and 20.0, NLL forget "
        "0.10 and 0.20.",
        "Another processor (seed 0, trained and evaluated on AMD EPYC (AVX2)) moves a number by "
        "(median and largest): VerMem 2.0 and 3.0, NLL forget 0.02 and 0.03.",
    ]
    with pytest.raises(InputError, match="both runs were trained and evaluated on AMD EPYC"):
        measure(first, [first])


def test_what_a_format_costs_is_the_mean_of_the_runs_in_which_the_update_arrives(
    tmp_path: Path,
) -> None:
    utilities = {"bf16": [0.5, 0.9], "nf4": [0.4, 0.8], "fp4": [0.5, 0.7], "rtn4": [0.5, 0.9]}
    words = {"nf4": ["arrives", "arrives"], "fp4": ["lost", "arrives"], "rtn4": ["lost", "lost"]}
    for i, folder in enumerate((tmp_path / "a", tmp_path / "b")):
        for model in (CHEAP, "news/target"):
            for name, scores in utilities.items():
                less = 0.1 if (i, model, name) == (1, CHEAP, "fp4") else 0.0
                own = [score - less for score in scores]
                evaluate(folder / "eval", f"{model}/{name}", utility=own)
        numbers = 1e-5, 0.1, 0.2, 0.5, 0.1
        run = [*CHEAP.split("/")[:3], 0]
        rows = [[*run, name, *numbers, word[i]] for name, word in words.items()]
        write_rows(folder / "tables/forecast.csv", FORECAST_TABLE, rows)
    text = costs_markdown([tmp_path / "a", tmp_path / "b"], "news", "npo_klr", "full_bf16")
    lines = text.splitlines()[2:5]
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines] == [
        ["NF4", "4.50", "2 of 2", "10.0 [10.0, 10.0]", "10.0 [10.0, 10.0]"],
        ["FP4", "4.50", "1 of 2", "20.0 [10.0, 30.0]", "10.0 [0.0, 20.0]"],
        ["RTN4", "4.00", "0 of 2", "–", "0.0 [0.0, 0.0]"],
    ]
    assert "n = 2 questions. Learning rates: 2." in text
