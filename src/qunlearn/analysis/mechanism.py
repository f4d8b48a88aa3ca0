"""Two tables that explain the reversions: what came back, and what each grid left of the update.

`reversion`: a row for each forget metric and variant, a column for each precision.
`mechanism`: a row for each variant and precision: how the update lies on the grid, how much of it
arrives, and how much of the forgetting is lost.
"""

import csv
import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from qunlearn.analysis.metrics import REFERENCES, Cell, Score
from qunlearn.analysis.reversion import FORGET_METRICS
from qunlearn.analysis.summary import Key, Summary, distinct
from qunlearn.experiment.controls import SPARE
from qunlearn.experiment.labels import (
    METRICS,
    adapter_name,
    corpus_name,
    method_name,
    precision_name,
)
from qunlearn.run.files import write_text
from qunlearn.survival.table import MatrixRow, Overall, overall, read_survival

UNDEFINED = "undefined"


@dataclass(frozen=True)
class Arrival:
    """What a grid leaves of one model's update.

    Attributes:
        cell: whose.
        whole: of all matrices as one vector.
        zero_bin: share of weights that the target's grid rounds to 0.
        zero_bin_moved: the same among the weights that moved; None where none did.
    """

    cell: Cell
    whole: Overall
    zero_bin: float
    zero_bin_moved: float | None


NUMBERS: dict[str, Callable[[Arrival], float | None]] = {
    "relative_norm": lambda found: found.whole.relative_d,
    "moved": lambda found: found.whole.moved,
    "rounding_error": lambda found: found.whole.rounding_error,
    "zero_bin": lambda found: found.zero_bin,
    "zero_bin_moved": lambda found: found.zero_bin_moved,
    "flips_predicted": lambda found: found.whole.flips_predicted,
    "flips_fixed": lambda found: found.whole.flips_fixed,
    "flips_adaptive": lambda found: found.whole.flips_adaptive,
    "cosine_fixed": lambda found: found.whole.cosine_fixed,
    "cosine_adaptive": lambda found: found.whole.cosine_adaptive,
    "projection_fixed": lambda found: found.whole.projection_fixed,
    "projection_adaptive": lambda found: found.whole.projection_adaptive,
    "error_fixed": lambda found: found.whole.error_fixed,
    "error_adaptive": lambda found: found.whole.error_adaptive,
}
SHOWN = {
    "relative_norm": "‖d‖/‖W‖",
    "moved": "moved",
    "rounding_error": "grid error",
    "zero_bin": "in zero bin: all",
    "zero_bin_moved": "in zero bin: moved",
    "flips_predicted": "codes flip: predicted",
    "flips_adaptive": "codes flip: measured",
    "cosine_adaptive": "cosine",
    "projection_adaptive": "projection",
}
"""The columns of the Markdown table; the CSV file has all of `NUMBERS`."""


def arrivals(scores: Sequence[Score], survival: Path) -> list[Arrival]:
    """What was measured of every unlearned model and precision of `scores`, in their order.

    Models of which weights were spared have no grid of their own, diverged ones no update.

    Raises:
        InputError: a file is missing or does not parse.
    """
    found = []
    for cell in distinct(score.cell for score in scores):
        if cell.objective in REFERENCES or cell.adapter.startswith(SPARE):
            continue
        rows = read_survival(survival / cell.corpus / cell.model / f"{cell.precision}.csv")
        if rows:
            found.append(Arrival(cell, overall(rows), *_zero_bins(rows)))
    return found


def write_mechanism(
    scores: Sequence[Score],
    found: Mapping[Key, Summary],
    measured: Sequence[Arrival],
    folder: Path,
) -> None:
    """Write mechanism.csv, mechanism.md and reversion.md into `folder`."""
    write_text(folder / "mechanism.csv", _as_csv(scores, measured))
    write_text(folder / "mechanism.md", mechanism_markdown(measured, found))
    write_text(folder / "reversion.md", reversion_markdown(found))


