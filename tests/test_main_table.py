"""The main table, in each of its forms, on numbers small enough to check by hand."""

import csv
import shutil
import subprocess
import sys
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import pytest
from small_evaluations import CELLS
from small_manifests import sign_evaluations
from small_summaries import over_seeds

from qunlearn.analysis.frame import TESTS_TABLE
from qunlearn.analysis.metrics import Cell, Score, collect, read_metrics
from qunlearn.analysis.reversion import reversions
from qunlearn.analysis.summary import Key, Summary, write_summaries
from qunlearn.corpora.overlaps import Overlap
from qunlearn.experiment.labels import number, precision_name
from qunlearn.report.main_table import main_table
from qunlearn.report.render import as_csv, as_html, as_latex, as_markdown, write_main_table
from qunlearn.run.files import read_json, write_json
from qunlearn.run.manifest import Stopwatch, write_manifest

UNTESTED = "mini,news,adapters,utility,npo_gdr,lora,nf4,full,nf4,5,1,9,,,0.5,2,32,1,one text"
SCRIPTS = Path(__file__).resolve().parents[1] / "workflow" / "scripts"


def score(cell: str, metric: str, value: float | None, n: int = 32) -> Score:
    if value is None:
        return Score.missing("mini", Cell.parse(cell), metric, "diverged")
    return Score("mini", Cell.parse(cell), metric, value, value - 1, value + 3, n)


def test_seeds_are_averaged_and_diverged_ones_counted() -> None:
    summaries = over_seeds(
        [
            score("news/ga/full/seed0/nf4", "verbmem", 10.0),
            score("news/ga/full/seed1/nf4", "verbmem", 16.0),
            score("news/ga/full/seed2/nf4", "verbmem", None),
            score("news/ga/lora/seed0/nf4", "verbmem", None),
        ]
    )

    assert summaries == {
        Key("news", "ga", "full", "nf4", "verbmem"): Summary(13.0, 12.0, 16.0, 3, 1, 0, 32),
        Key("news", "ga", "lora", "nf4", "verbmem"): Summary(None, None, None, 1, 1),
    }


def test_main_table_puts_references_first_and_keeps_the_order_otherwise() -> None:
    cells = [
        "news/npo/lora/seed0/rtn4",
        "news/npo/full/seed0/rtn4",
        "news/ga/lora/seed0/rtn4",
        "news/npo/lora/seed0/bf16",
        "books/retrain/bf16",
        "news/target/bf16",
    ]
    table = main_table(over_seeds([score(cell, "verbmem", 1.0) for cell in cells]))

    assert table.corpora == ("news", "books")
    assert [(row.objective, row.precision, row.adapter) for b in table.blocks for row in b] == [
        ("target", "bf16", "none"),
        ("retrain", "bf16", "none"),
        ("npo", "rtn4", "lora"),
        ("npo", "rtn4", "full"),
        ("npo", "bf16", "lora"),
        ("ga", "rtn4", "lora"),
    ]


def test_main_csv_shows_values_with_intervals(evaluations: Path) -> None:
    lines = list(
        csv.reader(as_csv(main_table(over_seeds(collect(evaluations, CELLS, "mini")))).splitlines())
    )

    assert lines[0] == [
        "method",
        "precision",
        "adapter",
        "NEWS VerMem",
        "NEWS KnowMem",
        "NEWS PrivLeak",
        "NEWS Utility",
        "NEWS NLL forget",
    ]
    assert len(lines) == 1 + len(CELLS)
    assert lines[1] == [
        "target",
        "bf16",
        "–",
        "0.0 [-1.2, 2.8]",
        "1.0 [-0.2, 3.8]",
        "2.0 [0.8, 4.8]",
        "3.0 [1.8, 5.8]",
        "5.00 [3.75, 7.75]",
    ]
    assert lines[7][:4] == ["NPO+GDR", "RTN3 g64", "FT (fp32 masters)", "50.0 [48.8, 52.8]"]
    assert lines[8] == ["NPO+GDR", "RTN3 g64", "LoRA", *("diverged †",) * 5]


def test_markdown_is_a_whole_table_with_n_and_seeds_below(evaluations: Path) -> None:
    text = as_markdown(main_table(over_seeds(collect(evaluations, CELLS, "mini"))))
    rows = [line for line in text.splitlines() if line.startswith("|")]

    assert {line.count("|") for line in rows} == {9}
    assert len(rows) == 2 + len(CELLS)
    assert "| NPO+GDR | bf16 | LoRA | 60.0 ±2.0 |" in text
    assert "| NEWS VerMem ↓ | NEWS KnowMem ↓ | NEWS PrivLeak →0 | NEWS Utility ↑ |" in rows[0]
    assert "NEWS: VerMem n = 30, KnowMem n = 31, PrivLeak n = 32, Utility n = 33" in text
    assert "* Seeds: one unlearning run a row; another run may fall outside its interval." in text
    assert "* Nothing is tested, and so nothing bold, with fewer than three seeds." in text
    assert "* † diverged" in text
    assert "not part of this experiment" not in text


