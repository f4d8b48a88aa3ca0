"""The main table, in each of its forms, on numbers small enough to check by hand."""

import csv
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from small_summaries import CELLS, cell_scores, over_seeds
from small_text import unpadded

from qunlearn.analysis.metrics import Cell, Score
from qunlearn.analysis.summary import Key, Summary
from qunlearn.experiment.labels import number, precision_name
from qunlearn.report.main_table import MainTable, main_table
from qunlearn.report.render import as_csv, as_html, as_latex, as_markdown, write_main_table

UNTESTED = "mini,news,adapters,utility,npo_gdr,lora,nf4,full,nf4,5,1,9,,,0.5,2,32,1,one text"
SCRIPTS = Path(__file__).resolve().parents[1] / "workflow" / "scripts"


def score(cell: str, metric: str, value: float | None, n: int = 32) -> Score:
    if value is None:
        return Score("mini", Cell.parse(cell), metric, absent="diverged")
    return Score("mini", Cell.parse(cell), metric, value, value - 1, value + 3, n)


def test_references_come_first_and_the_order_is_kept_otherwise() -> None:
    cells = [
        "news/npo/lora/seed0/rtn4",
        "news/npo/full/seed0/rtn4",
        "news/ga/lora/seed0/rtn4",
        "news/npo/lora/seed0/bf16",
        "books/retrain/bf16",
        "news/target/bf16",
    ]
    table = main_table(over_seeds([score(cell, "verbmem", 1.0) for cell in cells]))

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
    table = main_table(over_seeds([score("my_corpus/npo/x_y/seed0/nf4", "verbmem", 5.0)]))
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


class Page(HTMLParser):
    """The cells of each row, and whether every tag was closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not {name for name, _ in attrs} & {"src", "href"}, "the page needs another file"
        if tag != "meta":
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data


def test_html_is_well_formed_and_holds_every_cell(made: MainTable) -> None:
    page = Page(as_html(made))

    assert page.open == []
    assert page.rows[0][-1] == "NEWS"
    assert page.rows[2][:3] == ["Method", "Precision", "Adapter"]
    assert page.rows[3][:4] == ["target", "bf16", "–", "0.0 [−1.2, 2.8]"]
    assert page.rows[9] == ["RTN3 g64", "FT (fp32 masters)", *page.rows[9][2:]]
    assert page.rows[9][2] == "50.0 [48.8, 52.8]"
    assert page.rows[10] == ["LoRA", *("diverged †",) * 5]


def test_a_cell_with_some_seeds_diverged_says_how_many() -> None:
    table = main_table(
        over_seeds(
            [
                score("news/ga/full/seed0/nf4", "verbmem", 10.0),
                score("news/ga/full/seed1/nf4", "verbmem", 16.0),
                score("news/ga/full/seed2/nf4", "verbmem", None),
                score("news/ga/full/seed2/bf16", "verbmem", 7.0, n=30),
            ]
        )
    )

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


def test_names_and_numbers_in_print() -> None:
    names = "bf16 int8 nf4 fp4 rtn4 rtn4g128 rtn3g64 gptq4"
    shown = "bf16, int8, NF4, FP4, RTN4, RTN4 g128, RTN3 g64, GPTQ4"
    assert ", ".join(map(precision_name, names.split())) == shown
    assert number("verbmem", -0.04) == "0.0"
    assert number("nll_forget", 2.345678) == "2.35"


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPTS / script), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
