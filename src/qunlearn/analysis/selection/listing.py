"""Every candidate of every grid, chosen or not, as CSV and as Markdown."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from qunlearn.analysis.selection.choice import Selection
from qunlearn.analysis.selection.rules import front
from qunlearn.analysis.selection.scores import Candidate, Scores
from qunlearn.analysis.selection.sentences import asked, candidate_name, reasons
from qunlearn.experiment.labels import adapter_name, corpus_name, method_name, number
from qunlearn.experiment.names import DIVERGED, REFERENCES
from qunlearn.run.csvfile import Value
from qunlearn.run.csvfile import as_csv as csv_text
from qunlearn.run.files import write_text

SCORES = ("knowmem", "utility", "nll_forget")
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


def write_table(selections: Sequence[Selection], folder: Path) -> None:
    """Write `candidates.csv` and `candidates.md` into `folder`."""
    write_text(folder / "candidates.csv", as_csv(selections))
    write_text(folder / "candidates.md", as_markdown(selections))


def as_csv(selections: Sequence[Selection]) -> str:
    """One line a candidate; target and retrain of each cell are lines with point `target`, …

    Scores are empty where every seed diverged; `front` and `chosen` are yes or no.
    """
    return csv_text(COLUMNS, _rows(selections))


def as_markdown(selections: Sequence[Selection]) -> str:
    """A pipe table, a cell's references above its candidates, and the notes under it."""
    lines: list[Sequence[str]] = [_HEADER, ("---",) * 6 + ("--:",) * 3]
    for own in selections:
        cell = corpus_name(own.corpus), method_name(own.objective), adapter_name(own.adapter)
        for name in REFERENCES:
            lines.append((*cell, name, "", "", *_shown(getattr(own, name))))
        best = front(own.candidates)
        for candidate in own.candidates:
            marks = candidate.name == own.chosen, candidate.name in best
            ticks = ("✓" if mark else "" for mark in marks)
            lines.append((*cell, _name(candidate), *ticks, *_shown(candidate.scores)))
    body = ["| " + " | ".join(line) + " |" for line in lines]
    below = [*reasons(selections), f"Questions: {asked(selections)}.", *_ABOUT]
    return "\n".join([*body, "", *(f"* {note}" for note in below)]) + "\n"


def _rows(selections: Sequence[Selection]) -> Iterator[list[Value]]:
    for own in selections:
        cell = own.corpus, own.objective, own.adapter
        numbers = own.asked.forget, own.asked.retain
        for name in REFERENCES:
            yield [*cell, name, None, *getattr(own, name).values, *numbers, *[None] * 4]
        best = front(own.candidates)
        for candidate in own.candidates:
            scores = candidate.scores.values if candidate.scores else (None,) * 3
            marks = candidate.name in best, candidate.name == own.chosen
            counts = candidate.seeds, candidate.diverged
            words = ("yes" if mark else "no" for mark in marks)
            yield [*cell, candidate.point, candidate.epochs, *scores, *numbers, *counts, *words]


def _name(candidate: Candidate) -> str:
    name = candidate_name(candidate.name)
    if not candidate.diverged:
        return name
    return f"{name} ({candidate.diverged} of {candidate.seeds} diverged)"


def _shown(scores: Scores | None) -> list[str]:
    if scores is None:
        return [DIVERGED] * 3
    return [number(name, value) for name, value in zip(SCORES, scores.values, strict=True)]
