"""What commands write into the README."""

import re
from pathlib import Path

import pytest
from conftest import ROOT

from qunlearn.analysis.summary import summaries
from qunlearn.report.readme import kept_table, replace_marked
from qunlearn.report.run_spread import Run, read_spread
from qunlearn.run.errors import InputError

MARKED = "before\n<!-- table: by a command -->\nold\n<!-- end of table -->\nafter\n"


def test_only_the_marked_part_is_replaced_and_can_be_again(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(MARKED, encoding="utf-8")
    replace_marked(file, "table", r"a \1 b" + "\n")
    once = file.read_text(encoding="utf-8")
    assert once == MARKED.replace("old\n", "\na \\1 b\n\n")
    replace_marked(file, "table", r"a \1 b" + "\n")
    assert file.read_text(encoding="utf-8") == once


def test_missing_marks_are_told_and_nothing_is_written(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text("no marks", encoding="utf-8")
    with pytest.raises(InputError, match="end of table"):
        replace_marked(file, "table", "text")
    assert file.read_text(encoding="utf-8") == "no marks"


SHOWN = ("bf16", "nf4", "gptq4", "rtn3g64")  # as in the Makefile's target readme
KEPT = ROOT / "docs/results"
SMOOTH = ("nll_forget", "nll_retain")


def test_the_table_in_the_readme_is_that_of_the_numbers_kept_beside_it() -> None:
    """After a change of the default experiment or of the table: make readme."""
    table = kept_table(KEPT, SHOWN)
    assert f"\n{table}\n<!-- end of table -->" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readmes_table_says_where_it_was_made_and_how_far_that_moves_it() -> None:
    table = kept_table(KEPT, SHOWN)
    assert re.search(r"^\* Processor: trained and evaluated on .+ \(.+\);", table, re.M)
    assert "* Learning rates: FT (fp32 masters) 3.5e-05; FT (bf16 weights) 4.5e-05;" in table
    assert re.search(r"^\* Another seed moves a number by .+: VerMem \d", table, re.M)
    assert re.search(r"^\* Another processor \(seed 0, .+\) moves a number by", table, re.M)


RESULTS = ROOT / "results/mini"


@pytest.mark.skipif(
    not (RESULTS / "tables/summary.csv").exists(), reason="the default experiment was not run here"
)
def test_the_numbers_kept_are_those_of_the_default_experiment() -> None:
    """As they are on the same seeds and processor. Elsewhere every training takes another path:
    there the cells and their items are the same, and the losses lie about as near as two seeds or
    two processors did. The other metrics jump with single answers, so that no bound is known."""
    kept, run = (summaries(path / "summary.csv") for path in (KEPT, RESULTS / "tables"))
    assert [key for key in run if key in kept] == list(kept)
    both = [(kept[key], run[key]) for key in kept if kept[key].n and run[key].n]
    assert all(mine.n == theirs.n for mine, theirs in both)
    spreads = read_spread(KEPT / "spread.csv")
    if Run(RESULTS).name == spreads["first"].iloc[0]:
        assert {key: run[key] for key in kept} == kept
        return
    for metric in SMOOTH:
        bound = 2 * spreads.loc[spreads["metric"] == metric, "largest"].sum()
        for key in kept:
            if key.metric == metric:
                assert run[key].value == pytest.approx(kept[key].value, abs=bound), key


@pytest.mark.parametrize("name", ["reversion", "mechanism", "controls", "norms"])
def test_the_page_on_the_mechanism_has_its_tables(name: str) -> None:
    page = (ROOT / "docs/mechanism.md").read_text(encoding="utf-8")
    part = page.partition(f"<!-- {name}:")[2].partition(f"<!-- end of {name} -->")[0]
    assert part.count("\n| NEWS |") >= 8


def test_every_picture_of_the_pages_is_there() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).stat().st_size > 10_000, target
