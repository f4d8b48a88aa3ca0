"""The main table, in each of its forms, on numbers small enough to check by hand."""

import csv
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from small_summaries import CELLS, cell_scores, over_seeds, single
from small_text import unpadded

from qunlearn.analysis.summary import Key, Scores, Summary
from qunlearn.experiment.config import resolve
from qunlearn.experiment.labels import number, precision_name
from qunlearn.experiment.names import Cell
from qunlearn.report.footnotes import footnotes, learning_rates
from qunlearn.report.main_table import (
    MainTable,
    as_csv,
    as_html,
    as_latex,
    as_markdown,
    main_table,
    write_main_table,
)


def score(cell: str, metric: str, value: float | str, n: int = 32) -> Scores:
    return {(Cell.parse(cell), metric): single(value, 1, 3, n)}


def test_references_come_first_and_the_order_is_kept_otherwise() -> None:
    cells = [
        "news/npo/lora/seed0/rtn4",
        "news/npo/full/seed0/rtn4",
        "news/ga/lora/seed0/rtn4",
        "news/npo/lora/seed0/bf16",
        "books/retrain/bf16",
        "news/target/bf16",
    ]
    table = main_table({Key.of(Cell.parse(cell), "verbmem"): single(1.0) for cell in cells})

    assert [corpus for corpus, _ in table.columns[::5]] == ["news", "books"]
    assert table.rows == [
        ("target", "bf16", "none"),
        ("retrain", "bf16", "none"),
        ("npo", "rtn4", "lora"),
        ("npo", "rtn4", "full"),
        ("npo", "bf16", "lora"),
        ("ga", "rtn4", "lora"),
    ]


@pytest.fixture
def made() -> MainTable:
    return main_table(over_seeds(cell_scores()))


def test_csv_shows_values_with_intervals(made: MainTable) -> None:
    lines = list(csv.reader(as_csv(made).splitlines()))

    metrics = ("VerMem", "KnowMem", "PrivLeak", "Utility", "NLL forget")
    assert lines[0] == ["method", "precision", "adapter", *(f"NEWS {name}" for name in metrics)]
    assert len(lines) == 1 + len(CELLS)
    assert lines[1] == [
        *("target", "bf16", "–"),
        *("0.0 [-1.2, 2.8]", "1.0 [-0.2, 3.8]", "2.0 [0.8, 4.8]", "3.0 [1.8, 5.8]"),
        "5.00 [3.75, 7.75]",
    ]
    assert lines[7][:4] == ["NPO+GDR", "RTN3 g64", "FT (fp32 masters)", "50.0 [48.8, 52.8]"]
    assert lines[8] == ["NPO+GDR", "RTN3 g64", "LoRA", *("diverged †",) * 5]


def test_markdown_is_a_whole_table_with_n_and_seeds_below(made: MainTable) -> None:
    text = unpadded(as_markdown(made))
    rows = [line for line in text.splitlines() if line.startswith("|")]

    assert {line.count("|") for line in rows} == {9}
    assert len(rows) == 2 + len(CELLS)
    assert "| NPO+GDR | bf16 | LoRA | 60.0 ±2.0 |" in text
    assert "| NEWS VerMem ↓ | NEWS KnowMem ↓ | NEWS PrivLeak →0 | NEWS Utility ↑ |" in rows[0]
    assert "NEWS: VerMem n = 30, KnowMem n = 31, PrivLeak n = 32, Utility n = 33" in text
    assert "* Seeds: one unlearning run per row; another run may fall outside" in text
    assert "* With fewer than three seeds nothing is tested, so nothing is bold." in text
    assert "* † diverged" in text
    assert "not part of this experiment" not in text


def test_latex_rows_have_as_many_cells_as_the_tabular(made: MainTable) -> None:
    text = as_latex(made)
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]

    assert text.index("% --- the table ---") < text.index(r"\begin{tabular}")
    assert text.endswith("% --- end of the table ---\n\\end{document}\n")
    assert r"\begin{tabular}{lllrrrrr}" in text
    assert [line.count("&") for line in rows] == [3] + [7] * (2 + len(CELLS))
    assert r"\multicolumn{5}{c}{NEWS}" in rows[0]
    assert r"\midrule NPO+GDR & bf16 & FT (fp32 masters) & $40.0^{+2.8}_{-1.2}$" in text
    assert r"diverged $^\dagger$" in text
    assert "†" not in text and "↓" not in text
    assert text.count("{") == text.count("}")
    assert text.count("$") % 2 == 0


def test_names_of_the_user_s_are_escaped() -> None:
    table = main_table(over_seeds(score("my_corpus/npo/x_y/seed0/nf4", "verbmem", 5.0)))
    latex = as_latex(table)

    assert r"{my\_corpus}" in latex
    assert r"NPO & NF4 & x\_y & $5.0^{+3.0}_{-1.0}$ & -- & -- & -- & --" in latex


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles_on_its_own(tmp_path: Path) -> None:
    found = over_seeds(cell_scores())
    write_main_table(main_table(found, {next(iter(found))}), tmp_path)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "main.pdf").stat().st_size > 10_000
    assert "Overfull" not in done.stdout


def test_html_holds_every_cell_and_needs_no_other_file(made: MainTable) -> None:
    text = as_html(made)
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in text.split("<tr")[1:]]
    assert not re.search(r"\b(?:src|href)=", text)
    assert rows[0][-1] == "NEWS"
    assert rows[3][:4] == ["target", "bf16", "–", "0.0 <small>[−1.2, 2.8]</small>"]
    assert rows[9][:3] == ["RTN3 g64", "FT (fp32 masters)", "50.0 <small>[48.8, 52.8]</small>"]
    assert rows[10] == ["LoRA", *("diverged †",) * 5]


