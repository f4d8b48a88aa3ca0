"""The window of learning rates in which grids take an update back: one variant at several.

Each learning rate is an experiment of its own; what is shown is in its finished tables.
"""

from dataclasses import asdict
from pathlib import Path

import pandas as pd

from qunlearn.analysis.frame import MECHANISM_TABLE, read, select
from qunlearn.analysis.summary import Key, distinct, summaries
from qunlearn.experiment.labels import number, precision_name
from qunlearn.experiment.names import BEFORE
from qunlearn.report.templates import interval, table
from qunlearn.run.csvfile import write_rows
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST

METRIC = "nll_forget"
COLUMNS = (
    *("lr", "precision", "moved", "projection", "nll_forget_bf16", "reversion_nll_forget"),
    *("ci_low", "ci_high", "n", "seeds", "diverged", "undefined", "note"),
)


def read_rate(results: Path, corpus: str, objective: str, adapter: str) -> pd.DataFrame:
    """What the finished run `results` has of a variant.

    Returns:
        A row a precision but bf16, in the experiment's order: COLUMNS, and `value` (the reversion
        as a number, or None) and `shown` (in print). `moved` is the share of the weights that the
        update changes and `projection` how much of it arrives, on average over the seeds.

    Raises:
        InputError: a table or manifest is missing, or has nothing of the variant.
    """
    cell = corpus, objective, adapter
    runs = results.joinpath("unlearned", *cell).glob(f"seed*/{MANIFEST}")
    rates = {read_json(run)["settings"]["lr"] for run in runs}
    found = summaries(results / "tables/summary.csv")
    before = found.get(Key(*cell, BEFORE, METRIC))
    measured = read(results / "tables/mechanism.csv", MECHANISM_TABLE)
    own = select(measured, corpus=corpus, objective=objective, adapter=adapter)
    if len(rates) != 1 or before is None or own.empty:
        raise InputError(
            f"{results}: no finished run of {'/'.join(cell)} at one learning rate; run make window"
        )
    numbers = own[["moved", "projection_adaptive"]].apply(pd.to_numeric, errors="coerce")
    means = numbers.groupby(own["precision"]).mean()
    of_all = {
        "lr": rates.pop(),
        "moved": float(means["moved"][BEFORE]),
        "nll_forget_bf16": before.absent or before.value,
    }
    rows = [
        {
            **of_all,
            "precision": key.precision,
            "projection": float(means["projection_adaptive"][key.precision]),
            "reversion_nll_forget": back.absent or back.value,
            "shown": interval(back),
            **asdict(back),
        }
        for key, back in found.items()
        if key[:3] == cell and key.metric == f"reversion_{METRIC}" and key.precision != BEFORE
    ]
    return pd.DataFrame(rows, dtype=object).rename(columns={"low": "ci_low", "high": "ci_high"})


def write_window(path: Path, rates: pd.DataFrame) -> None:
    """A row a learning rate and precision: six significant digits, or the word for why none."""
    write_rows(path, COLUMNS, rates[list(COLUMNS)].itertuples(index=False))


def window_markdown(rates: pd.DataFrame) -> str:
    """A row a learning rate: what it moved and forgot, and what each grid took back of it."""
    names = map(precision_name, distinct(rates["precision"]))
    head = ["Learning rate", "moved", "NLL forget, bf16", *names]
    rows = []
    for lr, own in rates.groupby("lr", sort=False):
        moved, before = own[["moved", "nll_forget_bf16"]].iloc[0]
        shown = before if isinstance(before, str) else number(METRIC, before)
        rows.append([f"{lr:g}", f"{moved:.3f}", shown, *own["shown"]])
    return table(head, rows, right=head) + "\n"
