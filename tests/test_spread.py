"""How far seeds and processors move numbers, and what the README's table says of it."""

import json
from pathlib import Path

import pandas as pd
import pytest
from small_text import unpadded

from qunlearn.analysis.frame import TESTS_TABLE
from qunlearn.analysis.metrics import Cell, Score, write_metrics
from qunlearn.analysis.summary import Key, Summary, write_summaries
from qunlearn.report.processors import processors
from qunlearn.report.readme import keep_numbers, kept_table
from qunlearn.report.run_spread import (
    COLUMNS,
    Run,
    measure,
    read_spread,
    spread_notes,
    write_spread,
)
from qunlearn.run.errors import InputError

LORA = "news/npo_gdr/lora/seed{}/nf4"


def manifest(folder: Path, step: str, instructions: str | None, device: str = "AMD EPYC") -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = {"step": step, "device": device, "instructions": instructions}
    (folder / "manifest.json").write_text(json.dumps(content), encoding="utf-8")


def run(results: Path, values: dict[str, float | None], instructions: str = "AVX512_BF16") -> Path:
    """A run with VerMem and forget NLL of these cells; the NLL is a hundredth of it."""
    scores = []
    for name, value in values.items():
        cell = Cell.parse(name)
        manifest(results / "eval" / name, "evaluate", instructions)
        if cell.seed is not None:
            manifest(results / "unlearned/news" / cell.model, "unlearn", instructions)
        for metric, scale in (("verbmem", 1.0), ("nll_forget", 0.01)):
            scores.append(
                Score("mini", cell, metric, absent="diverged")
                if value is None
                else Score("mini", cell, metric, scale * value, 0.0, 1.0, 32)
            )
    manifest(results / "models/news/target", "finetune", instructions)
    write_metrics(results / "tables/metrics.csv", scores)
    return results


SEEDS: dict[str, float | None] = {
    "news/target/nf4": 90.0,
    **{LORA.format(seed): value for seed, value in enumerate((10.0, 14.0, 30.0))},
    "news/npo_gdr/full/seed0/nf4": 5.0,
    "news/npo_gdr/full/seed1/nf4": None,
    "news/npo_gdr/full/seed2/nf4": 6.0,
}
NAME = "trained and evaluated on AMD EPYC ({})"


def test_a_run_says_its_seeds_and_processors(tmp_path: Path) -> None:
    found = Run(run(tmp_path, SEEDS))
    assert found.name == "seeds 0, 1, 2, trained and evaluated on AMD EPYC (AVX512_BF16)"


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


def test_seeds_are_compared_two_by_two_and_gaps_are_left_out(tmp_path: Path) -> None:
    verbmem, nll = measure(Run(run(tmp_path, SEEDS))).itertuples()
    assert (verbmem.metric, nll.metric) == ("verbmem", "nll_forget")
    assert verbmem.pairs == 4  # 4, 20 and 16 apart, and 1
    assert (verbmem.median, verbmem.largest) == (10, 20)
    assert verbmem.cell == LORA.format(0)
    assert verbmem.first == verbmem.second
    assert nll.largest == pytest.approx(0.2)


def test_another_processor_is_compared_cell_by_cell(tmp_path: Path) -> None:
    first = Run(run(tmp_path / "a", SEEDS))
    second = Run(run(tmp_path / "b", {"news/target/nf4": 91.0, LORA.format(0): 13.0}, "AVX2"))
    *_, verbmem, nll = measure(first, [second]).itertuples()
    assert verbmem.second == f"seed 0, {NAME.format('AVX2')}"
    assert (verbmem.pairs, verbmem.median, verbmem.largest) == (2, 2, 3)
    assert nll.largest == pytest.approx(0.03)


def test_the_same_processor_says_nothing_of_another(tmp_path: Path) -> None:
    first, second = (Run(run(tmp_path / name, SEEDS)) for name in "ab")
    with pytest.raises(InputError, match="both runs were trained and evaluated on AMD EPYC"):
        measure(first, [second])


def test_the_file_and_its_sentences(tmp_path: Path) -> None:
    lines = [
        ("A", "A", "verbmem", 4, 1.25, 20.0, "x"),
        ("A", "A", "auc", 4, 0.1, 0.2, "x"),  # not in the table
        ("A", "A", "nll_forget", 4, 0.031, 0.25, "y"),
        ("A", "B", "verbmem", 2, 2.0, 3.0, "z"),
    ]
    rows = pd.DataFrame(lines, columns=COLUMNS)
    write_spread(tmp_path / "spread.csv", rows)
    assert list(read_spread(tmp_path / "spread.csv").itertuples(index=False)) == lines
    assert spread_notes(rows) == [
        "Another seed moves a number by (median and largest): VerMem 1.2 and 20.0, "
        "NLL forget 0.03 and 0.25.",
        "Another processor (B) moves a number by (median and largest): VerMem 2.0 and 3.0.",
    ]


def test_what_is_kept_of_a_run_makes_the_table_and_its_notes(tmp_path: Path) -> None:
    results = run(tmp_path / "mini", SEEDS)
    number = Summary(18.0, 10.0, 30.0, 3, 0, n=32)
    write_summaries(
        results / "tables/summary.csv",
        "mini",
        {Key("news", "npo_gdr", "lora", name, "verbmem"): number for name in ("nf4", "rtn4")},
    )
    row = "mini,news,quantization,verbmem,npo_gdr,lora,nf4,lora,bf16,5,1,9,0.1,0.2,0.5,2,32,3,"
    (results / "tables/tests.csv").write_text(f"{','.join(TESTS_TABLE)}\n{row}\n", "utf-8")
    (results / "tables/main.md").write_text("| a |\n\n* A note.\n* ± is half.\n", "utf-8")

    keep_numbers(results, [], tmp_path / "kept")

    table = unpadded(kept_table(tmp_path / "kept", ["nf4"]))
    assert "| NPO+GDR | NF4 | LoRA | 18.0 ±10.0 |" in table and "RTN4" not in table
    notes = [line for line in table.splitlines() if line.startswith("* ")]
    assert notes[0] == "* A note."
    assert notes[1].startswith("* Another seed moves a number by")
    assert notes[2].startswith("* ± is half") and len(notes) == 3
