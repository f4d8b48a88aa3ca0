"""Scores, summaries and claims that are small enough to check by hand."""

import re

from qunlearn.analysis.claims import Claim
from qunlearn.analysis.summary import Key, Scores, Summary
from qunlearn.experiment.names import METRICS, Cell

CELLS = [
    f"news/{model}/{precision}"
    for model in ("target", "retrain", "npo_gdr/full/seed0", "npo_gdr/lora/seed0")
    for precision in ("bf16", "rtn3g64")
]


def single(value: float | str, below: float = 1.0, above: float = 2.0, n: int = 32) -> Summary:
    """The number of one run with its interval, or the word for why there is none."""
    if isinstance(value, str):
        return missing(int(value == "diverged"), int(value == "undefined"))
    return Summary(value, value - below, value + above, 1, n=n)


def cell_scores() -> Scores:
    """Of cell 0 the metrics 0, 1, …, of cell 1 10, 11, …; the last cell diverged."""
    return {
        (Cell.parse(name), metric): single("diverged" if name == CELLS[-1] else x, 1.25, 2.75, n)
        for start, name in enumerate(CELLS)
        for x, n, metric in zip(range(10 * start, 90), range(30, 40), METRICS, strict=False)
    }


def by_key(scores: Scores) -> dict[Key, Summary]:
    """As if each had one seed; of several the last one."""
    return {Key.of(cell, metric): own for (cell, metric), own in scores.items()}


def unpadded(text: str) -> str:
    """A Markdown table without the spaces that line up its columns: `| a   |` -> `| a |`."""
    return re.sub(r" +", " ", text)


# --- Claims and numbers that are small enough to judge by hand ------------------------------------

NLL = "reversion_nll_forget"
SUMS = {
    "level": [(1, "lora", "same"), (-1, "full", "same")],
    "drop": [(1, "full", "bf16"), (-1, "lora", "bf16"), (-1, "full", "same"), (1, "lora", "same")],
    "nearer_zero": [(1, "full", "same"), (-1, "lora", "same")],
    "keeps": [(1, "lora", "same")],
    "reverts": [(1, "lora", "same")],
    "more": [(1, "full_bf16", "same"), (-1, "full", "same")],
    "grows": [(1, "full", "same"), (-1, "full", "four_bit")],
}


def claim(name: str, **changes: object) -> Claim:
    """A claim with one of SUMS for its number."""
    of_scores = name in ("level", "drop", "nearer_zero")
    fields: dict[str, object] = {
        "id": name,
        "statement": "It is so.",
        "source": "a test",
        "metrics": ("utility",) if of_scores else (NLL,),
        "number": tuple(SUMS[name]),
        "side": "below" if name == "keeps" else "above",
        "scopes": ("coarsest",) if name == "grows" else ("four_bit",),
        "supported": "Yes.",
        "contradicted": "No.",
        "distance": name == "nearer_zero",
    }
    return Claim(**{**fields, **changes})  # type: ignore[arg-type]


def key(adapter: str, precision: str, metric: str = "utility") -> Key:
    return Key("news", "npo_gdr", adapter, precision, metric)


def number(value: float, error: float = 1.0, n: int = 64, note: str = "") -> Summary:
    """With a 95 % interval of 1.96 times `error` to both sides."""
    half = 1.959964 * error
    return Summary(value, value - half, value + half, 3, n=n, note=note)


def missing(diverged: int = 0, undefined: int = 0) -> Summary:
    return Summary(None, None, None, 1, diverged, undefined)
