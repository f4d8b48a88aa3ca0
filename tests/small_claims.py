"""Claims and numbers that are small enough to judge by hand."""

from qunlearn.analysis.claims import Claim
from qunlearn.analysis.summary import Key, Summary

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
