"""From the records of all cells to their summaries: each metric over its seeds and items."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from qunlearn.analysis.cells import Evaluations, check_same_items
from qunlearn.analysis.reversion import FORGET_METRICS, reversion
from qunlearn.analysis.summary import Key, Summary
from qunlearn.experiment.names import DIVERGED, METRICS, REFERENCES, UNDEFINED
from qunlearn.statistics.bootstrap import estimate
from qunlearn.statistics.items import Statistic


def summarise(evaluations: Path, cells: Sequence[str]) -> dict[Key, Summary]:
    """Every metric of each variant at each precision, and the reversions of what was unlearned.

    Args:
        evaluations: the folder that holds the records and `metrics.json` of each cell.
        cells: their names; variants come in the order in which they appear.

    Raises:
        InputError: a cell, or what its PrivLeak or reversion refers to, was not evaluated, is
            broken, or is of other items.
    """
    read = Evaluations(evaluations, cells)
    found: dict[Key, Summary] = {}
    for variant, names in read.variants().items():
        for metric in METRICS:
            by_seed = {name: read.items(name, metric) or DIVERGED for name in names.values()}
            found[Key(*variant, metric)] = _summary(by_seed, metric)
        if variant.objective in REFERENCES:
            continue
        for metric, definition in FORGET_METRICS.items():
            shares = {name: reversion(read, name, metric) for name in names.values()}
            found[Key(*variant, f"reversion_{metric}")] = _summary(shares, definition.items)
    return found


def absences(seeds: int, diverged: int, undefined: int) -> list[str]:
    """In words, how many of the seeds have no number."""
    of = "1 seed" if seeds == 1 else f"{seeds} seeds"
    counts = ((DIVERGED, diverged), (UNDEFINED, undefined))
    return [f"{word} in {count} of {of}" for word, count in counts if count]


def _summary(by_seed: Mapping[str, Statistic | str], metric: str) -> Summary:
    """Summarise what each cell has: a statistic, or the word for why it has none."""
    numbers = {name: each for name, each in by_seed.items() if not isinstance(each, str)}
    words = [each for each in by_seed.values() if isinstance(each, str)]
    counts = len(by_seed), words.count(DIVERGED), words.count(UNDEFINED)
    missing = absences(*counts)
    if not numbers:
        return Summary(None, None, None, *counts, note="; ".join(missing))
    check_same_items(metric, numbers.items())
    known = estimate(list(numbers.values()))
    n = sum(next(iter(numbers.values())).sizes)
    note = "; ".join([*missing, *known.limits])
    return Summary(known.value, known.low, known.high, *counts, n, note)
