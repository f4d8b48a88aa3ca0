"""How far seeds and processors move the numbers of an experiment, measured on its runs.

Two runs are compared cell by cell; a run beside itself, seed by seed. The result is a table with a
row for each two runs and metric: `first` and `second` name the runs (the same one where its seeds
are compared), `pairs` counts the cells with a number in both, `median` and `largest` are those of
the absolute differences, in the metric's own unit, and `cell` is where the largest is.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from qunlearn.analysis.metrics import Cell, read_metrics
from qunlearn.analysis.summary import distinct
from qunlearn.experiment.labels import GOALS, METRICS, number
from qunlearn.report.finished import read_table
from qunlearn.report.processors import processors
from qunlearn.run.errors import InputError
from qunlearn.run.files import write_text

COLUMNS = ["first", "second", "metric", "pairs", "median", "largest", "cell"]


class Run:
    """The finished run of an experiment, e.g. `results/mini`.

    Attributes:
        seeds: e.g. (0, 1, 2).
        processors: where it was trained and evaluated, in words.
        values: a row for each cell and metric that has a number: the cell's name, the name without
            its seed, its seed, metric and value.
    """

    def __init__(self, results: Path) -> None:
        """Read the run.

        Raises:
            InputError: a table or manifest is missing or broken.
        """
        scores = read_metrics(results / "tables/metrics.csv")
        cells = distinct(score.cell for score in scores)
        self.seeds = sorted({cell.seed for cell in cells if cell.seed is not None})
        self.processors = processors(results, list(map(_name, cells))) or "of unknown processors"
        rows = [
            {
                "name": _name(score.cell),
                "variant": _name(replace(score.cell, seed=None)),
                "seed": score.cell.seed,
                "metric": score.metric,
                "value": score.value,
            }
            for score in scores
        ]
        self.values = pd.DataFrame(rows).dropna(subset="value")

    @property
    def name(self) -> str:
        """`seeds 0, 1, 2, trained and evaluated on AMD EPYC (AVX2)`."""
        word = "seed" if len(self.seeds) == 1 else "seeds"
        return f"{word} {', '.join(map(str, self.seeds))}, {self.processors}"


def measure(run: Run, others: Sequence[Run] = ()) -> pd.DataFrame:
    """Between the seeds of `run`, and between it and each of `others`, metric by metric.

    Raises:
        InputError: another run used the same processors, so it shows nothing about others.
    """
    for other in others:
        if other.processors == run.processors:
            raise InputError(
                f"both runs were {run.processors}; compare with a run on another processor, or on "
                "this one with some of its instructions disabled (docs/reproducibility.md)"
            )
    return pd.concat([_between(run, second) for second in (run, *others)], ignore_index=True)


def write_spread(path: Path, rows: pd.DataFrame) -> None:
    """Write the rows, six significant digits."""
    write_text(path, rows.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def read_spread(path: Path) -> pd.DataFrame:
    """The rows of such a file.

    Raises:
        InputError: it is missing or lacks a column.
    """
    numbers = {"pairs": int, "median": float, "largest": float}
    return read_table(path, *COLUMNS).astype(numbers)


def spread_notes(rows: pd.DataFrame) -> list[str]:
    """A sentence for each two runs, on the metrics of the main table."""
    found: dict[tuple[str, str], list[str]] = {}
    for first, second, metric, median, largest in zip(
        *(rows[name] for name in ("first", "second", "metric", "median", "largest")), strict=True
    ):
        if metric in GOALS:
            shown = f"{METRICS[metric]} {number(metric, median)} and {number(metric, largest)}"
            found.setdefault((first, second), []).append(shown)
    return [
        ("Another seed" if first == second else f"Another processor ({second})")
        + f" moves a number by (median and largest): {', '.join(shown)}."
        for (first, second), shown in found.items()
    ]


def _name(cell: Cell) -> str:
    return f"{cell.corpus}/{cell.model}/{cell.precision}"


def _between(first: Run, second: Run) -> pd.DataFrame:
    pairs = first.values.merge(second.values, on=["variant", "metric"])
    if first is second:
        pairs = pairs[pairs["seed_x"] < pairs["seed_y"]]  # each two seeds once
    else:
        pairs = pairs[pairs["name_x"] == pairs["name_y"]]
    apart = (pairs["value_x"] - pairs["value_y"]).abs()
    found = apart.groupby(pairs["metric"], sort=False).agg(["size", "median", "max", "idxmax"])
    cells = pairs["name_x"].loc[found["idxmax"]].to_list()
    found = found.drop(columns="idxmax").reset_index().set_axis(COLUMNS[2:-1], axis=1)
    return found.assign(first=first.name, second=second.name, cell=cells)[COLUMNS]
