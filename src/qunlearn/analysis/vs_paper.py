"""`vs_paper.csv`: our numbers beside the paper's, where an experiment repeats the paper's."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qunlearn.analysis.summary import Key, Summary, digits
from qunlearn.run.files import write_text

COLUMNS = (
    *Key._fields,
    "ours",
    "ci_low",
    "ci_high",
    "theirs",
    "difference",
    "theirs_inside",
    "note",
)
NO_COUNTERPART = "this experiment has no published counterpart"
NOT_RUN = "not part of this experiment"


@dataclass(frozen=True)
class Comparison:
    """A published number and ours.

    Attributes:
        key: of what.
        ours: None where this experiment has no such cell.
        theirs: in the metric's own unit.
    """

    key: Key
    ours: Summary | None
    theirs: float


def compare(ours: Mapping[Key, Summary], published: Mapping[Key, float]) -> list[Comparison]:
    """Every published number, in the order of its table, beside ours."""
    return [Comparison(key, ours.get(key), theirs) for key, theirs in published.items()]


def write_comparison(path: Path, rows: Sequence[Comparison] | None) -> None:
    """Write the rows; None: one row that says that there is nothing to compare with.

    `difference` is ours minus theirs; `theirs_inside` says whether theirs lies in our 95 %
    interval, which knows nothing of the doubt about theirs.
    """
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    if rows is None:
        writer.writerow([""] * (len(COLUMNS) - 1) + [NO_COUNTERPART])
    for row in rows or ():
        writer.writerow([*row.key, *_fields(row)])
    write_text(path, stream.getvalue())


def _fields(row: Comparison) -> list[str]:
    theirs = digits(row.theirs)
    ours = row.ours
    if ours is None:
        return ["", "", "", theirs, "", "", NOT_RUN]
    if ours.value is None or ours.low is None or ours.high is None:
        return [ours.absent, "", "", theirs, "", "", ours.note]
    inside = "yes" if ours.low <= row.theirs <= ours.high else "no"
    ends = [digits(number) for number in (ours.value, ours.low, ours.high)]
    return [*ends, theirs, digits(ours.value - row.theirs), inside, ours.note]
