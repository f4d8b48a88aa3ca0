"""The parts of README and docs that are results: written by a command, never by hand."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from qunlearn.analysis.evidence import better
from qunlearn.analysis.summary import summaries
from qunlearn.report.main_table import excerpt
from qunlearn.report.render import as_markdown
from qunlearn.report.run_spread import Run, measure, read_spread, spread_notes, write_spread
from qunlearn.run.errors import InputError
from qunlearn.run.files import write_text

NOTES, SPREAD = "notes.txt", "spread.csv"


def replace_marked(file: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- NAME: … -->` and `<!-- end of NAME -->` in `file`.

    Raises:
        InputError: the file lacks the marks.
    """
    pattern = rf"(<!-- {name}:[^\n]*-->\n).*?(<!-- end of {name} -->)"
    content = file.read_text(encoding="utf-8")
    replaced, count = re.subn(
        pattern, lambda match: f"{match[1]}\n{text}\n{match[2]}", content, flags=re.DOTALL
    )
    if count != 1:
        raise InputError(f"{file}: needs one '<!-- {name}: … -->' and '<!-- end of {name} -->'")
    write_text(file, replaced)


def keep_numbers(results: Path, others: Sequence[Path], kept: Path) -> None:
    """Copy what the README's table is made from: numbers, notes, and how far runs lie apart.

    Args:
        results: a finished run.
        others: finished runs of it on other processors.
        kept: the folder to write into.

    Raises:
        InputError: a table of a run is missing or broken.
    """
    tables = results / "tables"
    for name in ("summary.csv", "tests.csv"):
        write_text(kept / name, (tables / name).read_text(encoding="utf-8"))
    write_text(kept / NOTES, "".join(f"{note}\n" for note in main_notes(results)))
    rows = measure(Run(results), [Run(other) for other in others])
    if len(rows):
        write_spread(kept / SPREAD, rows)


def main_notes(results: Path) -> list[str]:
    """The notes below a run's main table, except the one on its Markdown."""
    lines = (results / "tables/main.md").read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("* ") for line in lines if line.startswith("* ")][:-1]


def kept_table(kept: Path, precisions: Sequence[str]) -> str:
    """The main table of some precisions, from what was kept of a run.

    Raises:
        InputError: a file is missing or broken.
    """
    found = summaries(kept / "summary.csv")
    table = excerpt(found, better(kept / "tests.csv", found), precisions)
    notes = (kept / NOTES).read_text(encoding="utf-8").splitlines()
    if (kept / SPREAD).exists():
        notes += spread_notes(read_spread(kept / SPREAD))
    return as_markdown(replace(table, notes=tuple(notes)))
