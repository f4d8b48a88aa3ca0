"""Two tables that explain the reversions: what came back, and what each grid left of the update.

`reversion`: a row for each forget metric and variant, a column for each precision.
`mechanism`: a row for each variant and precision: how the update lies on the grid, how much of it
arrives, and how much of the forgetting is lost.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from qunlearn.analysis.frame import MECHANISM_NUMBERS, MECHANISM_TABLE
from qunlearn.analysis.metrics import Score
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
from qunlearn.experiment.names import REFERENCES, UNDEFINED, Cell
from qunlearn.run.files import write_text
from qunlearn.survival.table import overall, read_survival

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
"""The columns of the Markdown table; the CSV file has all of MECHANISM_NUMBERS."""


@dataclass(frozen=True)
class Arrival:
    """What a grid leaves of one model's update.

    Attributes:
        cell: whose.
        numbers: those of MECHANISM_NUMBERS, of all matrices as one vector; None where undefined.
            `zero_bin` is the share of weights that the target's grid rounds to 0, `zero_bin_moved`
            the same among the weights that moved.
    """

    cell: Cell
    numbers: Mapping[str, float | None]


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
        if rows := read_survival(survival / cell.corpus / cell.model / f"{cell.precision}.csv"):
            whole = overall(rows)
            known = {"relative_norm": whole["relative_d"], **whole}
            found.append(Arrival(cell, {name: known[name] for name in MECHANISM_NUMBERS}))
    return found


def write_mechanism(
    scores: Sequence[Score],
    found: Mapping[Key, Summary],
    measured: Sequence[Arrival],
    folder: Path,
) -> None:
    """Write mechanism.csv, mechanism.md and reversion.md into `folder`."""
    lost = {score.cell: score for score in scores if score.metric == "reversion_nll_forget"}
    MECHANISM_TABLE.write(
        folder / "mechanism.csv",
        (
            (
                *(cell.corpus, cell.objective, cell.adapter, cell.seed, cell.precision),
                *(UNDEFINED if value is None else value for value in numbers.values()),
                *(back.absent or back.value, back.ci_low, back.ci_high, back.n),
            )
            for cell, numbers, back in ((a.cell, a.numbers, lost[a.cell]) for a in measured)
        ),
    )
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
            *_names(key),
            precision_name(key.precision),
            *(_mean(arrival.numbers[name] for arrival in group) for name in SHOWN),
            _reversion(found.get(key._replace(metric="reversion_nll_forget"))),
        ]
        for key, group in groups.items()
    ]
    return _markdown(header, lines)


def reversion_markdown(
    found: Mapping[Key, Summary], metrics: Sequence[str] = tuple(FORGET_METRICS)
) -> str:
    """The reversion table: means over seeds, with their 95 % intervals."""
    keys = [key for key in found if key.objective not in REFERENCES]
    precisions = distinct(key.precision for key in keys)
    header = ["Corpus", "Metric", "Method", "Variant", *map(precision_name, precisions)]
    lines = []
    for metric in metrics:
        for key in distinct(
            key._replace(precision="", metric=f"reversion_{metric}") for key in keys
        ):
            corpus, *names = _names(key)
            shares = (found.get(key._replace(precision=name)) for name in precisions)
            lines.append([corpus, METRICS[metric], *names, *map(_reversion, shares)])
    return _markdown(header, lines)


def _names(key: Key) -> list[str]:
    return [corpus_name(key.corpus), method_name(key.objective), adapter_name(key.adapter)]


def _mean(numbers: Iterable[float | None]) -> str:
    values = [value for value in numbers if value is not None]
    return format(fmean(values), "z.3f") if values else UNDEFINED


def _reversion(summary: Summary | None) -> str:
    if summary is None:
        return "–"
    if summary.value is None:
        return summary.absent
    shown = f"{summary.value:z.2f} [{summary.low:z.2f}, {summary.high:z.2f}]"
    if summary.counted == summary.seeds:
        return shown
    return f"{shown} ({summary.counted}/{summary.seeds} seeds)"


def _markdown(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    marks = ["---"] * 4 + ["--:"] * (len(header) - 4)
    return "".join(f"| {' | '.join(line)} |\n" for line in (header, marks, *lines))
