"""Which formats would let an update arrive that is lost in another of about as many bits."""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from qunlearn.experiment.labels import precision_name
from qunlearn.quantize.method import Precision
from qunlearn.report.pair_forecast import FORMATS, Forecast, short
from qunlearn.report.templates import table

SLACK = 0.5
"""Bits per weight that a proposal may have more than the format that it replaces."""
GROUP = 64
"""Weights that share a scale in the mid-rise grids that are tried: a block of bitsandbytes."""


class Repair(NamedTuple):
    """A format in which the update is lost, and what is proposed instead, the best first."""

    lost: Forecast
    instead: list[Forecast]


def candidates(found: Sequence[Forecast]) -> list[str]:
    """What to forecast beside `found`, to repair its losses; none where nothing is lost."""
    lost = [Precision.parse(row.format) for row in found if row.verdict == "lost"]
    midrise = [
        f"rtn{bits}g{GROUP}m" for bits in sorted({one.bits for one in lost} & {*range(2, 9)})
    ]
    known = {row.format for row in found}
    return [name for name in (*FORMATS, *midrise) if lost and name not in known]


def repairs(found: Sequence[Forecast], asked: Collection[str]) -> list[Repair]:
    """For each format of `asked` in which the update is lost: what would let it arrive.

    That is each format of `found` of at most SLACK bits more whose forecast is `arrives`, the
    highest cosine first; then grids without a level at zero (mid-rise), even if they amplify.
    """
    made = []
    for lost in (row for row in found if row.format in asked and row.verdict == "lost"):
        instead = [
            row
            for row in found
            if row.bits <= lost.bits + SLACK
            and (row.verdict == "arrives" or Precision.parse(row.format).midrise)
        ]
        instead.sort(key=lambda row: (row.verdict != "arrives", -row.cosine))
        made.append(Repair(lost, instead))
    return made


def repair_markdown(found: Sequence[Repair]) -> str:
    """A paragraph, and a table with a row a proposal; a line where nothing is lost."""
    if not found:
        return "Repair: the update is lost in none of these formats.\n"
    head = ["Lost in", "bits", "instead", "bits instead", "projection", "cosine", "forecast"]
    rows = []
    for lost, instead in found:
        start = precision_name(lost.format), f"{lost.bits:.2f}"
        for row in instead:
            own = precision_name(row.format), f"{row.bits:.2f}"
            rows.append([*start, *own, short(row.projection), short(row.cosine), row.verdict])
        if not instead:
            rows.append([*start, "none of those known", "–", "–", "–", "–"])
    return (
        f"Repair: formats of at most {SLACK:g} bits a weight more whose own forecast is *arrives*, "
        "the highest cosine first; then mid-rise grids, which have no level at zero (a control; "
        "engines have no such format). Better, where the training can be repeated: keep float32 "
        "master weights, or round to bf16 stochastically.\n\n"
        f"{table(head, rows, right=(head[1], *head[3:6]))}\n"
    )