def test_a_cell_with_some_seeds_diverged_says_how_many() -> None:
    full = "news/ga/full/seed"
    scores = score(f"{full}0/nf4", "verbmem", 10.0) | score(f"{full}1/nf4", "verbmem", 16.0)
    scores |= score(f"{full}2/nf4", "verbmem", "diverged")
    table = main_table(over_seeds(scores | score(f"{full}2/bf16", "verbmem", 7.0, n=30)))

    assert '"13.0 [12.0, 16.0] †1/3",–,–,–,–' in as_csv(table)
    text = as_markdown(table)
    assert "* Seeds: 3. A number is the mean over seeds." in text
    assert "items and the seeds (3 seeds understate how far runs differ); PrivLeak's" in text
    assert "nothing is tested" not in text
    assert "NEWS: VerMem n = 30 to 32." in text
    assert "–: not part of this experiment." in text


@pytest.mark.parametrize(("seeds", "said"), [(1, True), (3, False)])
def test_that_target_and_retrain_are_one_run_is_said_where_they_are(seeds: int, said: bool) -> None:
    found = {
        Key("news", "npo", "lora", "bf16", "verbmem"): Summary(1.0, 0.0, 2.0, 3, 0, n=32),
        Key("news", "target", "none", "bf16", "verbmem"): Summary(9.0, 8.0, 9.5, seeds, 0, n=32),
    }
    text = as_markdown(main_table(found))
    assert ("mean over seeds; target and retrain are one run each." in text) is said


def test_better_numbers_stand_out_in_every_form() -> None:
    found = over_seeds(cell_scores())
    table = main_table(found, {Key("news", "npo_gdr", "full", "bf16", "verbmem")})
    assert "| **40.0 ±2.0** |" in unpadded(as_markdown(table))
    assert r"{\boldmath $40.0^{+2.8}_{-1.2}$}" in as_latex(table)
    assert "<b>40.0 <small>[38.8, 42.8]</small></b>" in as_html(table)
    assert "* Bold: better than its rival" in as_markdown(table)


def test_names_and_numbers_in_print() -> None:
    names = "bf16 int8 nf4 fp4 rtn4 rtn4g128 rtn3g64 gptq4"
    shown = "bf16, int8, NF4, FP4, RTN4, RTN4 g128, RTN3 g64, GPTQ4"
    assert ", ".join(map(precision_name, names.split())) == shown
    assert number("verbmem", -0.04) == "0.0"
    assert number("nll_forget", 2.345678) == "2.35"


def test_the_footer_says_how_models_were_trained_quantized_and_asked() -> None:
    unlearn = {"adapters": ["lora"], "overrides": {"books/*": {"lr": 0.5}}}
    precisions = ["bf16", "nf4", "gptq4"]
    found = footnotes(resolve({"unlearn": unlearn, "precisions": precisions}))

    assert [note for note in found if "rank 16, alpha 16, dropout 0.05" in note] == found[:1]
    assert found[1].startswith("Learning rates: LoRA ")
    assert found[2].startswith("bitsandbytes")
    assert "128 sequences of 512 tokens of retain1" in found[3]
    assert found[4].startswith("Embeddings")
    assert found[5].startswith("KnowMem and Utility use the benchmark's prompt")
    plain = footnotes(resolve({"precisions": ["bf16"], "unlearn": {"adapters": ["full"]}}))
    assert plain[1:] == found[4:]
    assert plain[0].startswith("Learning rates: FT (fp32 masters) 1e-05.")
    other = footnotes(resolve({"evaluate": {"prompt": "plain"}}))
    assert "cannot be compared with published numbers" in other[-1]


def test_learning_rates_are_named_by_variant_and_by_cell_where_they_differ() -> None:
    unlearn = {
        "objectives": ["npo_gdr"],
        "adapters": ["full", "full_bf16", "lora"],
        "settings": {"lr": 2e-5},
        "overrides": {"*/*/lora": {"lr": 1e-4}, "books/npo_gdr/full": {"lr": 0.5}},
    }
    config = resolve({"corpora": ["news", "books"], "unlearn": unlearn})
    assert learning_rates(config).startswith(
        "Learning rates: FT (fp32 masters) 2e-05 (NEWS NPO+GDR), 0.5 (BOOKS NPO+GDR); "
        "FT (bf16 weights) 2e-05; LoRA 0.0001. How much"
    )
    grid = {"news/npo_gdr/lora": {"lr": [1e-4, 7e-4]}}
    swept = resolve({"corpora": ["news"], "unlearn": unlearn, "sweep": grid})
    assert "LoRA chosen from a grid." in learning_rates(swept)


def test_the_footer_names_weights_that_were_quantized_before() -> None:
    models = {"base": "gguf:some_package/model.Q4_1.gguf"}
    found = footnotes(resolve({"models": models, "corpora": ["news", "books"]}))
    named = [note for note in found if "model.Q4_1.gguf" in note]
    assert len(named) == 1 and named[0].startswith("The base is some_package/model.Q4_1.gguf")
    given = {**models, "target": "folder", "retrain": "folder"}  # nothing comes from the base
    assert not any("gguf" in note for note in footnotes(resolve({"models": given})))
