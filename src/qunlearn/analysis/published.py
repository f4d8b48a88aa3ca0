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

from qunlearn.analysis.frame import Schema, columns
from qunlearn.analysis.summary import Key, Summary
from qunlearn.run.csvfile import Value, write_rows
from qunlearn.run.errors import InputError
from qunlearn.statistics.inference import INTERVAL

_REPAIR = "restore the repository's file"
TABLE = Schema(
    columns("corpus objective adapter precision metric value:float"), Key._fields, _REPAIR
)
REFERENCE = Schema(
    columns("corpus objective precision metric value:float source"),
    ("corpus", "objective", "precision", "metric"),
    _REPAIR,
)
ITEMS = Schema(columns("metric n:int"), ("metric",), _REPAIR)
BESIDE = (
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


def read_table(folder: Path) -> dict[Key, float]:
    """Every published number of an unlearned model, in the file's order.

    Raises:
        InputError: the file is missing or broken.
    """
    return {Key(*row[1:6]): row.value for row in TABLE.rows(folder / "table.csv")}


def read_retrain_aucs(folder: Path) -> dict[str, float]:
    """Corpus -> AUC of the retrained model, in MUSE's orientation, in 0-1.

    Raises:
        InputError: the file is missing or broken.
    """
    return {
        row.corpus: row.value
        for row in REFERENCE.rows(folder / "reference.csv")
        if (row.objective, row.metric) == ("retrain", "auc")
    }


def published_numbers(folder: Path) -> dict[Key, Summary]:
    """The table with 95 % intervals, value ± 1.96 standard errors.

    Raises:
        InputError: a file is missing or broken, or does not cover the table.
    """
    items = {row.metric: row.n for row in ITEMS.rows(folder / "items.csv")}
    aucs = read_retrain_aucs(folder)
    return {key: _number(key, value, items, aucs) for key, value in read_table(folder).items()}


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


def write_beside(
    path: Path, ours: Mapping[Key, Summary], published: Mapping[Key, float] | None
) -> None:
    """Write `vs_paper.csv`: every published number, in the order of its table, beside ours.

    `difference` is ours minus theirs; `theirs_inside` says whether theirs lies in our 95 %
    interval, which does not include the uncertainty of theirs.

    Args:
        ours: of this experiment.
        published: None writes one row that says that there is nothing to compare with.
    """
    if published is None:
        write_rows(path, BESIDE, [[""] * (len(BESIDE) - 1) + [NO_COUNTERPART]])
    else:
        rows = ([*key, *_beside(ours.get(key), theirs)] for key, theirs in published.items())
        write_rows(path, BESIDE, rows)


def _beside(ours: Summary | None, theirs: float) -> list[Value]:
    if ours is None:
        return ["", "", "", theirs, "", "", NOT_RUN]
    if ours.value is None or ours.low is None or ours.high is None:
        return [ours.absent, "", "", theirs, "", "", ours.note]
    inside = "yes" if ours.low <= theirs <= ours.high else "no"
    return [ours.value, ours.low, ours.high, theirs, ours.value - theirs, inside, ours.note]


def _number(key: Key, value: float, items: Mapping[str, int], aucs: Mapping[str, float]) -> Summary:
    if key.metric not in items or key.corpus not in aucs:
        raise InputError(
            f"table.csv: {key.corpus} {key.metric} has no number of items in items.csv "
            "or no AUC of retrain in reference.csv; add it"
        )
    n = items[key.metric]
    if key.metric == "privleak":
        error = privleak_error(value, aucs[key.corpus], n)
    else:
        error = score_error(value, n)
    half = INTERVAL * error
    return Summary(value, value - half, value + half, seeds=1, diverged=0, n=n)
