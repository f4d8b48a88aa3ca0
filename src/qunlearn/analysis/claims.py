"""Claims as data, and each judged in every cell of an experiment.

A claim says on which side of a threshold a number lies: 0, or `MARGIN` for reversion.

* supported: the whole 95 % interval lies on the claimed side;
* contradicted: it lies on the other side;
* undecided: the interval holds the threshold, or there is no number, or the claim is about scores
  and its p after Holm's correction is above `ALPHA` or, with fewer than three seeds, missing.

Reversion is judged by its interval alone, which with one seed is over the items of one run.
A comparison of reversions explains reversion: where nothing reverts it cannot be contradicted.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NamedTuple

import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as validated

from qunlearn.analysis.comparisons import Evidence, absent
from qunlearn.analysis.frame import CLAIMS_TABLE
from qunlearn.analysis.summary import Key, Summary, distinct
from qunlearn.analysis.verdicts import MARGIN, ClaimVerdict
from qunlearn.experiment.names import BEFORE, REFERENCES
from qunlearn.run.csvfile import Value, as_csv
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_text
from qunlearn.statistics.inference import ALPHA, holm, too_few

NOTHING_REVERTS = "no variant is shown to revert on this grid, so there is nothing to explain"
SCOPES = {"four_bit": "4 bits", "coarsest": "fewer than 4 bits"}


Term = tuple[Literal[1, -1], str, Literal["same", "bf16", "four_bit"]]
"""A number of a sum: its sign, the variant whose metric it is, and in which precision: that of the
place where the claim is judged (`same`), `bf16`, or each of 4 bits in turn (`four_bit`)."""


@validated(frozen=True, config=ConfigDict(extra="forbid"))
class Claim:
    """One claim.

    Attributes:
        id: its name.
        statement: one sentence.
        source: who makes it, and where.
        metrics: that it is judged on, one at a time: scores, or reversions.
        number: the sum that it is about.
        side: of the threshold on which it claims the number to lie.
        scopes: of precisions, keys of SCOPES.
        supported, contradicted: what would support and contradict it, in words.
        distance: whether the terms are distances from 0.
    """

    id: str
    statement: str
    source: str
    metrics: tuple[str, ...]
    number: tuple[Term, ...]
    side: Literal["above", "below"]
    scopes: tuple[Literal["four_bit", "coarsest"], ...]
    supported: str
    contradicted: str
    distance: bool = False

    @property
    def reversion(self) -> bool:
        """Whether it is about reversion; else it takes a test, and not an interval alone."""
        return self.metrics[0].startswith("reversion_")

    @property
    def threshold(self) -> float:
        """What its number is compared with, in the number's unit."""
        return MARGIN if self.reversion else 0.0


class Site(NamedTuple):
    """Where a claim is judged: one corpus, objective, precision and metric.

    `precision` is empty where the experiment has none of this scope. `fine` is the precision of 4
    bits that a claim on two grids compares it with; else empty.
    """

    corpus: str
    objective: str
    scope: str
    precision: str
    metric: str
    fine: str = ""

    @property
    def grids(self) -> list[str]:
        """The precisions that it is about, the finer one first."""
        return [name for name in (self.fine, self.precision) if name]


@dataclass(frozen=True)
class Judgement:
    """A claim's verdict in one place, with what it stands on."""

    claim: Claim
    place: Site
    finding: Summary
    verdict: ClaimVerdict
    reason: str

    @property
    def untested(self) -> str:
        """Too few seeds for the test that the claim takes, in words; else empty."""
        return "" if self.claim.reversion else too_few(self.finding.counted)


def read_claims(path: Path) -> list[Claim]:
    """The claims of a YAML file, in its order.

    Raises:
        InputError: the file is missing, or a claim is incomplete or cannot be judged.
    """
    try:
        content = yaml.safe_load(read_text(path))
        return TypeAdapter(dict[Literal["claims"], list[Claim]]).validate_python(content)["claims"]
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise InputError(f"{path}: {place}: {first['msg']}; correct it") from error


def judge(claims: Sequence[Claim], evidence: Evidence) -> list[Judgement]:
    """Every claim in every corpus, objective, precision of its scopes, and metric."""
    judgements = []
    for claim in claims:
        sites = list(_sites(claim, evidence))
        findings = _corrected(sites, [_find(claim, site, evidence) for site in sites])
        for site, finding in zip(sites, findings, strict=True):
            idle = claim.reversion and len(claim.number) > 1 and not _reverts(site, evidence)
            verdict, reason = decide(claim, finding, NOTHING_REVERTS if idle else "")
            judgements.append(Judgement(claim, site, finding, verdict, reason))
    return judgements


