"""What commands write into the README."""

import re
from pathlib import Path

import pytest
from conftest import ROOT

from qunlearn.errors import InputError
from qunlearn.readme import replace_marked
from qunlearn.tables.main import excerpt
from qunlearn.tables.render import as_markdown
from qunlearn.tables.significance import better
from qunlearn.tables.summary import summaries

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


def test_the_table_in_the_readme_is_that_of_the_numbers_kept_beside_it() -> None:
    """After a change of the default experiment or of the table: make readme."""
    found = summaries(KEPT / "summary.csv")
    table = as_markdown(excerpt(found, better(KEPT / "tests.csv", found), SHOWN))
    assert f"\n{table}\n<!-- end of table -->" in (ROOT / "README.md").read_text(encoding="utf-8")


RESULTS = ROOT / "results/mini/tables/summary.csv"


@pytest.mark.skipif(not RESULTS.exists(), reason="the default experiment was not run here")
def test_the_numbers_kept_are_those_of_the_default_experiment() -> None:
    kept, run = summaries(KEPT / "summary.csv"), summaries(RESULTS)
    assert {key: run.get(key) for key in kept} == kept


@pytest.mark.parametrize("name", ["reversion", "mechanism", "controls", "norms"])
def test_the_page_on_the_mechanism_has_its_tables(name: str) -> None:
    page = (ROOT / "docs/mechanism.md").read_text(encoding="utf-8")
    part = page.partition(f"<!-- {name}:")[2].partition(f"<!-- end of {name} -->")[0]
    assert part.count("\n| NEWS |") >= 8


def test_every_picture_of_the_pages_is_there() -> None:
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for target in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).stat().st_size > 10_000, target
