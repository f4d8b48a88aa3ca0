"""How far seeds and processors move the numbers of an experiment, measured on its runs.

Two runs are compared cell by cell; a run beside itself, seed by seed.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from statistics import median

from qunlearn.analysis.metrics import Cell, read_metrics
from qunlearn.analysis.summary import digits, distinct
from qunlearn.experiment.labels import GOALS, METRICS, number
from qunlearn.report.processors import processors
from qunlearn.run.csvfile import read_rows
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
        InputError: another run is of the same processors, so that it says nothing of others.
    """
    for other in others:
        if other.processors == run.processors:
            raise InputError(
                f"both runs were {run.processors}; give one of another processor, or of this one "
                "with some of its instructions forbidden (docs/reproducibility.md)"
            )
    return [spread for second in (run, *others) for spread in _spreads(run, second)]


def write_spread(path: Path, rows: Sequence[Spread]) -> None:
    """Write the rows, six significant digits."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(field.name for field in fields(Spread))
    for row in rows:
        writer.writerow(digits(x) if isinstance(x, float) else x for x in astuple(row))
    write_text(path, stream.getvalue())


def read_spread(path: Path) -> list[Spread]:
    """The rows of such a file.

    Raises:
        InputError: it is missing or has other columns.
    """
    columns = [field.name for field in fields(Spread)]
    return [_parse(row) for _, row in read_rows(path, columns, "make readme")]


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
        what = "Another seed moves" if first == second else f"Another processor ({second}) moves"
        found.append(f"{what} a number by, median and most over all cells: {', '.join(shown)}.")
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


def _parse(row: dict[str, str]) -> Spread:
    return Spread(
        row["first"],
        row["second"],
        row["metric"],
        int(row["pairs"]),
        float(row["median"]),
        float(row["largest"]),
        row["cell"],
    )
