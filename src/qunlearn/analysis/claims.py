"""Claims as data, and each judged in every cell of an experiment."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from qunlearn.analysis.metrics import METRICS, REFERENCES
from qunlearn.analysis.numbers import Evidence, Pair, Term
from qunlearn.analysis.reversion import BEFORE, FORGET_METRICS
from qunlearn.analysis.summary import Key, Summary
from qunlearn.analysis.verdicts import Absent, Finding, Verdict, decide
from qunlearn.run.errors import InputError
from qunlearn.statistics.inference import holm

TESTED_KINDS = ("level", "drop", "nearer_zero")
PAIRED_KINDS = (*TESTED_KINDS, "more")
KINDS = (*PAIRED_KINDS, "kept", "reverts", "grows")
EXPLANATIONS = ("more", "grows")
OF_REVERSION = ("kept", "reverts", *EXPLANATIONS)
NOTHING_REVERTS = "no variant is shown to revert on this grid, so there is nothing to explain"
SCOPES = {"four_bit": "4 bits", "coarsest": "fewer than 4 bits"}
REVERSIONS = tuple(f"reversion_{metric}" for metric in FORGET_METRICS)
_FIELDS = ("id", "statement", "source", "kind", "metrics", "variant", "scopes")
_WORDS = ("supported", "contradicted")


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
        against: the variant that it is compared with; empty for kinds without one.
        scopes: of precisions, keys of SCOPES.
        supported, contradicted: what would support and contradict it, in words.
        threshold: what the estimate is compared with, in its own unit.
    """

    id: str
    statement: str
    source: str
    kind: str
    metrics: tuple[str, ...]
    variant: str
    against: str
    scopes: tuple[str, ...]
    supported: str
    contradicted: str
    threshold: float


class Place(NamedTuple):
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
    place: Place
    finding: Finding | Absent
    verdict: Verdict
    reason: str


def read_claims(path: Path) -> list[Claim]:
    """The claims of a YAML file, in its order.

    Raises:
        InputError: the file is missing or does not parse, or a claim is incomplete or says what
            nobody can judge.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; check the path") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not valid YAML ({error}); mend it") from error
    if not isinstance(content, dict) or not isinstance(content.get("claims"), list):
        raise InputError(f"{path}: write a list under the key 'claims'")
    margin = content.get("margin")
    if not isinstance(margin, float) or not 0 < margin < 1:
        raise InputError(f"{path}: margin: {margin!r} is no share between 0 and 1; e.g. 0.1")
    claims = [_claim(path, entry, margin) for entry in content["claims"]]
    names = [claim.id for claim in claims]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{path}: claim '{name}' is there twice; give each its own id")
    return claims


def judge(claims: Sequence[Claim], evidence: Evidence) -> list[Judgement]:
    """Every claim in every corpus, objective, precision of its scopes, and metric."""
    judgements = []
    for claim in claims:
        places = list(_places(claim, evidence))
        findings = [_find(claim, place, evidence) for place in places]
        for place, finding in zip(places, _corrected(places, findings), strict=True):
            above = claim.kind != "kept"
            explains = claim.kind in EXPLANATIONS and not _reverts(claim, place, evidence)
            idle = NOTHING_REVERTS if explains else ""
            tested = claim.kind in TESTED_KINDS
            verdict, reason = decide(finding, claim.threshold, above, idle, tested)
            judgements.append(Judgement(claim, place, finding, verdict, reason))
    return judgements


def published_claims(claims: Sequence[Claim]) -> list[Claim]:
    """Those that can be judged on the paper's table: at 4 bits, and not about reversion.

    Reversion needs a target that was quantized like the model, and none was published.
    """
    return [
        replace(claim, scopes=("four_bit",))
        for claim in claims
        if claim.kind not in OF_REVERSION and "four_bit" in claim.scopes
    ]


def _places(claim: Claim, evidence: Evidence) -> Iterator[Place]:
    cells = dict.fromkeys(
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
                    yield Place(corpus, objective, scope, precision, metric)


def _corrected(
    places: Sequence[Place], findings: Sequence[Finding | Absent]
) -> list[Finding | Absent]:
    """A claim's findings, those with a test of its own after Holm's correction in each corpus."""
    families: dict[str, dict[int, Finding]] = {}
    for index, (place, finding) in enumerate(zip(places, findings, strict=True)):
        if isinstance(finding, Finding) and finding.p is not None and not finding.corrected:
            families.setdefault(place.corpus, {})[index] = finding
    corrected = list(findings)
    for family in families.values():
        p_values = holm([found.p or 0.0 for found in family.values()])
        for (index, found), p in zip(family.items(), p_values, strict=True):
            corrected[index] = replace(found, p=p, corrected=True)
    return corrected


def _find(claim: Claim, place: Place, evidence: Evidence) -> Finding | Absent:
    """The number that a claim is about, turned so that the claimed effect is positive."""
    if not place.precision:
        return Absent(f"no precision of {SCOPES[place.scope]} was run")
    fine, _, coarse = place.precision.partition(" to ")

    def key(adapter: str, precision: str = fine) -> Key:
        return Key(place.corpus, place.objective, adapter, precision, place.metric)

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
            if sides := _same_side(evidence.numbers, against, variant):
                further, nearer = sides
                return _compared(evidence, further, nearer)
            return evidence.total([Term(1, against), Term(-1, variant)], absolute=True)
        case _:
            return _compared(evidence, variant, against)


def _reverts(claim: Claim, place: Place, evidence: Evidence) -> bool:
    """Whether any variant's reversion lies above the margin on this grid (the coarser of two)."""
    precision = place.precision.rpartition(" to ")[2]
    return any(
        summary.low is not None and summary.low > claim.threshold
        for key, summary in evidence.numbers.items()
        if key == (place.corpus, place.objective, key.adapter, precision, place.metric)
    )


