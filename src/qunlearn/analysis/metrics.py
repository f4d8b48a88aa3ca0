"""`metrics.csv`: every number of an experiment, one a row.

Where there is no number the value is a word that says why, beside an empty interval and n:
`diverged` where the training did, `undefined` for a reversion of what was never forgotten.
"""

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qunlearn.run.csvfile import read_rows
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, write_text

METRICS = ("verbmem", "knowmem", "privleak", "utility", "auc", "nll_forget", "nll_retain")
REFERENCES = ("target", "retrain")
DIVERGED = "diverged"
UNDEFINED = "undefined"
COLUMNS = (
    "experiment",
    "corpus",
    "objective",
    "adapter",
    "seed",
    "precision",
    "metric",
    "value",
    "ci_low",
    "ci_high",
    "n",
)


@dataclass(frozen=True)
class Cell:
    """One evaluated model at one precision.

    Attributes:
        corpus: e.g. `news`.
        objective: e.g. `npo_gdr`, or `target` or `retrain`.
        adapter: `full`, `full_bf16`, `lora` or a control's name; `none` for target and retrain.
        seed: of the unlearning run; of target and retrain it is None where they serve all seeds.
        precision: e.g. `nf4`.
    """

    corpus: str
    objective: str
    adapter: str
    seed: int | None
    precision: str

    @classmethod
    def parse(cls, name: str) -> "Cell":
        """Read `<corpus>/<model id>/<precision>`.

        The model id is `<objective>/<adapter>/seed<k>`, or `target` or `retrain`, followed by
        `/seed<k>` where each seed has its own.

        Raises:
            InputError: the name has another form.
        """
        match name.split("/"):
            case [corpus, reference, precision] if reference in REFERENCES:
                cell = cls(corpus, reference, "none", None, precision)
            case [corpus, reference, seed, precision] if (
                reference in REFERENCES and seed.startswith("seed") and seed[4:].isdecimal()
            ):
                cell = cls(corpus, reference, "none", int(seed[4:]), precision)
            case [corpus, objective, adapter, seed, precision] if (
                seed.startswith("seed") and seed[4:].isdecimal()
            ):
                cell = cls(corpus, objective, adapter, int(seed[4:]), precision)
            case _:
                raise _bad_cell(name)
        if not (cell.corpus and cell.objective and cell.adapter and cell.precision):
            raise _bad_cell(name)
        return cell

    @property
    def model(self) -> str:
        """The model id."""
        parts = [self.objective]
        if self.objective not in REFERENCES:
            parts.append(self.adapter)
        if self.seed is not None:
            parts.append(f"seed{self.seed}")
        return "/".join(parts)


@dataclass(frozen=True)
class Score:
    """A row of `metrics.csv`.

    Attributes:
        value: in the metric's own unit (percent for VerMem, KnowMem, Utility and PrivLeak, nats a
            token for the NLLs); None where there is none.
        ci_low, ci_high: the 95 % interval over the evaluated items; None likewise.
        n: the evaluated items; None likewise.
        absent: why there is no number: `diverged` or `undefined`; empty where there is one.
    """

    experiment: str
    cell: Cell
    metric: str
    value: float | None
    ci_low: float | None
    ci_high: float | None
    n: int | None
    absent: str = ""

    @classmethod
    def missing(cls, experiment: str, cell: Cell, metric: str, absent: str) -> "Score":
        """A row without a number."""
        return cls(experiment, cell, metric, None, None, None, None, absent)


def collect(evaluations: Path, cells: Sequence[str], experiment: str) -> list[Score]:
    """The scores of `cells`, read from `<evaluations>/<cell>/metrics.json`, in their order.

    Raises:
        InputError: no cell is given, one is given twice or misnamed, or its file is missing, has
            another status than `ok` and `diverged`, or lacks a finite number.
    """
    if not cells:
        raise InputError("cells: none given; name at least one <corpus>/<model id>/<precision>")
    twice = sorted({cell for cell in cells if cells.count(cell) > 1})
    if twice:
        raise InputError(f"cells: {', '.join(twice)} given more than once; name each cell once")
    scores = []
    for name in cells:
        cell = Cell.parse(name)
        scores += _read_cell(evaluations / name / "metrics.json", name, cell, experiment)
    return scores


def write_metrics(path: Path, scores: Iterable[Score]) -> None:
    """Write `scores` in their order: six significant digits, the same bytes for the same scores."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for score in scores:
        cell = score.cell
        writer.writerow(
            [
                score.experiment,
                cell.corpus,
                cell.objective,
                cell.adapter,
                "" if cell.seed is None else cell.seed,
                cell.precision,
                score.metric,
                score.absent if score.value is None else _digits(score.value),
                "" if score.ci_low is None else _digits(score.ci_low),
                "" if score.ci_high is None else _digits(score.ci_high),
                "" if score.n is None else score.n,
            ]
        )
    write_text(path, stream.getvalue())


def read_metrics(path: Path) -> list[Score]:
    """The rows of a `metrics.csv`.

    Raises:
        InputError: the file is missing or empty, has other columns, or a row does not parse.
    """
    rows = read_rows(path, COLUMNS, "collect the metrics")
    return [_parse_row(path, line, row) for line, row in rows]


def _read_cell(path: Path, name: str, cell: Cell, experiment: str) -> list[Score]:
    if not path.is_file():
        raise InputError(f"cell '{name}': {path} is missing; evaluate this cell first")
    content = _mapping(read_json(path))
    status = content.get("status")
    if status == DIVERGED:
        return [Score.missing(experiment, cell, metric, DIVERGED) for metric in METRICS]
    if status != "ok":
        raise InputError(f"{path}: status is {status!r}, not 'ok' or 'diverged'; evaluate again")
    metrics = _mapping(content.get("metrics"))
    scores = []
    for metric in METRICS:
        entry = _mapping(metrics.get(metric))
        value, low, high, n = (
            _finite(path, metric, key, entry.get(key))
            for key in ("value", "ci_low", "ci_high", "n")
        )
        scores.append(Score(experiment, cell, metric, value, low, high, int(n)))
    return scores


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _finite(path: Path, metric: str, key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(
            f"{path}: {metric}.{key} is {value!r}, not a finite number; evaluate again"
        )
    return value


def _parse_row(path: Path, line: int, row: Mapping[str, str]) -> Score:
    experiment, corpus, objective, adapter, seed, precision, metric, value, low, high, n = (
        row.values()
    )
    try:
        cell = Cell(corpus, objective, adapter, int(seed) if seed else None, precision)
        if value in (DIVERGED, UNDEFINED):
            return Score.missing(experiment, cell, metric, value)
        return Score(experiment, cell, metric, float(value), float(low), float(high), int(n))
    except ValueError as error:
        raise InputError(
            f"{path}: line {line} does not parse ({error}); collect it again"
        ) from error


def _digits(value: float) -> str:
    return format(value + 0.0, ".6g")  # the sum makes a negative zero positive


def _bad_cell(name: str) -> InputError:
    return InputError(
        f"cell '{name}': write <corpus>/<objective>/<adapter>/seed<k>/<precision>, "
        "<corpus>/target/<precision> or <corpus>/retrain/<precision>"
    )
