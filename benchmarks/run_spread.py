"""How far seeds and processors move the numbers of an experiment, measured on its runs.

Two runs are compared cell by cell; a run beside itself, seed by seed. The result is a table with a
row for each two runs and metric: `first` and `second` name the runs (the same one where its seeds
are compared), `pairs` counts the cells with a number in both, `median` and `largest` are those of
the absolute differences, in the metric's own unit, and `cell` is where the largest is.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from qunlearn.analysis.summary import distinct, read_metrics
from qunlearn.experiment.labels import GOALS, METRICS, number
from qunlearn.report.footnotes import processors
from qunlearn.run.errors import InputError

COLUMNS = ["first", "second", "metric", "pairs", "median", "largest", "cell"]


@dataclass(frozen=True)
class Run:
    """The finished run of an experiment, e.g. `results/mini`.

    Attributes:
        name: `seeds 0, 1, 2, trained and evaluated on AMD EPYC (AVX2)`.
        processors: the end of it.
        values: a row for each cell and metric that has a number: the fields of the cell, `cell`
            (its name), `metric` and `value`.
    """

    name: str
    processors: str
    values: pd.DataFrame

    @classmethod
    def read(cls, results: Path) -> "Run":
        """Read a run.

        Raises:
            InputError: a table or manifest is missing or broken.
        """
        rows = [
            {
                **asdict(cell),
                "cell": f"{cell.corpus}/{cell.model}/{cell.precision}",
                "metric": metric,
                "value": own.value,
            }
            for (cell, metric), own in read_metrics(results / "tables/metrics.csv").items()
        ]
        seeds = sorted({row["seed"] for row in rows if row["seed"] is not None})
        ran = processors(results, distinct(row["cell"] for row in rows)) or "of unknown processors"
        name = f"seed{'s' * (len(seeds) > 1)} {', '.join(map(str, seeds))}, {ran}"
        return cls(name, ran, pd.DataFrame(rows).dropna(subset="value"))


def measure(run: Run, others: Sequence[Run] = ()) -> pd.DataFrame:
    """Between the seeds of `run`, and between it and each of `others`, metric by metric.

    Raises:
        InputError: another run used the same processors, so it shows nothing about others.
    """
    if run.processors in [other.processors for other in others]:
        raise InputError(
            f"both runs were {run.processors}; compare with a run on another processor, or on "
            "this one with some of its instructions disabled (docs/reproducibility.md)"
        )
    return pd.concat([_between(run, second) for second in (run, *others)], ignore_index=True)


def spread_notes(rows: pd.DataFrame) -> list[str]:
    """A sentence for each two runs, on the metrics of the main table."""
    notes = []
    for (first, second), own in rows[rows["metric"].isin(GOALS)].groupby(COLUMNS[:2], sort=False):
        numbers = zip(own["metric"], own["median"], own["largest"], strict=True)
        shown = ", ".join(
            f"{METRICS[metric]} {number(metric, median)} and {number(metric, largest)}"
            for metric, median, largest in numbers
        )
        what = "Another seed" if first == second else f"Another processor ({second})"
        notes.append(f"{what} moves a number by (median and largest): {shown}.")
    return notes


def _between(first: Run, second: Run) -> pd.DataFrame:
    keys = ["corpus", "objective", "adapter", "precision", "metric"]
    pairs = first.values.merge(second.values, on=keys)
    if first is second:
        pairs = pairs[pairs["seed_x"] < pairs["seed_y"]]  # each two seeds once
    else:
        pairs = pairs[pairs["cell_x"] == pairs["cell_y"]]
    apart = (pairs["value_x"] - pairs["value_y"]).abs()
    found = apart.groupby(pairs["metric"], sort=False).agg(["size", "median", "max", "idxmax"])
    cells = pairs["cell_x"].loc[found["idxmax"]].to_list()
    found = found.drop(columns="idxmax").reset_index().set_axis(COLUMNS[2:-1], axis=1)
    return found.assign(first=first.name, second=second.name, cell=cells)[COLUMNS]