def _compared(evidence: Evidence, plus: Key, minus: Key) -> Finding | Absent:
    """`plus` - `minus`: by their paired test where one was made."""
    names = plus.corpus, plus.objective, plus.precision, plus.metric
    test = evidence.tested(Pair(*names, plus.adapter, minus.adapter))
    return test or evidence.total([Term(1, plus), Term(-1, minus)])


def _same_side(
    numbers: Mapping[Key, Summary], against: Key, variant: Key
) -> tuple[Key, Key] | None:
    """What to subtract from what for |against| - |variant|, where both intervals are on one side.

    There it is a plain difference, which a paired test may have looked at.
    """
    both = [numbers[key] for key in (against, variant) if key in numbers]
    if len(both) == 2 and all(found.high is not None and found.high <= 0 for found in both):
        return variant, against
    if len(both) == 2 and all(found.low is not None and found.low >= 0 for found in both):
        return against, variant
    return None


def _claim(path: Path, entry: Any, margin: float) -> Claim:
    name = entry.get("id") if isinstance(entry, dict) else None
    if not isinstance(name, str):
        raise InputError(f"{path}: a claim has no id; give it one")
    kind = entry.get("kind")
    if kind not in KINDS:
        raise InputError(
            f"{path}: claim '{name}': kind {kind!r} is unknown; use {', '.join(KINDS)}"
        )
    paired = kind in PAIRED_KINDS
    wanted = {*_FIELDS, *_WORDS, *(["against"] if paired else [])}
    if odd := sorted(wanted ^ set(entry)):
        state = "missing" if odd[0] in wanted else f"of no use to kind {kind}"
        raise InputError(f"{path}: claim '{name}': {odd[0]} is {state}; mend it")
    of_reversion = kind in OF_REVERSION
    known = REVERSIONS if of_reversion else METRICS
    for key, values in (("metrics", known), ("scopes", tuple(SCOPES))):
        if not isinstance(entry[key], list) or not entry[key]:
            raise InputError(f"{path}: claim '{name}': {key}: write a list with at least one")
        if unknown := [value for value in entry[key] if value not in values]:
            raise InputError(
                f"{path}: claim '{name}': {key}: {unknown[0]!r} does not suit kind {kind}; "
                f"use {', '.join(values)}"
            )
    texts = {field: str(entry[field]) for field in wanted - {"metrics", "scopes"}}
    return Claim(
        **{"against": "", **texts},
        metrics=tuple(entry["metrics"]),
        scopes=tuple(entry["scopes"]),
        threshold=margin if of_reversion else 0.0,
    )
