"""The paper's table, with the standard errors that its numbers of items imply, and ours beside it.

No interval was published. Two formulas give what one run on n items can tell:

* a mean of scores in 0-1 has at most the standard error sqrt(p (1 - p) / n), that of scores that
  are all 0 or 1 with mean p; scores in between, as ROUGE's are, have less;
* the AUC A of n forget against m holdout texts has the standard error of Hanley and McNeil 1982
  (Radiology 143, 29-36): sqrt((A (1 - A) + (n - 1)(Q1 - A^2) + (m - 1)(Q2 - A^2)) / (n m)) with
  Q1 = A / (2 - A) and Q2 = 2 A^2 / (1 + A). PrivLeak = (A / A_retrain - 1) x 100, so that its error
  is that of A times 100 / A_retrain, with A_retrain held fixed.
"""

import math
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from qunlearn.analysis.summary import Key, Summary
from qunlearn.run.csvfile import Value, write_rows
from qunlearn.statistics.inference import INTERVAL

BESIDE = (
    *Key._fields,
    *("ours", "ci_low", "ci_high", "theirs", "difference", "theirs_inside", "note"),
)
NOT_RUN = "not part of this experiment"


def read_table(folder: Path) -> dict[Key, float]:
    """Every published number of an unlearned model, in the order of `table.csv`."""
    table = pd.read_csv(folder / "table.csv")
    keys = table[list(Key._fields)].itertuples(index=False)
    return dict(zip((Key(*key) for key in keys), table["value"], strict=True))


def read_retrain_aucs(folder: Path) -> dict[str, float]:
    """Corpus -> AUC of retrain, in MUSE's orientation, in 0-1."""
    found = pd.read_csv(folder / "reference.csv")
    own = found[(found["objective"] == "retrain") & (found["metric"] == "auc")]
    return dict(zip(own["corpus"], own["value"], strict=True))


def published_numbers(folder: Path) -> dict[Key, Summary]:
    """The table with 95 % intervals, value ± 1.96 standard errors."""
    items = pd.read_csv(folder / "items.csv", index_col="metric")["n"]
    aucs = read_retrain_aucs(folder)
    found = {}
    for key, value in read_table(folder).items():
        n, leak = int(items[key.metric]), key.metric == "privleak"
        error = privleak_error(value, aucs[key.corpus], n) if leak else score_error(value, n)
        found[key] = Summary(value, value - INTERVAL * error, value + INTERVAL * error, 1, n=n)
    return found


def score_error(value: float, n: int) -> float:
    """The largest standard error of a mean `value` (0-100) of `n` scores, in points."""
    share = value / 100
    return 100 * math.sqrt(share * (1 - share) / n)


def auc_error(auc: float, n_forget: int, n_holdout: int) -> float:
    """Hanley and McNeil's standard error of an AUC (0-1)."""
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = auc * (1 - auc) + (n_forget - 1) * (q1 - auc**2) + (n_holdout - 1) * (q2 - auc**2)
    return math.sqrt(max(variance, 0.0) / (n_forget * n_holdout))


def privleak_error(value: float, retrain_auc: float, n: int) -> float:
    """The standard error of a PrivLeak (percent) of `n` texts, half of them forget texts."""
    auc = retrain_auc * (1 + value / 100)
    return 100 / retrain_auc * auc_error(auc, n // 2, n // 2)


def write_beside(path: Path, ours: Mapping[Key, Summary], published: Mapping[Key, float]) -> None:
    """Write `vs_paper.csv`: every published number, in the order of its table, beside ours.

    `difference` is ours minus theirs; `theirs_inside` says whether theirs lies in our 95 %
    interval, which does not include the uncertainty of theirs.
    """
    rows: list[list[Value]] = []
    for key, theirs in published.items():
        own = ours.get(key, Summary(None, None, None, 0, note=NOT_RUN))
        apart: list[Value] = ["", ""]
        if own.numbers is not None:
            value, low, high = own.numbers
            apart = [value - theirs, "yes" if low <= theirs <= high else "no"]
        numbers = own.printed[:3] if key in ours else ("", "", "")
        rows.append([*key, *numbers, theirs, *apart, own.note])
    write_rows(path, BESIDE, rows)
