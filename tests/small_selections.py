"""Answers of candidates, and a choice among four of them."""

from typing import Any

from qunlearn.analysis.selection.choice import Rule, Selection, choose, gather

CELL = "news/npo_gdr/lora"


def answers(**models: tuple[float, ...] | None) -> dict[str, Any]:
    """Of a file: KnowMem, Utility and forget NLL (2) of each model; None: it diverged."""
    items = {"knowmem": [{}] * 3, "utility": [{}] * 4}
    names = ("knowmem", "utility", "nll_forget")
    return {
        name: {"status": "ok", **dict(zip(names, (*scores, 2.0), strict=False)), "items": items}
        if scores
        else {"status": "diverged"}
        for name, scores in models.items()
    }


def selection(rule: Rule = "muse", retrain: float = 20.0, **changes: Any) -> Selection:
    none = {"epoch10": None}
    seeds = {
        "r2": [answers(epoch1=(30, 58, 1.25), epoch10=(15, 41, 2.5))],
        "r4": [answers(epoch1=(16, 40), **none), answers(epoch1=None, **none)],
    }
    arguments: dict[str, Any] = {
        "cell": CELL,
        "rule": rule,
        "questions": "split",
        "named": "r2/epoch1",
        "asked": {"forget": 30, "retain": 29},
        "target": {"knowmem": 80.0, "utility": 60.0, "nll_forget": 0.1},
        "retrain": {"knowmem": retrain, "utility": 55.0, "nll_forget": 4.0},
        "candidates": gather(["r2", "r4"], seeds),
    }
    return choose(**arguments | changes)
