"""The window of learning rates in which grids take an update back: one variant at several.

Each learning rate is an experiment of its own; what is shown is in its finished tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from qunlearn.analysis.frame import MECHANISM_TABLE, read
from qunlearn.analysis.summary import Key, Summary, summaries
from qunlearn.experiment.labels import precision_name
from qunlearn.experiment.names import BEFORE
from qunlearn.report.tables import table
from qunlearn.report.templates import interval
from qunlearn.run.csvfile import write_rows
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST

METRIC = "nll_forget"
COLUMNS = (
    *("lr", "precision", "moved", "projection", "nll_forget_bf16", "reversion_nll_forget"),
    *("ci_low", "ci_high", "n", "seeds", "diverged", "undefined", "note"),
)


@dataclass(frozen=True)
class Rate:
    """A variant of the update at one learning rate.

    Attributes:
        lr: the learning rate.
        moved: share of the weights that the update changes, on average over the seeds.
        before: NLL of the forget texts in bf16, in nats a token.
        reversions: by precision, in the experiment's order.
        projections: likewise: how much of the update arrives, on average over the seeds.
    """

    lr: float
    moved: float
    before: Summary
    reversions: dict[str, Summary]
    projections: dict[str, float]


def read_rate(results: Path, corpus: str, objective: str, adapter: str) -> Rate:
    """What the finished run `results` has of a variant.

    Raises:
        InputError: a table or manifest is missing, or has nothing of the variant.
    """
    cell = corpus, objective, adapter
    runs = results.joinpath("unlearned", *cell).glob(f"seed*/{MANIFEST}")
    rates = {read_json(run)["settings"]["lr"] for run in runs}
    found = summaries(results / "tables/summary.csv")
    before = found.get(Key(*cell, BEFORE, METRIC))
    frame = read(results / "tables/mechanism.csv", MECHANISM_TABLE)
    own = frame[(frame[["corpus", "objective", "adapter"]] == list(cell)).all(axis=1)]
    if len(rates) != 1 or before is None or own.empty:
        raise InputError(
            f"{results}: no finished run of {'/'.join(cell)} at one learning rate; run make window"
        )
    numbers = own[["moved", "projection_adaptive"]].apply(pd.to_numeric, errors="coerce")
    means = numbers.groupby(own["precision"]).mean()
    keys = [key for key in found if key[:3] == cell and key.metric == f"reversion_{METRIC}"]
    reversions = {key.precision: found[key] for key in keys if key.precision != BEFORE}
    projections = {name: float(means["projection_adaptive"][name]) for name in reversions}
    return Rate(rates.pop(), float(means["moved"][BEFORE]), before, reversions, projections)


def write_window(path: Path, rates: Sequence[Rate]) -> None:
    """A row a learning rate and precision: six significant digits, or the word for why none."""
    rows = [
        (
            *(rate.lr, name, rate.moved, rate.projections[name]),
            *(rate.before.value or rate.before.absent, own.absent or own.value),
            *(own.low, own.high, own.n, own.seeds, own.diverged, own.undefined, own.note),
        )
        for rate in rates
        for name, own in rate.reversions.items()
    ]
    write_rows(path, COLUMNS, rows)


def window_markdown(rates: Sequence[Rate]) -> str:
    """A row a learning rate: what it moved and forgot, and what each grid took back of it."""
    names = list(rates[0].reversions)
    head = ["Learning rate", "moved", "NLL forget, bf16", *map(precision_name, names)]
    rows = [
        [
            f"{rate.lr:g}",
            f"{rate.moved:.3f}",
            rate.before.absent or f"{rate.before.value:.2f}",
            *(interval(rate.reversions[name]) for name in names),
        ]
        for rate in rates
    ]
    return table(head, rows, right=head) + "\n"
