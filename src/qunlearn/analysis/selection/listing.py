"""Every candidate of every grid as CSV and as Markdown, and what is said of the choices."""

from collections.abc import Iterable, Iterator, Sequence
from math import isnan
from pathlib import Path
from typing import Any

from qunlearn.analysis.selection.choice import SCORES, Rule, Selection
from qunlearn.analysis.summary import distinct
from qunlearn.experiment.labels import adapter_name, corpus_name, method_name, number
from qunlearn.experiment.names import DIVERGED
from qunlearn.run.csvfile import Value, as_csv
from qunlearn.run.files import write_text

COLUMNS = (
    *("corpus", "objective", "adapter", "point", "epochs", *SCORES),
    *("n_forget", "n_retain", "seeds", "diverged", "front", "chosen"),
)
_HEADER = (
    *("Corpus", "Method", "Adapter", "Candidate", "Chosen", "Front"),
    *("KnowMem ↓", "Utility ↑", "NLL forget ↑"),
)
_ABOUT = (
    "KnowMem and Utility: ROUGE-L F1 x 100 in bf16, means over the seeds; NLL forget: nats a token "
    "of the forget texts, no part of any rule.",
    "Front: no other candidate is better in KnowMem or Utility and at least as good in the other.",
)
RULES: dict[Rule, str] = {
    "muse": "chosen by MUSE's rule",
    "pareto": "chosen from the front of forget KnowMem and Utility",
    "fixed": "named in the configuration",
}
WARNING = (
    "Warning: settings were chosen on the very questions that this table reports; on new questions "
    "KnowMem and Utility are likely to be worse."
)


def write_table(selections: Sequence[Selection], folder: Path) -> None:
    """Write `candidates.csv` and `candidates.md` into `folder`.

    The CSV has one line a candidate; target and retrain of each cell are lines with point `target`,
    … Scores are empty where every seed diverged; `front` and `chosen` are yes or no.
    """
    rows = [row for own in selections for row in _rows(own)]
    write_text(folder / "candidates.csv", as_csv(COLUMNS, rows))
    lines = [_HEADER, ("---",) * 6 + ("--:",) * 3, *map(_line, rows)]
    body = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    reasons = (
        f"{_cell(own)}: {candidate_name(own.chosen)}, {RULES[own.rule]}: {own.reason}."
        for own in selections
    )
    below = [*reasons, f"Questions: {asked(selections)}.", *_ABOUT]
    notes = "\n".join(f"* {note}" for note in below)
    write_text(folder / "candidates.md", f"{body}\n\n{notes}\n")


def notes(selections: Sequence[Selection]) -> list[str]:
    """Under the main table: a sentence a cell, then one on the questions; none if none is swept."""
    found = [
        f"{_cell(own)}: {candidate_name(own.chosen)}, {RULES[own.rule]} among "
        f"{len(own.candidates)} candidates{f' ({own.caveat})' if own.caveat else ''}."
        for own in selections
    ]
    by_rule = [own for own in selections if own.rule != "fixed"]
    if any(own.questions == "test" for own in by_rule):
        found.append(WARNING)
    elif by_rule:
        numbers = asked(by_rule)
        found.append(f"Settings were chosen on questions that are not in this table: {numbers}.")
    return found


def asked(selections: Sequence[Selection]) -> str:
    """How many questions the candidates of each corpus were asked."""
    return "; ".join(
        distinct(
            f"{corpus_name(own.corpus)} {own.asked['forget']} on forget and "
            f"{own.asked['retain']} on retain"
            for own in selections
        )
    )


def candidate_name(name: str) -> str:
    """`r16-a32/epoch5` -> `r16-a32 after 5 epochs`."""
    point, _, epoch = name.partition("/epoch")
    return f"{point} after {epoch} epoch{'' if epoch == '1' else 's'}"


def _cell(own: Selection) -> str:
    return ", ".join(_names(own.corpus, own.objective, own.adapter))


def _names(corpus: str, objective: str, adapter: str) -> list[str]:
    return [corpus_name(corpus), method_name(objective), adapter_name(adapter)]


def _rows(own: Selection) -> Iterator[list[Value]]:
    """The lines of the CSV file, COLUMNS each."""
    cell = own.corpus, own.objective, own.adapter
    questions = own.asked["forget"], own.asked["retain"]
    for name, scores in (("target", own.target), ("retrain", own.retrain)):
        yield [*cell, name, None, *(scores[score] for score in SCORES), *questions, *[None] * 4]
    candidates: Iterable[Any] = own.candidates.itertuples()
    for row in candidates:
        values = (getattr(row, score) for score in SCORES)
        scored = (None if isnan(value) else value for value in values)
        words = ("yes" if mark else "no" for mark in (row.front, row.name == own.chosen))
        yield [*cell, row.point, row.epochs, *scored, *questions, row.seeds, row.diverged, *words]


def _line(row: Sequence[Value]) -> list[str]:
    """A line of the CSV file as one of the Markdown table."""
    found = dict(zip(COLUMNS, row, strict=True))
    name = str(found["point"])
    if found["epochs"] is not None:
        name = candidate_name(f"{name}/epoch{found['epochs']:g}")
    if found["diverged"]:
        name += f" ({found['diverged']} of {found['seeds']} diverged)"
    ticks = ("✓" if found[mark] == "yes" else "" for mark in ("chosen", "front"))
    values = ((score, found[score]) for score in SCORES)
    shown = (number(score, x) if isinstance(x, float) else DIVERGED for score, x in values)
    return [*_names(*map(str, row[:3])), name, *ticks, *shown]