def decide(claim: Claim, finding: Summary, idle: str = "") -> tuple[ClaimVerdict, str]:
    """The verdict on a claim, and the reason for it in words.

    Args:
        finding: the number, or why there is none.
        idle: why a contradiction would mean nothing here; empty where it would mean something.
    """
    if finding.low is None:
        return "undecided", finding.note
    where = finding.side(claim.threshold)
    if where is None:
        return "undecided", f"the interval holds {claim.threshold:g}"
    reason = f"the whole interval is {where} {claim.threshold:g}"
    if not claim.reversion and finding.p is None:
        why = too_few(finding.counted)
        return "undecided", f"{reason}, but it was not tested" + (f": {why}" if why else "")
    if finding.p is not None and finding.p > ALPHA:
        return "undecided", f"{reason}, but p is above {ALPHA:g} after Holm's correction"
    if where != claim.side and idle:
        return "undecided", idle
    if claim.reversion and finding.counted == 1:
        reason += ", over the items of one run"
    return "supported" if where == claim.side else "contradicted", reason


def published_claims(claims: Sequence[Claim]) -> list[Claim]:
    """Those that can be judged on the paper's table: at 4 bits, and not about reversion.

    Reversion needs a target that was quantized like the model, and none was published.
    """
    return [
        replace(claim, scopes=("four_bit",))
        for claim in claims
        if not claim.reversion and "four_bit" in claim.scopes
    ]


def claims_csv(judgements: Sequence[Judgement]) -> str:
    """`claims.csv`: a row a judgement; the numbers are empty where there is none.

    The precision of a claim on two grids reads like `nf4 to rtn3g64`.
    """
    lines: list[list[Value]] = []
    for own in judgements:
        found, place, absent = own.finding, own.place, own.finding.value is None
        p = found.p if absent or found.p is not None else own.untested
        reason = own.reason if absent else "; ".join(filter(None, (own.reason, found.note)))
        numbers = found.value, found.low, found.high, p, found.n, found.minimum_effect, reason
        names = place.corpus, place.objective, place.scope, " to ".join(place.grids), place.metric
        lines.append([own.claim.id, *names, own.verdict, *numbers])
    return as_csv(CLAIMS_TABLE, lines)


def _sites(claim: Claim, evidence: Evidence) -> Iterator[Site]:
    two_grids = any(at == "four_bit" for *_, at in claim.number)
    for cell in distinct(key[:2] for key in evidence.numbers if key.objective not in REFERENCES):
        finer = evidence.precisions(*cell, "four_bit") if two_grids else [""]
        for scope in claim.scopes:
            grids = [(name, fine) for name in evidence.precisions(*cell, scope) for fine in finer]
            for name, fine in grids or [("", "")]:
                for metric in claim.metrics:
                    yield Site(*cell, scope, name, metric, fine)


def _corrected(sites: Sequence[Site], findings: Sequence[Summary]) -> list[Summary]:
    """A claim's findings, those with a test of its own after Holm's correction in each corpus."""
    raw = {i: own.p for i, own in enumerate(findings) if own.p is not None and not own.corrected}
    corrected = list(findings)
    for corpus in distinct(site.corpus for site in sites):
        family = {i: p for i, p in raw.items() if sites[i].corpus == corpus}
        for i, p in zip(family, holm(list(family.values())), strict=True):
            corrected[i] = replace(findings[i], p=p, corrected=True)
    return corrected


def _find(claim: Claim, site: Site, evidence: Evidence) -> Summary:
    """The number that a claim is about: by its paired test where one was made."""
    if not site.precision:
        return absent(f"no precision of {SCOPES[site.scope]} was run")
    names = {"same": site.precision, "bf16": BEFORE, "four_bit": site.fine}
    terms = [
        (sign, Key(site.corpus, site.objective, variant, names[at], site.metric))
        for sign, variant, at in claim.number
    ]
    if len(terms) == 2:
        plus, minus = (key for _, key in sorted(terms, reverse=True))
        sides = {_side_of_zero(evidence.numbers.get(key)) for key in (plus, minus)}
        if sides == {"below"} and claim.distance:
            plus, minus = minus, plus  # the nearer to 0 is the larger
        if not claim.distance or sides in ({"above"}, {"below"}):
            return evidence.tests.get((plus, minus)) or evidence.total([(1, plus), (-1, minus)])
    return evidence.total(terms, claim.distance)


def _reverts(site: Site, evidence: Evidence) -> bool:
    """Whether any variant's reversion lies above the margin on this grid (the coarser of two)."""
    return any(
        own.side(MARGIN) == "above"
        for key, own in evidence.numbers.items()
        if key == (site.corpus, site.objective, key.adapter, site.precision, site.metric)
    )


def _side_of_zero(found: Summary | None) -> str | None:
    """On which side of 0 a whole interval lies; its ends may be 0."""
    if found is None or found.low is None or found.high is None:
        return None
    return "below" if found.high <= 0 else "above" if found.low >= 0 else None
