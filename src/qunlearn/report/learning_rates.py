"""The window of learning rates in which grids take an update back: one variant at several.

Each learning rate is an experiment of its own; what is shown is in its finished tables.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from qunlearn.analysis.summary import Key, Summary, digits, summaries
from qunlearn.experiment.labels import precision_name
from qunlearn.experiment.names import BEFORE
from qunlearn.report.finished import read_table
from qunlearn.report.markdown import table
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, write_text
from qunlearn.run.manifest import MANIFEST

METRIC = "nll_forget"
_MEASURED = ("projection_adaptive", "moved")


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
    runs = sorted((results / "unlearned" / corpus / objective / adapter).glob(f"seed*/{MANIFEST}"))
    rates = {read_json(run)["settings"]["lr"] for run in runs}
    frame = read_table(results / "tables/mechanism.csv", *Key._fields[:4], *_MEASURED)
    variant = (frame["objective"] == objective) & (frame["adapter"] == adapter)
    measured = frame[variant & (frame["corpus"] == corpus)]
    found = summaries(results / "tables/summary.csv")
    before = found.get(Key(corpus, objective, adapter, BEFORE, METRIC))
    if len(rates) != 1 or before is None or measured.empty:
        raise InputError(
            f"{results}: no finished run of {corpus}/{objective}/{adapter} at one learning rate; "
            "run make window"
        )
    precisions = [
        key.precision
        for key in found
        if key[:3] == (corpus, objective, adapter)
        and key.metric == METRIC
        and key.precision != BEFORE
    ]

    def mean(column: str, precision: str) -> float:
        return float(measured.loc[measured["precision"] == precision, column].astype(float).mean())

    return Rate(
        rates.pop(),
        mean("moved", BEFORE),
        before,
        {
            name: found[Key(corpus, objective, adapter, name, f"reversion_{METRIC}")]
            for name in precisions
        },
        {name: mean("projection_adaptive", name) for name in precisions},
    )


def write_window(path: Path, rates: Sequence[Rate]) -> None:
    """A row a learning rate and precision: six significant digits, or the word for why none."""
    rows = [
        {
            "lr": digits(rate.lr),
            "precision": name,
            "moved": digits(rate.moved),
            "projection": digits(rate.projections[name]),
            "nll_forget_bf16": _digits(rate.before.value) or rate.before.absent,
            "reversion_nll_forget": _digits(found.value) or found.absent,
            "ci_low": _digits(found.low),
            "ci_high": _digits(found.high),
            "n": found.n or "",
            "seeds": found.seeds,
            "diverged": found.diverged,
            "undefined": found.undefined,
            "note": found.note,
        }
        for rate in rates
        for name, found in rate.reversions.items()
    ]
    write_text(path, pd.DataFrame(rows).to_csv(index=False, lineterminator="\n"))


def window_markdown(rates: Sequence[Rate]) -> str:
    """A row a learning rate: what it moved and forgot, and what each grid took back of it."""
    names = list(rates[0].reversions)
    head = ["Learning rate", "moved", "NLL forget, bf16", *map(precision_name, names)]
    rows = [
        [
            f"{rate.lr:g}",
            f"{rate.moved:.3f}",
            rate.before.absent if rate.before.value is None else f"{rate.before.value:.2f}",
            *(_shown(rate.reversions[name]) for name in names),
        ]
        for rate in rates
    ]
    return table(head, rows, right=head) + "\n"


def _shown(found: Summary) -> str:
    if found.value is None or found.low is None or found.high is None:
        return found.absent
    return f"{found.value:z.2f} [{found.low:z.2f}, {found.high:z.2f}]"


def _digits(number: float | None) -> str:
    return "" if number is None else digits(number)
