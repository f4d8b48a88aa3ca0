"""The paper's table, with the standard errors that its numbers of items imply.

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

from qunlearn.analysis.numbers import INTERVAL
from qunlearn.analysis.summary import Key, Summary
from qunlearn.run.csvfile import read_rows
from qunlearn.run.errors import InputError

TABLE, REFERENCE, ITEMS = "table.csv", "reference.csv", "items.csv"
ANEW = "take the repository's file"  # what a user is told about a file that is at fault


def read_table(folder: Path) -> dict[Key, float]:
    """Every published number of an unlearned model, in the file's order.

    Raises:
        InputError: the file is missing or broken.
    """
    path = folder / TABLE
    rows = read_rows(path, (*Key._fields, "value"), ANEW)
    return {
        Key(*(row[name] for name in Key._fields)): _float(path, line, row["value"])
        for line, row in rows
    }


def read_retrain_aucs(folder: Path) -> dict[str, float]:
    """Corpus -> AUC of the retrained model, in MUSE's orientation, in 0-1.

    Raises:
        InputError: the file is missing or broken.
    """
    path = folder / REFERENCE
    rows = read_rows(path, (*Key._fields[:2], "precision", "metric", "value", "source"), ANEW)
    return {
        row["corpus"]: _float(path, line, row["value"])
        for line, row in rows
        if (row["objective"], row["metric"]) == ("retrain", "auc")
    }


def published_numbers(folder: Path) -> dict[Key, Summary]:
    """The table with 95 % intervals, value ± 1.96 standard errors.

    Raises:
        InputError: a file is missing or broken, or does not cover the table.
    """
    path = folder / ITEMS
    items = {
        row["metric"]: int(_float(path, line, row["n"]))
        for line, row in read_rows(path, ("metric", "n"), ANEW)
    }
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


def _number(key: Key, value: float, items: Mapping[str, int], aucs: Mapping[str, float]) -> Summary:
    if key.metric not in items or key.corpus not in aucs:
        raise InputError(
            f"{TABLE}: {key.corpus} {key.metric} has no number of items in {ITEMS} "
            f"or no AUC of retrain in {REFERENCE}; add it"
        )
    n = items[key.metric]
    if key.metric == "privleak":
        error = privleak_error(value, aucs[key.corpus], n)
    else:
        error = score_error(value, n)
    half = INTERVAL * error
    return Summary(value, value - half, value + half, seeds=1, diverged=0, n=n)


def _float(path: Path, line: int, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise InputError(f"{path}: line {line} does not parse ({error}); mend it") from error
