"""The main table in each of its forms, and those of the mechanism, checked by hand."""

import csv
import io
import shutil
import subprocess
from pathlib import Path

import pytest
from small_summaries import CELLS, by_key, cell_scores, single, unpadded
from small_survival import MATRIX, matrices, write_cell

from qunlearn.analysis.summary import Key, Scores, Summary
from qunlearn.experiment.config import resolve
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
from qunlearn.report.mechanism_tables import arrivals, mechanism_markdown, write_mechanism
from qunlearn.run.errors import InputError


def test_references_come_first_and_the_order_is_kept_otherwise() -> None:
    cells = ["news/npo/lora/seed0/rtn4", "news/npo/full/seed0/rtn4", "news/ga/lora/seed0/rtn4"]
    cells += ["news/npo/lora/seed0/bf16", "books/retrain/bf16", "news/target/bf16"]
    table = main_table({Key.of(Cell.parse(cell), "verbmem"): single(1.0) for cell in cells})

    assert [corpus for corpus, _ in table.columns[::5]] == ["news", "books"]
    assert ["/".join(row) for row in table.rows] == [
        *("target/bf16/none", "retrain/bf16/none", "npo/rtn4/lora", "npo/rtn4/full"),
        *("npo/bf16/lora", "ga/rtn4/lora"),
    ]


@pytest.fixture
def made() -> MainTable:
    return main_table(by_key(cell_scores()))


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

    assert {line.count("|") for line in rows} == {9} and len(rows) == 2 + len(CELLS)
    for words in (
        "| NEWS VerMem ↓ | NEWS KnowMem ↓ | NEWS PrivLeak →0 | NEWS Utility ↑ |",
        "| NPO+GDR | bf16 | LoRA | 60.0 ±2.0 |",
        "NEWS: VerMem n = 30, KnowMem n = 31, PrivLeak n = 32, Utility n = 33",
        "* Seeds: one unlearning run per row; another run may fall outside",
        "* With fewer than three seeds nothing is tested, so nothing is bold.",
        "* † diverged",
    ):
        assert words in text
    assert "not part of this experiment" not in text


def test_latex_rows_have_as_many_cells_as_the_tabular(made: MainTable) -> None:
    text = as_latex(made)
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]

    assert text.index("% --- the table ---") < text.index(r"\begin{tabular}{lllrrrrr}")
    assert [line.count("&") for line in rows] == [3] + [7] * (2 + len(CELLS))
    assert r"\midrule NPO+GDR & bf16 & FT (fp32 masters) & $40.0^{+2.8}_{-1.2}$" in text
    assert r"diverged $^\dagger$" in text and "↓" not in text
    users = as_latex(
        main_table({Key("my_corpus", "npo", "x_y", "nf4", "verbmem"): single(5.0, 1, 3)})
    )
    assert r"{my\_corpus}" in users
    assert r"NPO & NF4 & x\_y & $5.0^{+3.0}_{-1.0}$ & -- & -- & -- & --" in users


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles_on_its_own(tmp_path: Path) -> None:
    found = by_key(cell_scores())
    write_main_table(main_table(found, {next(iter(found))}), tmp_path)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "main.pdf").stat().st_size > 10_000
    assert "Overfull" not in done.stdout


def test_a_cell_with_some_seeds_diverged_says_how_many() -> None:
    numbers = {"nf4": Summary(13.0, 12.0, 16.0, 3, 1), "bf16": Summary(7.0, 6.0, 10.0, 1)}
    table = main_table({Key("news", "ga", "full", p, "verbmem"): own for p, own in numbers.items()})

    assert '"13.0 [12.0, 16.0] †1/3",–,–,–,–' in as_csv(table)
    text = as_markdown(table)
    assert "* Seeds: 3. A number is the mean over seeds." in text
    assert "items and the seeds (3 seeds understate how far runs differ); PrivLeak's" in text
    assert "nothing is tested" not in text
    assert "–: not part of this experiment." in text


def test_better_numbers_stand_out_in_every_form() -> None:
    found = by_key(cell_scores())
    table = main_table(found, {Key("news", "npo_gdr", "full", "bf16", "verbmem")})
    assert "| **40.0 ±2.0** |" in unpadded(as_markdown(table))
    assert r"{\boldmath $40.0^{+2.8}_{-1.2}$}" in as_latex(table)
    assert "<b>40.0 <small>[38.8, 42.8]</small></b>" in as_html(table)
    assert "* Bold: better than its rival" in as_markdown(table)


