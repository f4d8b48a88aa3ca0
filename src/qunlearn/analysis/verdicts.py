"""The one rule by which every claim is judged.

The number that a claim is about is compared with a threshold: 0, or the margin of reversion. The
claim says on which side of it the number lies.

* supported: the whole 95 % interval lies on the claimed side of the threshold;
* contradicted: the whole interval lies on the other side;
* undecided: the interval holds the threshold, or there is no number, or the claim compares two
  variants and its p after Holm's correction is above 0.05 or, with fewer than three seeds, missing.
  Then this many items at this many seeds cannot tell.

Reversion is judged by its interval alone, which with one seed is over the items of one run.
An explanation of reversion cannot be contradicted where nothing reverts: it is undecided there.
"""

from dataclasses import dataclass
from typing import Literal

from qunlearn.statistics.inference import ALPHA, too_few

Verdict = Literal["supported", "contradicted", "undecided"]
VERDICTS: tuple[Verdict, ...] = ("supported", "contradicted", "undecided")


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
) -> tuple[Verdict, str]:
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
    if finding.low <= threshold <= finding.high:
        return "undecided", f"the interval holds {threshold:g}"
    above = finding.low > threshold
    reason = f"the whole interval is {'above' if above else 'below'} {threshold:g}"
    if tested and finding.p is None:
        why = too_few(finding.seeds)
        return "undecided", f"{reason}, but it was not tested" + (f": {why}" if why else "")
    if finding.p is not None and finding.p > ALPHA:
        return "undecided", f"{reason}, but p is above {ALPHA:g} after Holm's correction"
    verdict: Verdict = "supported" if above == claims_above else "contradicted"
    if verdict == "contradicted" and idle:
        return "undecided", idle
    if not tested and finding.seeds == 1:
        reason += ", over the items of one run"
    return verdict, reason
