"""The one rule by which a number becomes a verdict.

The whole 95 % interval lies on one side of a threshold, or the number decides nothing.

A reversion is compared with `MARGIN`. Above it the forgetting *came back*, below it it *survived*;
with the margin inside the interval it is *inconclusive*: this many items cannot tell. Without a
number it is `undefined` or `diverged`.

A claim says on which side of its threshold (0, or `MARGIN` for reversion) a number lies.

* supported: the whole interval lies on the claimed side;
* contradicted: it lies on the other side;
* undecided: the interval holds the threshold, or there is no number, or the claim compares two
  variants and its p after Holm's correction is above `ALPHA` or, with fewer than three seeds,
  missing.

Reversion is judged by its interval alone, which with one seed is over the items of one run.
An explanation of reversion cannot be contradicted where nothing reverts: it is undecided there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from qunlearn.analysis.summary import Key, Summary, distinct
from qunlearn.experiment.names import BEFORE, REFERENCES
from qunlearn.quantize.method import Precision
from qunlearn.statistics.inference import ALPHA, DETECTABLE, too_few

MARGIN = 0.1
"""A tenth of the way back to the target counts as survived."""
ReversionVerdict = Literal["came back", "survived", "inconclusive", "undefined", "diverged"]
ClaimVerdict = Literal["supported", "contradicted", "undecided"]
VERDICTS: tuple[ClaimVerdict, ...] = get_args(ClaimVerdict)


def side(low: float, high: float, threshold: float) -> Literal["above", "below"] | None:
    """On which side of a threshold a whole interval lies; None where it holds the threshold."""
    if low > threshold:
        return "above"
    return "below" if high < threshold else None


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
    def verdict(self) -> ReversionVerdict:
        """What is known of the forgetting."""
        found = self.reversion
        if found.low is None or found.high is None:
            return "undefined" if found.undefined else "diverged"
        match side(found.low, found.high, MARGIN):
            case "above":
                return "came back"
            case "below":
                return "survived"
        return "inconclusive"

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


def counted(found: Iterable[Outcome]) -> dict[ReversionVerdict, int]:
    """How many there are of each verdict that occurs, in the order of `ReversionVerdict`."""
    verdicts = [outcome.verdict for outcome in found]
    known: tuple[ReversionVerdict, ...] = get_args(ReversionVerdict)
    return {verdict: verdicts.count(verdict) for verdict in known if verdict in verdicts}


def by_adapter(found: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    """The outcomes of each variant of the update, in the order of their first appearance."""
    found = list(found)
    return {
        adapter: [outcome for outcome in found if outcome.key.adapter == adapter]
        for adapter in distinct(outcome.key.adapter for outcome in found)
    }


@dataclass(frozen=True)
class Finding:
    """A number that a claim is judged on.

    Attributes:
        value: in the metric's own unit, or as a share of the way back for reversion.
        low, high: the ends of its 95 % interval.
        n: the items it stands on; None where that is not known.
        minimum_effect: the smallest true effect that would be found with a power of 0.8 at 0.05
            (two-sided), in the unit of `value`; None where that is undefined.
        seeds: the runs it stands on.
        p: of a test of no difference; None where none was made.
        note: what limits the number.
        corrected: whether p is after Holm's correction; `decide` wants it to be.
    """

    value: float
    low: float
    high: float
    n: int | None
    minimum_effect: float | None
    seeds: int
    p: float | None = None
    note: str = ""
    corrected: bool = True


@dataclass(frozen=True)
class Absent:
    """Why there is no number, in words for people."""

    reason: str


def decide(
    finding: Finding | Absent,
    threshold: float,
    claims_above: bool = True,
    idle: str = "",
    tested: bool = False,
) -> tuple[ClaimVerdict, str]:
    """The verdict on a claim, and the reason for it in words.

    Args:
        finding: the number, or why there is none.
        threshold: in the unit of the number.
        claims_above: whether the claim says that the number is above the threshold or below.
        idle: why a contradiction would mean nothing here; empty where it would mean something.
        tested: whether the claim takes a test, and not an interval alone.
    """
    if isinstance(finding, Absent):
        return "undecided", finding.reason
    where = side(finding.low, finding.high, threshold)
    if where is None:
        return "undecided", f"the interval holds {threshold:g}"
    reason = f"the whole interval is {where} {threshold:g}"
    if tested and finding.p is None:
        why = too_few(finding.seeds)
        return "undecided", f"{reason}, but it was not tested" + (f": {why}" if why else "")
    if finding.p is not None and finding.p > ALPHA:
        return "undecided", f"{reason}, but p is above {ALPHA:g} after Holm's correction"
    if (where == "above") != claims_above and idle:
        return "undecided", idle
    if not tested and finding.seeds == 1:
        reason += ", over the items of one run"
    return "supported" if (where == "above") == claims_above else "contradicted", reason
