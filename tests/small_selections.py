"""A made-up choice among four candidates."""

from typing import Any

from qunlearn.analysis.selection.choice import Rule, Selection, choose
from qunlearn.analysis.selection.scores import Asked, Candidate, Scores

CELL = "news/npo_gdr/lora"


def selection(rule: Rule = "muse", retrain: float = 20.0, **changes: Any) -> Selection:
    """MUSE's rule takes (15, 41), at or below retrain's KnowMem; (16, 40) is beaten by it."""
    candidates = [
        Candidate("r2", "epoch1", Scores(30, 58, 1.25), seeds=1, diverged=0),
        Candidate("r2", "epoch10", Scores(15, 41, 2.5), seeds=1, diverged=0),
        Candidate("r4", "epoch1", Scores(16, 40, 2.0), seeds=2, diverged=1),
        Candidate("r4", "epoch10", None, seeds=1, diverged=1),
    ]
    arguments: dict[str, Any] = {
        "cell": CELL,
        "rule": rule,
        "questions": "split",
        "named": "r2/epoch1",
        "asked": Asked(30, 29),
        "target": Scores(80, 60, 0.1),
        "retrain": Scores(retrain, 55, 4.0),
        "candidates": candidates,
    }
    return choose(**arguments | changes)
