"""Claims as data, and each judged in every cell of an experiment."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from qunlearn.analysis.evidence import Evidence, Pair, Term
from qunlearn.analysis.frame import CLAIMS_TABLE
from qunlearn.analysis.reversion import FORGET_METRICS
from qunlearn.analysis.summary import Key, distinct
from qunlearn.analysis.verdicts import MARGIN, Absent, ClaimVerdict, Finding, decide
from qunlearn.experiment.names import BEFORE, METRICS, REFERENCES
from qunlearn.run.csvfile import Value
from qunlearn.run.errors import InputError
from qunlearn.statistics.inference import holm, too_few

NOTHING_REVERTS = "no variant is shown to revert on this grid, so there is nothing to explain"
SCOPES = {"four_bit": "4 bits", "coarsest": "fewer than 4 bits"}
REVERSIONS = tuple(f"reversion_{metric}" for metric in FORGET_METRICS)


@dataclass(frozen=True)
class Kind:
    """What sort of number a claim is about.

    Attributes:
        reversion: whether it is a reversion or made of some, and compared with the margin.
        paired: whether the claim names a second variant.
        tested: whether it takes a test over items and seeds, and not an interval alone.
        above: whether the claim says that the number is above its threshold, or below.
        explains: whether the claim explains reversion, so that there must be some.
    """

    reversion: bool = True
    paired: bool = False
    tested: bool = False
    above: bool = True
    explains: bool = False


_OF_SCORES = Kind(reversion=False, paired=True, tested=True)
KINDS = {
    "level": _OF_SCORES,
    "drop": _OF_SCORES,
    "nearer_zero": _OF_SCORES,
    "kept": Kind(above=False),
    "reverts": Kind(),
    "more": Kind(paired=True, explains=True),
    "grows": Kind(explains=True),
}


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes:
        id: its name.
        statement: one sentence.
        source: who makes it, and where.
        kind: what is estimated, one of KINDS; resources/claims.yaml describes them.
        metrics: that it is judged on, one at a time.
        variant: of the update, e.g. `lora`.
        scopes: of precisions, keys of SCOPES.
        supported, contradicted: what would support and contradict it, in words.
        against: the variant that it is compared with; empty for kinds without one.
    """

    id: str
    statement: str
    source: str
    kind: str
    metrics: tuple[str, ...]
    variant: str
    scopes: tuple[str, ...]
    supported: str
    contradicted: str
    against: str = ""

    @property
    def of(self) -> Kind:
        """What sort of number it is about."""
        return KINDS[self.kind]

    @property
    def threshold(self) -> float:
        """What its number is compared with, in the number's unit."""
        return MARGIN if self.of.reversion else 0.0


class Site(NamedTuple):
    """Where a claim is judged: one corpus, objective, precision and metric.

    `precision` is empty where the experiment has none of this scope; of a claim that compares two
    grids it reads like `nf4 to rtn3g64`.
    """

    corpus: str
    objective: str
    scope: str
    precision: str
    metric: str


@dataclass(frozen=True)
class Judgement:
    """A claim's verdict in one place, with what it stands on."""

    claim: Claim
    place: Site
    finding: Finding | Absent
    verdict: ClaimVerdict
    reason: str

    @property
    def untested(self) -> str:
        """Too few seeds for the test that the claim takes, in words; else empty."""
        if not self.claim.of.tested or isinstance(self.finding, Absent):
            return ""
        return too_few(self.finding.seeds)