def test_latex_rows_have_as_many_cells_as_the_tabular(evaluations: Path) -> None:
    text = as_latex(main_table(over_seeds(collect(evaluations, CELLS, "mini"))))
    rows = [line for line in text.splitlines() if line.endswith(r"\\")]

    assert text.index("% --- the table ---") < text.index(r"\begin{tabular}")
    assert text.endswith("% --- end of the table ---\n\\end{document}\n")
    assert r"\begin{tabular}{lllrrrrr}" in text
    assert [line.count("&") for line in rows] == [3] + [7] * (1 + len(CELLS))
    assert r"\multicolumn{5}{c}{NEWS}" in rows[0]
    assert "NPO+GDR & bf16 & LoRA & $60.0^{+2.8}_{-1.2}$" in text
    assert r"diverged $^\dagger$" in text
    assert "†" not in text and "↓" not in text
    assert text.count("{") == text.count("}")
    assert text.count("$") % 2 == 0
    for command in (r"\toprule", r"\bottomrule", r"\end{tabular}", r"\cmidrule(lr){4-8}"):
        assert text.count(command) == 1


def test_latex_escapes_a_users_names() -> None:
    text = as_latex(main_table(over_seeds([score("my_corpus/a&b/x_y/seed0/nf4", "verbmem", 5.0)])))

    assert r"{my\_corpus}" in text
    assert r"a\&b & NF4 & x\_y & $5.0^{+3.0}_{-1.0}$ & -- & -- & -- & --" in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_latex_compiles_on_its_own(evaluations: Path, tmp_path: Path) -> None:
    found = over_seeds(collect(evaluations, CELLS, "mini"))
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


def test_html_is_well_formed_and_holds_every_cell(evaluations: Path) -> None:
    page = Page(as_html(main_table(over_seeds(collect(evaluations, CELLS, "mini")))))

    assert page.open == []
    assert page.rows[0] == ["", "NEWS"]
    assert len(page.rows) == 2 + len(CELLS)
    assert page.rows[2][:4] == ["target", "bf16", "–", "0.0 [−1.2, 2.8]"]
    assert page.rows[8][:4] == ["NPO+GDR", "RTN3 g64", "FT (fp32 masters)", "50.0 [48.8, 52.8]"]
    assert page.rows[9][3:] == ["diverged †"] * 5


def test_html_escapes_a_users_names() -> None:
    text = as_html(main_table(over_seeds([score("a<b/ga/lora/seed0/nf4", "verbmem", 5.0)])))

    assert "a&lt;b" in text
    assert "a<b" not in text


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
    assert "Nothing is tested" not in text
    assert "NEWS: VerMem n = 30 to 32." in text
    assert "–: not part of this experiment." in text


def test_names_and_numbers_in_print() -> None:
    names = ["bf16", "int8", "nf4", "fp4", "rtn4", "rtn4g128", "rtn3g64", "gptq4"]

    assert [precision_name(name) for name in names] == [
        "bf16",
        "int8",
        "NF4",
        "FP4",
        "RTN4",
        "RTN4 g128",
        "RTN3 g64",
        "GPTQ4",
    ]
    assert number("verbmem", -0.04) == "0.0"
    assert number("nll_forget", 2.345678) == "2.35"


def run(script: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPTS / script), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def test_scripts_collect_and_set_the_tables(evaluations: Path, tmp_path: Path) -> None:
    tidy, folder = tmp_path / "tables" / "metrics.csv", tmp_path / "tables"
    given = ("--evaluations", evaluations, "--experiment", "mini", "--output", tidy)

    sign_evaluations(evaluations)
    cells = [*CELLS[:4], CELLS[-1]]
    assert run("collect_metrics.py", *given, "--cells", *cells).returncode == 0
    expected = collect(evaluations, cells, "mini") + reversions(evaluations, cells, "mini")
    assert read_metrics(tidy) == expected
    assert [score.metric for score in expected].count("reversion_verbmem") == 1

    found = over_seeds(expected)
    summary, tests = tmp_path / "summary.csv", tmp_path / "tests.csv"
    write_summaries(summary, "mini", found)
    tests.write_text(",".join(TESTS_TABLE.columns) + "\n" + UNTESTED + "\n", encoding="utf-8")
    asked = Overlap("knowmem/retain_qa.json", 4, "knowmem/retain_qa_icl.json", count=1, of=9)
    for corpus in {cell.split("/")[0] for cell in cells}:
        data = tmp_path / "data" / corpus
        data.mkdir(parents=True)
        about = {"settings": {}, "inputs": {}, "stopwatch": Stopwatch()}
        write_manifest(data, step="corpus", **about, overlaps=[asdict(asked)])
    made = read_json(evaluations / cells[0] / "manifest.json")
    write_json(evaluations / cells[0] / "manifest.json", made | {"shortfalls": ["KnowMem: no"]})
    given = ("--summary", summary, "--tests", tests, "--settings", "A note.")
    where = ("--results", tmp_path, "--cells", *cells, "--output", folder)
    done = run("make_main_table.py", *given, *where)
    assert done.returncode == 0, done.stderr
    notes = [f"NEWS: {asked}.", "A note.", "NEWS KnowMem: no."]
    shown = (folder / "main.md").read_text(encoding="utf-8")
    assert all(f"* {note}" in shown for note in notes)
    assert "* Processor: " in shown

    given = ("--evaluations", evaluations, "--experiment", "mini", "--output", tidy)
    failed = run("collect_metrics.py", *given, "--cells", "books/target/bf16")
    assert failed.returncode == 2
    assert failed.stderr.startswith("error: cell 'books/target/bf16'")
    assert failed.stderr.count("\n") == 1
