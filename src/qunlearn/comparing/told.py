"""The comparison of two runs as Markdown for a person, and as CSV."""

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from qunlearn.comparing.divergence import StageBytes
from qunlearn.comparing.runs import Run
from qunlearn.comparing.scores import NEGLIGIBLE, Row, Verdict
from qunlearn.evidence.inference import ALPHA
from qunlearn.evidence.items import METRICS
from qunlearn.files import write_text
from qunlearn.tables.summary import digits

NAMED = 5  # of a list that may be long
LIMITS = f"""\
* Identical: every item scored the same. Equal to 5 digits: apart by less than {NEGLIGIBLE:g} of the
  value, so that of the tables' six digits the last may differ; not tested.
* Outside noise: the 95 % interval of A - B, paired over the items, does not hold 0, and
  Student's t over the items has p < {ALPHA} after Holm's correction for all tests of this
  comparison. PrivLeak is judged by its own interval and the tests of the AUCs it is made of.
* Within noise is not "equal": it says that other items of the same kind could have shown such a
  difference between runs that do alike. Few items hide large differences.
* Outside noise is not "large": pairing finds differences that are far below the interval that the
  tables print. Column "of ±" is the difference over half of A's own 95 % interval, "of seeds"
  over the standard deviation between seeds, where there are several."""


def told(first: Run, second: Run, stages: Sequence[StageBytes], rows: Sequence[Row]) -> str:
    """The whole comparison as Markdown."""
    lines = [
        f"A: {first.results}, B: {second.results}: {_summary(rows)}",
        "",
        *_surroundings(first, second),
        "",
        *_bytes(stages),
        "",
        *_metrics(rows),
        *_outside(rows),
        *_missing(first, second, stages),
        "",
        LIMITS,
    ]
    return "\n".join(lines) + "\n"


def is_outside(rows: Iterable[Row]) -> bool:
    """Whether a difference is more than noise."""
    return any(row.verdict in (Verdict.OUTSIDE, Verdict.DIVERGED) for row in rows)


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write the rows, six significant digits."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    names = [field.name for field in fields(Row)]
    writer.writerow(names)
    writer.writerows([_cell(getattr(row, name)) for name in names] for row in rows)
    write_text(path, stream.getvalue())


def _summary(rows: Sequence[Row]) -> str:
    counts = [f"{_count(rows, verdict)} {verdict}" for verdict in Verdict if _count(rows, verdict)]
    return f"{len(rows)} metrics of cells: {', '.join(counts)}"


def _count(rows: Iterable[Row], verdict: Verdict) -> int:
    return sum(row.verdict is verdict for row in rows)


def _surroundings(first: Run, second: Run) -> Iterator[str]:
    a, b = first.surroundings(), second.surroundings()
    differing = [name for name in sorted(a.keys() | b.keys()) if a.get(name) != b.get(name)]
    if not differing:
        yield "Same settings, corpora, code, packages, device and threads, as the manifests say."
        return
    yield "Same settings and corpora. Of what the manifests know of the surroundings, there differ:"
    yield ""
    told = [
        (name, *(", ".join(sorted(run.get(name, {"–"}))) for run in (a, b))) for name in differing
    ]
    yield from _table(("", "A", "B"), told)


def _bytes(stages: Sequence[StageBytes]) -> Iterator[str]:
    rows = [
        (each.name, each.same + each.different, each.same, each.example or "–") for each in stages
    ]
    yield from _table(("Stage", "Files in both", "Same bytes", "First that differs"), rows)
    yield ""
    origins = [folder for each in stages for folder in each.origins]
    if origins:
        yield f"They part at {_listed(origins)}: read the same, wrote other bytes."
    elif any(each.different for each in stages):
        yield "No step parts by itself: what differs was changed afterwards."
    else:
        yield "They part nowhere."


def _metrics(rows: Sequence[Row]) -> Iterator[str]:
    told = []
    for metric in METRICS:
        own = [row for row in rows if row.metric == metric]
        largest = max(own, key=lambda row: row.distance)
        counts = [_count(own, verdict) for verdict in Verdict if verdict is not Verdict.DIVERGED]
        told.append((metric, len(own), *counts, *_distance(largest)))
    yield from _table(
        ("Metric", "Cells", "Identical", "Equal", "Within", "Outside", *_HEADS),
        told,
    )
    yield ""
    yield f"Holm's correction is for {sum(row.tests > 0 for row in rows)} tests."


_HEADS = ("Largest difference", "in", "A", "B", "95 % interval", "p (Holm)", "of ±", "of seeds")


def _distance(row: Row) -> tuple[str, ...]:
    return (
        _number(row.distance),
        row.cell if row.distance else "–",
        _number(row.first),
        _number(row.second),
        "–" if row.low is None else f"{_number(row.low)} to {_number(row.high)}",
        _number(row.p_holm),
        _ratio(row, row.spread),
        _ratio(row, row.seed_spread),
    )


def _ratio(row: Row, whole: float | None) -> str:
    return format(row.distance / whole, ".2g") if whole else "–"


def _outside(rows: Sequence[Row]) -> Iterator[str]:
    found = [row for row in rows if row.verdict in (Verdict.OUTSIDE, Verdict.DIVERGED)]
    if found:
        yield ""
        yield "Outside noise:"
        yield ""
        yield from _table(
            ("Metric", "Difference", *_HEADS[1:]), [(row.metric, *_distance(row)) for row in found]
        )


def _missing(first: Run, second: Run, stages: Sequence[StageBytes]) -> Iterator[str]:
    for name, run, other in (("A", first, second), ("B", second, first)):
        if cells := [cell for cell in other.cells if cell not in run.cells]:
            yield ""
            yield f"Cells that {name} lacks: {', '.join(cells)}."
    if alone := [f"{each.name}: {_listed(each.alone)}" for each in stages if each.alone]:
        yield ""
        yield f"In one run alone: {'; '.join(alone)}."


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {rest} more" if rest > 0 else "")


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield f"| {' | '.join(heads)} |"
    yield f"| {' | '.join('---' for _ in heads)} |"
    for row in rows:
        yield f"| {' | '.join(str(cell) for cell in row)} |"


def _number(value: float | None) -> str:
    return "–" if value is None else format(value + 0.0, ".4g")


def _cell(value: object) -> str:
    if value is None:
        return ""
    return digits(value) if isinstance(value, float) else str(value)
