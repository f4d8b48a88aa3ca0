"""What the rule foretells of other runs (`resources/predictions.yaml`), and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml

from qunlearn.analysis.forecast_scores import OUTCOMES, foretold
from qunlearn.analysis.frame import MECHANISM_KEY
from qunlearn.analysis.verdicts import MARGIN
from qunlearn.run.files import read_text

PredictionVerdict = Literal["confirmed", "refuted", "in part", "not tested"]
KEYS = (*MECHANISM_KEY, "lr")


@dataclass(frozen=True)
class Prediction:
    """A statement that was made before the runs that answer it."""

    id: str
    statement: str
    forecast: str  # why the rule says so
    against: str  # what would count against it
    lost: Mapping[str, Any] | None = None  # of the cells that revert: values of some of KEYS
    kept: Mapping[str, Any] | None = None  # of their partners, which do not


@dataclass(frozen=True)
class Answer:
    """Over the pairs of a prediction: how much more the first cell reverts than the second."""

    prediction: Prediction
    pairs: int
    above: int  # pairs in which by more than the margin
    undefined: int  # pairs without both numbers, which are no part of the others
    mean: float  # NaN without pairs
    least: float

    @property
    def verdict(self) -> PredictionVerdict:
        """As the head of the file has it."""
        if not self.pairs:
            return "not tested"
        if self.above == self.pairs:
            return "confirmed"
        return "refuted" if self.mean < MARGIN else "in part"


def read_predictions(path: Path) -> list[Prediction]:
    """The predictions of a YAML file, in its order."""
    return [Prediction(**one) for one in yaml.safe_load(read_text(path))["predictions"]]


def answers(predictions: list[Prediction], found: pd.DataFrame) -> list[Answer]:
    """What scored cells, as of `forecasts.scored`, say to each prediction."""
    return [_answer(one, found) for one in predictions]


def _answer(one: Prediction, found: pd.DataFrame) -> Answer:
    if one.lost is None or one.kept is None:
        return Answer(one, 0, 0, 0, float("nan"), float("nan"))
    said = foretold(found)
    sides = (_where(found[said == value], names) for value, names in ((1, one.lost), (0, one.kept)))
    shared = [key for key in KEYS if key not in one.lost or one.lost[key] == one.kept.get(key)]
    first, second = (side[[*shared, OUTCOMES[1]]] for side in sides)
    pairs = first.merge(second, on=shared, suffixes=("_lost", "_kept"))
    more = pairs[f"{OUTCOMES[1]}_lost"] - pairs[f"{OUTCOMES[1]}_kept"]
    known = more.dropna()
    above, undefined = int((known > MARGIN).sum()), len(more) - len(known)
    return Answer(one, len(known), above, undefined, float(known.mean()), float(known.min()))


def _where(found: pd.DataFrame, names: Mapping[str, Any]) -> pd.DataFrame:
    for key, value in names.items():
        found = found[found[key] == value]
    return found
