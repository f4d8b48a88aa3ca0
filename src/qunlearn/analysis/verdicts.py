"""The one rule by which a number becomes a verdict.

The whole 95 % interval lies on one side of a threshold, or the number decides nothing.

A reversion is compared with `MARGIN`. Above it the forgetting *came back*, below it it *survived*;
with the margin inside the interval it is *inconclusive*: this many items cannot tell. Without a
number it is `undefined` or `diverged`. Claims are judged by the same rule: see `claims`.
"""

from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from qunlearn.analysis.summary import Key, Summary
from qunlearn.experiment.names import BEFORE, REFERENCES
from qunlearn.quantize.method import Precision
from qunlearn.statistics.inference import DETECTABLE

MARGIN = 0.1
"""A tenth of the way back to the target counts as survived."""
ReversionVerdict = Literal["came back", "survived", "inconclusive", "undefined", "diverged"]
ClaimVerdict = Literal["supported", "contradicted", "undecided"]


class Outcome(NamedTuple):
    """One forget metric of one unlearned variant on one grid.

    Attributes:
        key: whose; its metric is that of the forgetting, e.g. `nll_forget`.
        reversion: over the seeds.
    """

    key: Key
    reversion: Summary

    @property
    def verdict(self) -> ReversionVerdict:
        """What is known of the forgetting."""
        found = self.reversion
        if found.low is None:
            return "undefined" if found.undefined else "diverged"
        words: dict[str | None, ReversionVerdict] = {"above": "came back", "below": "survived"}
        return words.get(found.side(MARGIN), "inconclusive")

    @property
    def could_show(self) -> float:
        """The smallest true difference from the margin that these items would show, power 0.8."""
        return DETECTABLE * self.reversion.error

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


def by_adapter(found: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    """The outcomes of each variant of the update, in the order of their first appearance."""
    groups: dict[str, list[Outcome]] = {}
    for outcome in found:
        groups.setdefault(outcome.key.adapter, []).append(outcome)
    return groups
