"""`tests.csv`: one paired test a row.

Where there is no number there is a word: `diverged` for the difference of a model without scores,
beside empty cells; `one seed` or `two seeds` for a p, which takes three; `undefined` for a p, an
effect or a minimum effect that does not exist.
"""

import csv
import io
from collections.abc import Iterable
from pathlib import Path

from qunlearn.analysis.comparisons import Comparison
from qunlearn.analysis.metrics import DIVERGED, UNDEFINED
from qunlearn.analysis.summary import TEST_COLUMNS, digits
from qunlearn.run.files import write_text
from qunlearn.statistics.inference import too_few


def write_tests(path: Path, experiment: str, rows: Iterable[Comparison]) -> None:
    """Write `rows` in their order: six significant digits, the same bytes for the same numbers."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(TEST_COLUMNS)
    for row in rows:
        keys = (row.a.corpus, row.family, row.metric, row.a.objective)
        models = (row.a.adapter, row.a.precision, row.b.adapter, row.b.precision)
        writer.writerow([experiment, *keys, *models, *_numbers(row), row.seeds, row.note])
    write_text(path, stream.getvalue())


def _numbers(row: Comparison) -> list[str]:
    """The cells from `difference` to `n`."""
    if row.difference is None:
        return [DIVERGED, *[""] * 7]
    why = too_few(row.seeds) or UNDEFINED
    p = [why if number is None else digits(number) for number in (row.p, row.p_holm)]
    first, last = (
        [UNDEFINED if number is None else digits(number) for number in numbers]
        for numbers in (
            (row.difference, row.low, row.high),
            (row.effect_dz, row.minimum_effect),
        )
    )
    return [*first, *p, *last, str(row.n)]
