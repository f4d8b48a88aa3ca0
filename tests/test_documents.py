"""What commands write into README and docs: the main table, how far runs differ, the window."""

import re
import sys
from pathlib import Path

import pandas as pd
import pytest
from conftest import ROOT
from small_summaries import single
from small_text import unpadded

sys.path.insert(0, str(ROOT))

from benchmarks.fill_document import fill_window, kept_table, replace_marked
from benchmarks.learning_rates import read_rate, window_markdown
from benchmarks.run_spread import Run, measure, spread_notes
from qunlearn.analysis.frame import MECHANISM_NUMBERS, MECHANISM_TABLE
from qunlearn.analysis.summary import Key, Summary, summaries, write_metrics, write_summaries
from qunlearn.experiment.names import Cell
from qunlearn.report.answer import answer_table
from qunlearn.report.processors import processors
from qunlearn.run.csvfile import write_rows
from qunlearn.run.errors import InputError
from qunlearn.run.files import write_json
from qunlearn.run.manifest import MANIFEST

MARKED = "before\n<!-- table: by a command -->\nold\n<!-- end of table -->\nafter\n"
SHOWN = ("bf16", "nf4", "fp4", "gptq4", "rtn3g64")  # as in the Makefile's target readme
KEPT = ROOT / "docs/results"
RESULTS = ROOT / "results/mini"
LORA = "news/npo_gdr/lora/seed{}/nf4"
SEEDS: dict[str, float | None] = {LORA.format(k): x for k, x in enumerate((10.0, 14.0, 30.0))}
SEEDS |= {f"news/npo_gdr/full/seed{k}/nf4": x for k, x in enumerate((5.0, None, 6.0))}
SEEDS |= {"news/target/nf4": 90.0}
WINDOW = ("news", "npo_gdr", "full_bf16")


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
    """As they are on the same seeds and processor. Elsewhere every training takes another path:
    there the cells and their items are the same, and the losses lie about as near as two seeds or
    two processors did. The other metrics jump with single answers, so that no bound is known."""
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


def test_the_documents_have_their_tables_and_pictures() -> None:
    page = (ROOT / "docs/mechanism.md").read_text(encoding="utf-8")
    for name in ("reversion", "mechanism", "controls", "norms"):
        part = page.partition(f"<!-- {name}:")[2].partition(f"<!-- end of {name} -->")[0]
        assert part.count("\n| NEWS ") >= 6
    for document in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"!\[[^]]*\]\(([^)]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).stat().st_size > 10_000, target


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
    manifest(tmp_path / "eval" / LORA.format(0), "evaluate", None, "NVIDIA H100")
    cells = ["news/target/nf4", LORA.format(0)]
    assert processors(tmp_path, cells) == (
        "trained on Intel Xeon (AVX2) and AMD EPYC (AVX512), evaluated on NVIDIA H100"
    )
    assert processors(tmp_path / "models", cells) == ""


def test_runs_are_compared_seed_by_seed_and_cell_by_cell(tmp_path: Path) -> None:
    first = Run.read(run(tmp_path / "a", SEEDS))
    other = run(tmp_path / "b", {"news/target/nf4": 91.0, LORA.format(0): 13.0}, "AVX2")
    assert first.name == "seeds 0, 1, 2, trained and evaluated on AMD EPYC (AVX512)"
    rows = measure(first, [Run.read(other)])
    numbers = rows[["metric", "pairs", "median", "largest"]].to_numpy().tolist()
    assert numbers == [
        ["verbmem", 4, 10, 20],  # 4, 20 and 16 apart, and 1
        ["nll_forget", 4, pytest.approx(0.1), pytest.approx(0.2)],
        ["verbmem", 2, 2, 3],
        ["nll_forget", 2, pytest.approx(0.02), pytest.approx(0.03)],
    ]
    assert rows["cell"][0] == LORA.format(0)
    assert spread_notes(rows) == [
        "Another seed moves a number by (median and largest): VerMem 10.0 and 20.0, NLL forget "
        "0.10 and 0.20.",
        "Another processor (seed 0, trained and evaluated on AMD EPYC (AVX2)) moves a number by "
        "(median and largest): VerMem 2.0 and 3.0, NLL forget 0.02 and 0.03.",
    ]
    with pytest.raises(InputError, match="both runs were trained and evaluated on AMD EPYC"):
        measure(first, [first])


