"""Every candidate of every grid, chosen or not, as CSV and as Markdown."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from qunlearn.analysis.selection.candidates import Candidate, Scores
from qunlearn.analysis.selection.choice import Selection
from qunlearn.analysis.selection.rules import front
from qunlearn.analysis.selection.sentences import asked, candidate_name, reasons
from qunlearn.experiment.labels import adapter_name, corpus_name, method_name, number
from qunlearn.run.files import write_text

FILE = "candidates"
COLUMNS = (
    *("corpus", "objective", "adapter", "point", "epochs", "knowmem", "utility", "nll_forget"),
    *("n_forget", "n_retain", "seeds", "diverged", "front", "chosen"),
)
_HEADER = (
    *("Corpus", "Method", "Adapter", "Candidate", "Chosen", "Front"),
    *("KnowMem ↓", "Utility ↑", "NLL forget ↑"),
)
_KEYS = 6
_ABOUT = (
    "KnowMem and Utility: ROUGE-L F1 x 100 in bf16, means over the seeds; NLL forget: nats a token "
    "of the forget texts, no part of any rule.",
    "Front: no other candidate is better in KnowMem or Utility and at least as good in the other.",
)


def write_table(selections: Sequence[Selection], folder: Path) -> None:
    """Write `candidates.csv` and `candidates.md` into `folder`."""
    write_text(folder / f"{FILE}.csv", as_csv(selections))
    write_text(folder / f"{FILE}.md", as_markdown(selections))


def as_csv(selections: Sequence[Selection]) -> str:
    """One line a candidate; target and retrain of each cell are lines with point `target`, …

    Scores are empty where every seed diverged; `front` and `chosen` are yes or no.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for selection in selections:
        cell = selection.corpus, selection.objective, selection.adapter
        asked = selection.asked.forget, selection.asked.retain
        for name, scores in _references(selection):
            writer.writerow([*cell, name, "", *_values(scores), *asked, "", "", "", ""])
        best = front(selection.candidates)
        for own in selection.candidates:
            marks = own.name in best, own.name == selection.chosen
            writer.writerow(
                [
                    *cell,
                    *(own.point, f"{own.epochs:g}"),
                    *_values(own.scores),
                    *asked,
                    *(own.seeds, own.diverged),
                    *("yes" if mark else "no" for mark in marks),
                ]
            )
    return stream.getvalue()


def as_markdown(selections: Sequence[Selection]) -> str:
    """A pipe table, a cell's references above its candidates, and the notes under it."""
    lines = [_HEADER, ("---",) * _KEYS + ("--:",) * (len(_HEADER) - _KEYS)]
    for selection in selections:
        cell = (
            corpus_name(selection.corpus),
            method_name(selection.objective),
            adapter_name(selection.adapter),
        )
        for name, scores in _references(selection):
            lines.append((*cell, name, "", "", *_shown(scores)))
        best = front(selection.candidates)
        for own in selection.candidates:
            marks = own.name == selection.chosen, own.name in best
            ticks = ("✓" if mark else "" for mark in marks)
            lines.append((*cell, _name(own), *ticks, *_shown(own.scores)))
    body = ["| " + " | ".join(line) + " |" for line in lines]
    below = [*reasons(selections), f"Questions: {asked(selections)}.", *_ABOUT]
    return "\n".join([*body, "", *(f"* {note}" for note in below)]) + "\n"


def _references(selection: Selection) -> list[tuple[str, Scores]]:
    return [("target", selection.target), ("retrain", selection.retrain)]


def _name(candidate: Candidate) -> str:
    name = candidate_name(candidate.name)
    if not candidate.diverged:
        return name
    return f"{name} ({candidate.diverged} of {candidate.seeds} diverged)"


def _values(scores: Scores | None) -> tuple[str, ...]:
    if scores is None:
        return ("",) * 3
    return tuple(f"{v:.6g}" for v in (scores.knowmem, scores.utility, scores.nll_forget))


def _shown(scores: Scores | None) -> tuple[str, ...]:
    if scores is None:
        return ("diverged",) * 3
    return (
        number("knowmem", scores.knowmem),
        number("utility", scores.utility),
        number("nll_forget", scores.nll_forget),
    )
