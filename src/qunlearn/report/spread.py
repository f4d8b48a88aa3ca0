"""How far seeds and processors move the numbers of an experiment, measured on its runs.

Two runs are compared cell by cell; a run beside itself, seed by seed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from statistics import median

import pandas as pd

from qunlearn.analysis.metrics import Cell, read_metrics
from qunlearn.analysis.summary import distinct
from qunlearn.experiment.labels import GOALS, METRICS, number
from qunlearn.report.finished import read_table
from qunlearn.report.processors import processors
from qunlearn.run.errors import InputError
from qunlearn.run.files import write_text


@dataclass(frozen=True)
class Spread:
    """How far two runs lie apart in one metric, in its own unit.

    Attributes:
        first, second: the runs as `Run.name` has them; the same where a run's seeds are compared.
        pairs: of cells that have a number in both.
        median, largest: of their absolute differences.
        cell: where the largest is.
    """

    first: str
    second: str
    metric: str
    pairs: int
    median: float
    largest: float
    cell: str


class Run:
    """The finished run of an experiment, e.g. `results/mini`.

    Attributes:
        seeds: e.g. (0, 1, 2).
        processors: where it was trained and evaluated, in words.
        values: of each cell and metric that has a number.
    """

    def __init__(self, results: Path) -> None:
        """Read the run.

        Raises:
            InputError: a table or manifest is missing or broken.
        """
        scores = read_metrics(results / "tables/metrics.csv")
        cells = distinct(score.cell for score in scores)
        self.seeds = sorted({cell.seed for cell in cells if cell.seed is not None})
        names = [f"{cell.corpus}/{cell.model}/{cell.precision}" for cell in cells]
        self.processors = processors(results, names) or "of unknown processors"
        self.values = {
            (score.cell, score.metric): score.value for score in scores if score.value is not None
        }

    @property
    def name(self) -> str:
        """`seeds 0, 1, 2, trained and evaluated on AMD EPYC (AVX2)`."""
        word = "seed" if len(self.seeds) == 1 else "seeds"
        return f"{word} {', '.join(map(str, self.seeds))}, {self.processors}"


def measure(run: Run, others: Sequence[Run] = ()) -> list[Spread]:
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
    return [spread for second in (run, *others) for spread in _spreads(run, second)]


def write_spread(path: Path, rows: Sequence[Spread]) -> None:
    """Write the rows, six significant digits."""
    frame = pd.DataFrame(map(asdict, rows))
    write_text(path, frame.to_csv(index=False, float_format="%.6g", lineterminator="\n"))


def read_spread(path: Path) -> list[Spread]:
    """The rows of such a file.

    Raises:
        InputError: it is missing or lacks a column.
    """
    columns = [field.name for field in fields(Spread)]
    numbers = {"pairs": int, "median": float, "largest": float}
    frame = read_table(path, *columns).astype(numbers)
    return [Spread(*row) for row in frame[columns].itertuples(index=False)]


def spread_notes(rows: Sequence[Spread]) -> list[str]:
    """A sentence for each two runs, on the metrics of the main table."""
    found = []
    for first, second in distinct((row.first, row.second) for row in rows):
        own = [row for row in rows if (row.first, row.second) == (first, second)]
        shown = [
            f"{METRICS[row.metric]} {number(row.metric, row.median)} and "
            f"{number(row.metric, row.largest)}"
            for row in own
            if row.metric in GOALS
        ]
        what = "Another seed" if first == second else f"Another processor ({second})"
        found.append(f"{what} moves a number by (median and largest): {', '.join(shown)}.")
    return found


def _spreads(first: Run, second: Run) -> Iterator[Spread]:
    found: dict[str, list[tuple[float, Cell]]] = {}
    for (cell, metric), value in first.values.items():
        same = [cell]
        if second is first:  # each two seeds once
            same = [replace(cell, seed=seed) for seed in first.seeds if seed > (cell.seed or 0)]
            same = same if cell.seed is not None else []
        for other in same:
            if (theirs := second.values.get((other, metric))) is not None:
                found.setdefault(metric, []).append((abs(value - theirs), cell))
    for metric, differences in found.items():
        largest, cell = max(differences, key=lambda each: each[0])
        middle = median(difference for difference, _ in differences)
        name = f"{cell.corpus}/{cell.model}/{cell.precision}"
        yield Spread(first.name, second.name, metric, len(differences), middle, largest, name)
