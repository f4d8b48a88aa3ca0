"""How right the forecasts from the weights were.

A cell counts as lost where more than half of the forgetting comes back (reversion), or, by the
rule's own statement about weights, where less than half of the update arrives (projection).
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from qunlearn.analysis.forecasts import write_table
from qunlearn.analysis.frame import FLOATS, FORECAST_TABLE, SCORED_TABLE, read, select
from qunlearn.analysis.summary import distinct, read_metrics
from qunlearn.experiment.names import BEFORE, Cell
from qunlearn.run.errors import InputError
from qunlearn.run.files import sha256
from qunlearn.run.manifest import MANIFEST
from qunlearn.survival.forecast import THRESHOLD

LOST = 0.5
"""A cell is lost above this reversion, or below this projection."""
OUTCOMES = ("projection", "reversion_nll_forget", "reversion_verbmem", "reversion_knowmem")
ALL, DECIDED = "all", "all but on the edge"


def scored(results: Path, sealed: bool = False) -> pd.DataFrame:
    """The forecast of a finished experiment and what came back: SCORED_TABLE, NaN for no number.

    Args:
        sealed: whether the forecast must be older than every evaluation of an unlearned model.

    Raises:
        InputError: a table is missing or broken, or the forecast is not older.
    """
    path = results / "tables/forecast.csv"
    found, metrics = read(path, FORECAST_TABLE), read_metrics(results / "tables/metrics.csv")
    cells = [Cell(*row[:5]) for row in found.itertuples(index=False, name=None)]
    for cell in cells if sealed else []:
        evaluated = results / "eval" / cell.corpus / cell.model / cell.precision / MANIFEST
        if evaluated.stat().st_mtime_ns <= path.stat().st_mtime_ns:
            raise InputError(
                f"{path}: {evaluated} is older, so that this is no forecast; delete "
                f"{results / 'eval'} and give the same command again"
            )
    before = [metrics[replace(cell, precision=BEFORE), "nll_forget"] for cell in cells]
    found["nll_forget_bf16"] = [own.value for own in before]
    for name in OUTCOMES[1:]:
        found[name] = [metrics[cell, name].value for cell in cells]
    intervals = [metrics[cell, OUTCOMES[1]] for cell in cells]
    found["ci_low"] = [own.low for own in intervals]
    found["ci_high"] = [own.high for own in intervals]
    found["forecast_sha256"] = sha256(path)
    return _numbers(found[list(SCORED_TABLE)])


def write_scored(path: Path, found: pd.DataFrame) -> None:
    """Write `scored.csv`, of one or more experiments."""
    write_table(path, SCORED_TABLE, found)


def read_scored(path: Path) -> pd.DataFrame:
    """A `scored.csv`, as of `scored`; raises as `frame.read`."""
    return _numbers(read(path, SCORED_TABLE))


def foretold(found: pd.DataFrame) -> "pd.Series[float]":
    """1 where the bare rule says that the cell is lost, 0 where not, NaN without a ratio."""
    return _flag(found["ratio"], found["ratio"] < THRESHOLD)


def happened(found: pd.DataFrame, outcome: str) -> "pd.Series[float]":
    """1 where the cell was lost by an outcome of OUTCOMES, 0 where not, NaN where undefined."""
    values = found[outcome]
    return _flag(values, values < LOST if outcome == "projection" else values > LOST)


class Score(NamedTuple):
    """How right the rule was in some cells, by one outcome."""

    outcome: str
    variant: str  # or ALL, or DECIDED
    hits: int  # foretold lost, and lost
    alarms: int  # foretold lost, but kept
    misses: int  # not foretold, but lost
    kept: int  # neither
    undefined: int  # no forecast, or nothing was forgotten
    low: float  # the ends of Wilson's 95 % interval of the share that was right
    high: float
    auc: float  # of the ratio: P(that of a kept cell > that of a lost one); NaN without both kinds

    @property
    def cells(self) -> int:
        """With forecast and outcome."""
        return self.hits + self.alarms + self.misses + self.kept


def scores(found: pd.DataFrame) -> list[Score]:
    """A score for each outcome: of all cells, of those off the edge, and of each variant's."""
    groups = {ALL: found, DECIDED: found[found["verdict"] != "on the edge"]}
    groups |= {name: select(found, adapter=name) for name in distinct(found["adapter"])}
    return [_score(own, outcome, name) for outcome in OUTCOMES for name, own in groups.items()]


def wrong(found: pd.DataFrame, outcome: str = OUTCOMES[1]) -> pd.DataFrame:
    """The cells whose forecast was wrong by an outcome."""
    said, was = foretold(found), happened(found, outcome)
    return found[said.notna() & was.notna() & (said != was)]


def _score(own: pd.DataFrame, outcome: str, variant: str) -> Score:
    from scipy.stats import binomtest, mannwhitneyu  # half a second

    all_said, all_was = foretold(own), happened(own, outcome)
    known = all_said.notna() & all_was.notna()
    said, was = (flags[known].to_numpy() == 1 for flags in (all_said, all_was))
    ratios = own["ratio"][known].to_numpy(float)
    pairs = (said, was), (said, ~was), (~said, was), (~said, ~was)
    hits, alarms, misses, kept = (int((a & b).sum()) for a, b in pairs)
    low = high = auc = np.nan
    if len(said):
        interval = binomtest(hits + kept, len(said)).proportion_ci(method="wilson")
        low, high = float(interval.low), float(interval.high)
    if was.any() and not was.all():
        above = mannwhitneyu(ratios[~was], ratios[was], method="asymptotic").statistic
        auc = float(above) / int(was.sum() * (~was).sum())
    absent = len(own) - len(said)
    return Score(outcome, variant, hits, alarms, misses, kept, absent, low, high, auc)


def _flag(values: "pd.Series[float]", true: "pd.Series[bool]") -> "pd.Series[float]":
    return true.astype(float).where(values.notna())


def _numbers(found: pd.DataFrame) -> pd.DataFrame:
    names = [name for name in SCORED_TABLE if name in FLOATS]
    numbers = found[names].apply(pd.to_numeric, errors="coerce").astype(float)
    return found.assign(**numbers)
