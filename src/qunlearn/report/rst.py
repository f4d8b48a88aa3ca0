"""Names, numbers and lists as they stand in reStructuredText."""

import re
from collections.abc import Iterable, Mapping, Sequence

from qunlearn.analysis.summary import Summary
from qunlearn.analysis.verdicts import ReversionVerdict
from qunlearn.experiment import labels as style

_WORDS: Mapping[ReversionVerdict, str] = {
    "came back": "came back in",
    "survived": "survived in",
    "inconclusive": "is inconclusive in",
    "undefined": "is undefined in",
    "diverged": "training diverged in",
}
_MARKUP = re.compile(r"([\\*`_|])")


def escaped(text: str) -> str:
    """`text` without meaning in reStructuredText."""
    return _MARKUP.sub(r"\\\1", text)


def corpus(name: str) -> str:
    """A corpus as the tables print it."""
    return escaped(style.corpus_name(name))


def method(name: str) -> str:
    """An objective as the tables print it."""
    return escaped(style.method_name(name))


def adapter(name: str) -> str:
    """A variant of the update as the tables print it."""
    return escaped(style.adapter_name(name))


def precision(name: str) -> str:
    """A precision as the tables print it."""
    return escaped(style.precision_name(name))


def interval(summary: Summary) -> str:
    """`0.88 [0.87, 0.90]` of a reversion; says how many seeds have one where not all do."""
    if summary.value is None or summary.low is None or summary.high is None:
        return "undefined" if summary.undefined else "diverged"
    shown = f"{summary.value:z.2f} [{summary.low:z.2f}, {summary.high:z.2f}]"
    left = summary.seeds - summary.diverged - summary.undefined
    return shown if left == summary.seeds else f"{shown} ({left} of {summary.seeds} seeds)"


def tallied(counts: Mapping[ReversionVerdict, int]) -> str:
    """`came back in 2, survived in 28`, or `survived in all 30`."""
    total = sum(counts.values())
    if len(counts) == 1:
        verdict, _ = next(iter(counts.items()))
        return f"{_WORDS[verdict]} {f'all {total}' if total > 1 else 'the only one'}"
    return ", ".join(f"{_WORDS[verdict]} {count}" for verdict, count in counts.items())


def listed(items: Iterable[str]) -> str:
    """`a, b and c`."""
    *first, last = items
    return f"{', '.join(first)} and {last}" if first else last


def spread(values: Sequence[float], form: str) -> str:
    """`0.04 to 0.05`, or the one number where both ends look alike."""
    low, high = format(min(values), f"z{form}"), format(max(values), f"z{form}")
    return low if low == high else f"{low} to {high}"