def mechanism_markdown(measured: Sequence[Arrival], found: Mapping[Key, Summary]) -> str:
    """The mechanism table, averaged over seeds."""
    groups: dict[Key, list[Arrival]] = {}
    for arrival in measured:
        cell = arrival.cell
        key = Key(cell.corpus, cell.objective, cell.adapter, cell.precision, "")
        groups.setdefault(key, []).append(arrival)
    header = ["Corpus", "Method", "Variant", "Precision", *SHOWN.values(), "reversion (NLL)"]
    lines = [
        [
            corpus_name(key.corpus),
            method_name(key.objective),
            adapter_name(key.adapter),
            precision_name(key.precision),
            *(_mean(NUMBERS[name], group) for name in SHOWN),
            _reversion(found.get(key._replace(metric="reversion_nll_forget"))),
        ]
        for key, group in groups.items()
    ]
    return _markdown(header, lines, keys=4)


def reversion_markdown(
    found: Mapping[Key, Summary], metrics: Sequence[str] = tuple(FORGET_METRICS)
) -> str:
    """The reversion table: means over seeds, with their 95 % intervals."""
    keys = [key for key in found if key.objective not in REFERENCES]
    precisions = distinct(key.precision for key in keys)
    variants = distinct((key.corpus, key.objective, key.adapter) for key in keys)
    header = ["Corpus", "Metric", "Method", "Variant", *map(precision_name, precisions)]
    lines = [
        [
            corpus_name(corpus),
            METRICS[metric],
            method_name(objective),
            adapter_name(adapter),
            *(
                _reversion(found.get(Key(corpus, objective, adapter, name, f"reversion_{metric}")))
                for name in precisions
            ),
        ]
        for metric in metrics
        for corpus, objective, adapter in variants
    ]
    return _markdown(header, lines, keys=4)


def _as_csv(scores: Sequence[Score], measured: Sequence[Arrival]) -> str:
    lost = {score.cell: score for score in scores if score.metric == "reversion_nll_forget"}
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    keys = ("corpus", "objective", "adapter", "seed", "precision")
    ends = ("reversion_nll_forget", "ci_low", "ci_high", "n")
    writer.writerow([*keys, *NUMBERS, *ends])
    for found in measured:
        score = lost[found.cell]
        value = score.absent if score.value is None else score.value
        interval = (score.ci_low, score.ci_high, score.n)
        writer.writerow(
            [
                *(getattr(found.cell, key) for key in keys),
                *(_digits(number(found)) for number in NUMBERS.values()),
                *map(_digits, (value, *(interval if score.value is not None else ("",) * 3))),
            ]
        )
    return stream.getvalue()


def _zero_bins(rows: Sequence[MatrixRow]) -> tuple[float, float | None]:
    all_weights = math.fsum(row.n for row in rows)
    moved = [(row.zero_bin_moved, row.moved * row.n) for row in rows]
    total = math.fsum(count for share, count in moved if share is not None)
    inside = math.fsum(share * count for share, count in moved if share is not None)
    return (
        math.fsum(row.zero_bin * row.n for row in rows) / all_weights,
        inside / total if total else None,
    )


def _mean(number: Callable[[Arrival], float | None], group: Sequence[Arrival]) -> str:
    values = [value for value in map(number, group) if value is not None]
    return format(fmean(values), "z.3f") if values else UNDEFINED


def _reversion(summary: Summary | None) -> str:
    if summary is None:
        return "–"
    if summary.value is None or summary.low is None or summary.high is None:
        return "diverged" if summary.diverged else UNDEFINED
    shown = f"{summary.value:z.2f} [{summary.low:z.2f}, {summary.high:z.2f}]"
    counted = summary.seeds - summary.diverged - summary.undefined
    return shown if counted == summary.seeds else f"{shown} ({counted}/{summary.seeds} seeds)"


def _digits(value: float | str | None) -> str:
    if value is None:
        return UNDEFINED
    return value if isinstance(value, str) else format(value + 0.0, ".6g")


def _markdown(header: Sequence[str], lines: Sequence[Sequence[str]], keys: int) -> str:
    marks = ["---"] * keys + ["--:"] * (len(header) - keys)
    return "".join(f"| {' | '.join(line)} |\n" for line in (header, marks, *lines))
