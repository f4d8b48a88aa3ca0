"""What became of each model's forgetting on each grid: it came back, survived, or neither is known.

A reversion whose whole interval lies above `MARGIN` came back, one whose whole interval lies below
it survived. In between nothing is decided at this number of items.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from qunlearn.analysis.metrics import REFERENCES
from qunlearn.analysis.reversion import BEFORE
from qunlearn.analysis.summary import Key, Summary, distinct
from qunlearn.quantize.method import Precision

MARGIN = 0.1
Verdict = Literal["back", "survived", "undecided", "undefined", "diverged"]
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


@dataclass(frozen=True)
class Outcome:
    """One forget metric of one unlearned variant on one grid.

    Attributes:
        key: whose; its metric is that of the forgetting, e.g. `nll_forget`.
        reversion: over the seeds.
    """

    key: Key
    reversion: Summary

    @property
    def verdict(self) -> Verdict:
        """What is known of the forgetting."""
        found = self.reversion
        if found.value is None or found.low is None or found.high is None:
            return "undefined" if found.undefined else "diverged"
        if found.low > MARGIN:
            return "back"
        return "survived" if found.high < MARGIN else "undecided"

    @property
    def midrise(self) -> bool:
        """Whether the grid has a boundary at 0: a control's, that nobody would deploy."""
        return Precision.parse(self.key.precision).midrise


def outcomes(summaries: Mapping[Key, Summary], metric: str) -> list[Outcome]:
    """The outcomes by one forget metric, in the order given; bf16 is what they start from."""
    row = f"reversion_{metric}"
    return [
        Outcome(key._replace(metric=metric), summary)
        for key, summary in summaries.items()
        if key.metric == row and key.objective not in REFERENCES and key.precision != BEFORE
    ]


def counted(found: Iterable[Outcome]) -> dict[Verdict, int]:
    """How many there are of each verdict that occurs, in the order of `VERDICTS`."""
    verdicts = [outcome.verdict for outcome in found]
    return {verdict: verdicts.count(verdict) for verdict in VERDICTS if verdict in verdicts}


def by_adapter(found: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    """The outcomes of each variant of the update, in the order of their first appearance."""
    found = list(found)
    return {
        adapter: [outcome for outcome in found if outcome.key.adapter == adapter]
        for adapter in distinct(outcome.key.adapter for outcome in found)
    }