def read_claims(path: Path) -> list[Claim]:
    """The claims of a YAML file, in its order.

    Raises:
        InputError: the file is missing or does not parse, or a claim is incomplete or cannot be
            judged.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML ({error}); correct it") from error
    entries = content.get("claims") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise InputError(f"{path}: write a list under the key 'claims'")
    claims = [_claim(path, entry if isinstance(entry, dict) else {}) for entry in entries]
    names = [claim.id for claim in claims]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{path}: claim '{twice[0]}' occurs twice; give each its own id")
    return claims


def judge(claims: Sequence[Claim], evidence: Evidence) -> list[Judgement]:
    """Every claim in every corpus, objective, precision of its scopes, and metric."""
    judgements = []
    for claim in claims:
        sites = list(_sites(claim, evidence))
        findings = _corrected(sites, [_find(claim, site, evidence) for site in sites])
        for site, finding in zip(sites, findings, strict=True):
            idle = ""
            if claim.of.explains and not _reverts(claim, site, evidence):
                idle = NOTHING_REVERTS
            verdict, reason = decide(
                finding, claim.threshold, claim.of.above, idle, claim.of.tested
            )
            judgements.append(Judgement(claim, site, finding, verdict, reason))
    return judgements


def published_claims(claims: Sequence[Claim]) -> list[Claim]:
    """Those that can be judged on the paper's table: at 4 bits, and not about reversion.

    Reversion needs a target that was quantized like the model, and none was published.
    """
    return [
        replace(claim, scopes=("four_bit",))
        for claim in claims
        if not claim.of.reversion and "four_bit" in claim.scopes
    ]


def as_csv(judgements: Sequence[Judgement]) -> str:
    """`claims.csv`: a row a judgement; the numbers are empty where there is none."""
    return CLAIMS_TABLE.text(
        [found.claim.id, *found.place[:5], found.verdict, *_fields(found)] for found in judgements
    )


def _fields(found: Judgement) -> list[Value]:
    """From `value` to `reason`, which says what limits the number as well."""
    finding = found.finding
    if isinstance(finding, Absent):
        return [*[None] * 6, found.reason]
    p = found.untested if finding.p is None else finding.p
    reason = "; ".join(part for part in (found.reason, finding.note) if part)
    ends = finding.value, finding.low, finding.high
    return [*ends, p, finding.n, finding.minimum_effect, reason]


def _sites(claim: Claim, evidence: Evidence) -> Iterator[Site]:
    cells = distinct(
        (key.corpus, key.objective) for key in evidence.numbers if key.objective not in REFERENCES
    )
    for corpus, objective in cells:
        for scope in claim.scopes:
            names = evidence.precisions(corpus, objective, scope)
            if claim.kind == "grows":
                finer = evidence.precisions(corpus, objective, "four_bit")
                names = [f"{fine} to {coarse}" for coarse in names for fine in finer]
            for precision in names or [""]:
                for metric in claim.metrics:
                    yield Site(corpus, objective, scope, precision, metric)


def _corrected(
    sites: Sequence[Site], findings: Sequence[Finding | Absent]
) -> list[Finding | Absent]:
    """A claim's findings, those with a test of its own after Holm's correction in each corpus."""
    corrected = list(findings)
    for corpus in distinct(site.corpus for site in sites):
        family = [
            (index, found)
            for index, (site, found) in enumerate(zip(sites, findings, strict=True))
            if site.corpus == corpus
            and isinstance(found, Finding)
            and not (found.corrected or found.p is None)
        ]
        p_values = holm([found.p or 0.0 for _, found in family])
        for (index, found), p in zip(family, p_values, strict=True):
            corrected[index] = replace(found, p=p, corrected=True)
    return corrected


def _find(claim: Claim, site: Site, evidence: Evidence) -> Finding | Absent:
    """The number that a claim is about, turned so that the claimed effect is positive."""
    if not site.precision:
        return Absent(f"no precision of {SCOPES[site.scope]} was run")
    fine, _, coarse = site.precision.partition(" to ")

    def key(adapter: str, precision: str = fine) -> Key:
        return Key(site.corpus, site.objective, adapter, precision, site.metric)

    variant, against = key(claim.variant), key(claim.against)
    match claim.kind:
        case "kept" | "reverts":
            return evidence.total([Term(1, variant)])
        case "grows":
            return evidence.total([Term(1, key(claim.variant, coarse)), Term(-1, variant)])
        case "drop":
            before = Term(1, key(claim.against, BEFORE)), Term(-1, key(claim.variant, BEFORE))
            return evidence.total([*before, Term(-1, against), Term(1, variant)])
        case "nearer_zero":
            # On one side of 0 it is a plain difference, which a paired test may have looked at.
            match _side_of_zero(evidence, against), _side_of_zero(evidence, variant):
                case "above", "above":
                    return _compared(evidence, against, variant)
                case "below", "below":
                    return _compared(evidence, variant, against)
            return evidence.total([Term(1, against), Term(-1, variant)], absolute=True)
        case _:
            return _compared(evidence, variant, against)


def _reverts(claim: Claim, site: Site, evidence: Evidence) -> bool:
    """Whether any variant's reversion lies above the margin on this grid (the coarser of two)."""
    precision = site.precision.rpartition(" to ")[2]
    return any(
        summary.low is not None and summary.low > claim.threshold
        for key, summary in evidence.numbers.items()
        if key == (site.corpus, site.objective, key.adapter, precision, site.metric)
    )


def _side_of_zero(evidence: Evidence, key: Key) -> str | None:
    """On which side of 0 a whole interval lies; its ends may be 0."""
    found = evidence.numbers.get(key)
    if found is None or found.low is None or found.high is None:
        return None
    if found.high <= 0:
        return "below"
    return "above" if found.low >= 0 else None


def _compared(evidence: Evidence, plus: Key, minus: Key) -> Finding | Absent:
    """`plus` - `minus`: by their paired test where one was made."""
    names = plus.corpus, plus.objective, plus.precision, plus.metric
    test = evidence.tested(Pair(*names, plus.adapter, minus.adapter))
    return test or evidence.total([Term(1, plus), Term(-1, minus)])


def _claim(path: Path, entry: dict[str, Any]) -> Claim:
    place = f"{path}: claim '{entry.get('id', '')}'"
    name = entry.get("kind")
    if name not in KINDS:
        raise InputError(f"{place}: kind {name!r} is unknown; use {', '.join(KINDS)}")
    kind = KINDS[name]
    wanted = {field.name for field in fields(Claim)} - ({"against"} if not kind.paired else set())
    if odd := sorted(wanted ^ set(entry)):
        problem = f"is missing; a claim of kind {name} needs it"
        if odd[0] in entry:
            problem = f"does not suit kind {name}; remove it"
        raise InputError(f"{place}: {odd[0]} {problem}")
    for key, known in (("metrics", REVERSIONS if kind.reversion else METRICS), ("scopes", SCOPES)):
        values = entry[key]
        if not isinstance(values, list) or not values or not set(values) <= set(known):
            raise InputError(
                f"{place}: {key}: {values!r} does not suit kind {name}; list some of "
                f"{', '.join(known)}"
            )
    texts = {key: str(text) for key, text in entry.items() if not isinstance(text, list)}
    return Claim(**texts, metrics=tuple(entry["metrics"]), scopes=tuple(entry["scopes"]))