def test_the_footer_says_how_models_were_trained_quantized_and_asked() -> None:
    unlearn = {"adapters": ["lora"]}
    models = {"base": "gguf:some_package/model.Q4_1.gguf"}
    config = {"unlearn": unlearn, "models": models, "precisions": ["bf16", "nf4", "gptq4"]}
    starts = (
        *("LoRA on all linear layers: rank 16, alpha 16, dropout 0.05", "Learning rates: LoRA "),
        *("bitsandbytes", "GPTQ", "The base is some_package/model.Q4_1.gguf", "Embeddings"),
        "KnowMem and Utility use the benchmark's prompt",
    )
    found = footnotes(resolve(config))
    assert [note[: len(start)] for note, start in zip(found, starts, strict=True)] == list(starts)
    given = {**models, "target": "folder", "retrain": "folder"}  # nothing comes from the base
    plain = {"models": given, "precisions": ["bf16"], "evaluate": {"prompt": "plain"}}
    rates, _, prompt = footnotes(resolve(plain | {"unlearn": {"adapters": ["full"]}}))
    assert rates.startswith("Learning rates: FT (fp32 masters) 1e-05.")
    assert "cannot be compared with published numbers" in prompt


def test_learning_rates_are_named_by_variant_and_by_cell_where_they_differ() -> None:
    unlearn = {
        "objectives": ["npo_gdr"],
        "settings": {"lr": 2e-5},
        "overrides": {"*/*/lora": {"lr": 1e-4}, "books/npo_gdr/full": {"lr": 0.5}},
    }
    grid = {"*/npo_gdr/lora": {"lr": [1e-4, 7e-4]}}
    shown = (
        "Learning rates: FT (fp32 masters) 2e-05 (NEWS NPO+GDR), 0.5 (BOOKS NPO+GDR); "
        "FT (bf16 weights) 2e-05; LoRA {}. How much"
    )
    config = {"corpora": ["news", "books"], "unlearn": unlearn}
    assert learning_rates(resolve(config)).startswith(shown.format("0.0001"))
    swept = learning_rates(resolve(config | {"sweep": grid}))
    assert swept.startswith(shown.format("chosen from a grid"))


# --- The tables that explain the reversions -------------------------------------------------------

HALF = MATRIX | {"moved": 0.5, "flips_predicted": 0.2, "flips_adaptive": 0.4}
HALF |= {"projection_fixed": 0.6, "zero_bin": 0.2, "zero_bin_moved": 0.9}
OTHER = HALF | {"layer": 1, "n": 300, "zero_bin": 0.4, "zero_bin_moved": 0.5, "flips_adaptive": 0.0}


def score(cell: str, value: float | str, metric: str = "reversion_nll_forget") -> Scores:
    return {(Cell.parse(cell), metric): single(value, 0.1, 0.2)}


SCORES = {
    **score("news/target/rtn3g64", 0.4, "nll_forget"),
    **score("news/npo_gdr/full/seed0/rtn3g64", 0.5),
    **score("news/npo_gdr/full/seed1/rtn3g64", 0.7),
    **score("news/npo_gdr/lora/seed0/rtn3g64", "undefined"),
    **score("news/npo_gdr/spare_unmoved/seed0/rtn3g64", 0.9),
}


@pytest.fixture
def survival(tmp_path: Path) -> Path:
    for model, rows in (
        ("full/seed0", matrices(HALF, OTHER)),
        ("full/seed1", matrices(HALF)),
        ("lora/seed0", matrices()),  # diverged: a header without rows
    ):
        write_cell(tmp_path / "survival", f"news/npo_gdr/{model}/rtn3g64", rows)
    return tmp_path / "survival"


def test_zero_bins_are_weighed_by_the_weights_that_they_are_shares_of(survival: Path) -> None:
    first, second = arrivals(SCORES, survival).itertuples(index=False)
    assert first[:5] == ("news", "npo_gdr", "full", 0, "rtn3g64")
    assert first.zero_bin == pytest.approx((100 * 0.2 + 300 * 0.4) / 400)
    assert first.zero_bin_moved == pytest.approx((50 * 0.9 + 150 * 0.5) / 200)
    assert first.flips_adaptive == pytest.approx(0.1)
    assert second.zero_bin_moved == pytest.approx(0.9)


def test_mechanism_averages_seeds_and_leaves_out_what_has_no_update(survival: Path) -> None:
    table = mechanism_markdown(arrivals(SCORES, survival), by_key(SCORES))
    header, _, *lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()
    ]

    assert len(lines) == 1
    shown = dict(zip(header[4:], lines[0][4:], strict=True))
    assert lines[0][:4] == ["NEWS", "NPO+GDR", "FT (fp32 masters)", "RTN3 g64"]
    assert shown["codes flip: predicted"] == "0.200"
    assert shown["codes flip: measured"] == "0.250"  # of .1 and .4
    assert shown["reversion (NLL)"] == "0.70 [0.60, 0.90]"


def test_csv_has_every_number(survival: Path, tmp_path: Path) -> None:
    write_mechanism(tmp_path / "mechanism.csv", SCORES, arrivals(SCORES, survival))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "mechanism.csv").read_text())))
    assert [(row["adapter"], row["seed"]) for row in rows] == [("full", "0"), ("full", "1")]
    assert rows[1]["projection_fixed"] == "0.6"
    assert list(rows[1].values())[-4:] == ["0.7", "0.6", "0.9", "32"]
    assert all(value for row in rows for value in row.values())
    with pytest.raises(InputError, match=r"full/seed2/rtn3g64\.csv: no such file"):
        arrivals(score("news/npo_gdr/full/seed2/rtn3g64", 0.1), survival)