def rate_run(results: Path, lr: float, reversion: float | None) -> Path:
    """A finished run: NLL of 3 in bf16, and this reversion on NF4; half of it on RTN3."""
    found = {Key(*WINDOW, "bf16", "nll_forget"): Summary(3.0, 2.9, 3.1, 2, 0, n=32)}
    rows = []
    for name, share in (("bf16", 0.0), ("nf4", 1.0), ("rtn3g64", 0.5)):
        own = Summary(None, None, None, 2, 0, 2)
        if reversion is not None:
            value = share * reversion
            own = Summary(value, value - 0.1, value + 0.1, 2, n=32)
        found[Key(*WINDOW, name, "reversion_nll_forget")] = own
        for seed in range(2):
            numbers = dict.fromkeys(MECHANISM_NUMBERS, 0.0)
            numbers |= {"moved": 0.2 + seed / 10, "projection_adaptive": share}
            rows.append((*WINDOW, seed, name, *numbers.values(), "undefined", None, None, None))
    write_summaries(results / "tables/summary.csv", results.name, found)
    write_rows(results / "tables/mechanism.csv", MECHANISM_TABLE, rows)
    for seed in range(2):
        unlearned = results.joinpath("unlearned", *WINDOW, f"seed{seed}", MANIFEST)
        write_json(unlearned, {"settings": {"lr": lr}})
    return results


def test_a_run_has_its_learning_rate_and_what_each_grid_took_back(tmp_path: Path) -> None:
    found = read_rate(rate_run(tmp_path, 2.25e-5, 0.87), *WINDOW)
    assert found["lr"].tolist() == [2.25e-5] * 2
    assert found["moved"].tolist() == pytest.approx([0.25] * 2)
    assert found[["precision", "reversion_nll_forget", "projection"]].to_numpy().tolist() == [
        ["nf4", 0.87, 1.0],
        ["rtn3g64", 0.435, 0.5],
    ]
    assert unpadded(window_markdown(found)).splitlines()[-1] == (
        "| 2.25e-05 | 0.250 | 3.00 | 0.87 [0.77, 0.97] | 0.43 [0.34, 0.54] |"
    )
    with pytest.raises(InputError, match="no finished run of news/npo_gdr/lora at one learning"):
        read_rate(tmp_path, "news", "npo_gdr", "lora")
    other = tmp_path.joinpath("unlearned", *WINDOW, "seed1", MANIFEST)
    write_json(other, {"settings": {"lr": 2e-5}})
    with pytest.raises(InputError, match="at one learning rate; run make window"):
        read_rate(tmp_path, *WINDOW)


def test_the_window_is_filled(tmp_path: Path) -> None:
    rates = {"a": (9e-5, None), "b": (2.25e-5, 0.87)}
    runs = [rate_run(tmp_path / name, *of) for name, of in rates.items()]
    document = tmp_path / "page.md"
    document.write_text(MARKED.replace("table", "window"), encoding="utf-8")
    fill_window(runs, WINDOW, document, tmp_path)

    text = unpadded(document.read_text(encoding="utf-8"))
    assert "old" not in text
    assert text.index("| 2.25e-05 | 0.250 |") < text.index("| 9e-05 | 0.250 | 3.00 | undefined |")
    assert (tmp_path / "results/window.csv").read_text(encoding="utf-8").splitlines()[1:4] == [
        "2.25e-05,nf4,0.25,1,3,0.87,0.77,0.97,32,2,0,0,",
        "2.25e-05,rtn3g64,0.25,0.5,3,0.435,0.335,0.535,32,2,0,0,",
        "9e-05,nf4,0.25,1,3,undefined,,,,2,0,2,",
    ]
    assert (tmp_path / "window.png").stat().st_size > 10_000
