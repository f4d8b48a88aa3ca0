"""Claims and numbers that are small enough to judge by hand."""

from qunlearn.analysis.claims import Claim
from qunlearn.analysis.evidence import Pair
from qunlearn.analysis.summary import Key, Summary
from qunlearn.analysis.verdicts import Absent, Finding


def claim(kind: str, variant: str = "lora", against: str = "full", **changes: object) -> Claim:
    reversion = kind in ("kept", "reverts", "more", "grows")
    fields: dict[str, object] = {
        "id": kind,
        "statement": "It is so.",
        "source": "a test",
        "kind": kind,
        "metrics": ("reversion_nll_forget",) if reversion else ("utility",),
        "variant": variant,
        "against": against,
        "scopes": ("four_bit",),
        "supported": "Yes.",
        "contradicted": "No.",
    }
    return Claim(**{**fields, **changes})  # type: ignore[arg-type]


def key(adapter: str, precision: str, metric: str = "utility") -> Key:
    return Key("news", "npo_gdr", adapter, precision, metric)


def number(value: float, error: float = 1.0, n: int = 64, note: str = "") -> Summary:
    """With a 95 % interval of 1.96 times `error` to both sides."""
    half = 1.959964 * error
    return Summary(value, value - half, value + half, 3, 0, n=n, note=note)


def missing(diverged: int = 0, undefined: int = 0) -> Summary:
    return Summary(None, None, None, 1, diverged, undefined)


def a_pair(
    adapter_a: str, adapter_b: str, finding: Finding | Absent, metric: str = "utility"
) -> dict[Pair, Finding | Absent]:
    return {Pair("news", "npo_gdr", "nf4", metric, adapter_a, adapter_b): finding}
