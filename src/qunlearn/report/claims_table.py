"""The verdicts on the claims as CSV, and as Markdown for people."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from qunlearn.analysis.claims import SCOPES, Claim, Judgement, claims_csv
from qunlearn.analysis.verdicts import VERDICTS
from qunlearn.experiment.labels import (
    METRICS,
    adapter_name,
    corpus_name,
    method_name,
    precision_name,
)
from qunlearn.report.markdown import table
from qunlearn.report.templates import fill
from qunlearn.run.files import write_text
from qunlearn.statistics.inference import ALPHA

HEADER = (
    *("Corpus", "Method", "Precision", "Metric"),
    *("Number", "95 % interval", "p", "n", "Could show"),
    *("Verdict", "Why"),
)
_NUMBERS = HEADER[4:9]


def write_claims(
    ours: Sequence[Judgement],
    published: Sequence[Judgement],
    folder: Path,
    notes: Sequence[str] = (),
) -> None:
    """Write claims.csv, claims_published.csv and claims.md into `folder`.

    Args:
        notes: sentences on how the models were trained, which the verdicts hold for.
    """
    text = fill(
        "claims.md.j2",
        notes=notes,
        alpha=f"{ALPHA:g}",
        ours=_report(ours),
        theirs=_report(published, own_models=True),
    )
    write_text(folder / "claims.csv", claims_csv(ours))
    write_text(folder / "claims_published.csv", claims_csv(published))
    write_text(folder / "claims.md", text)


def in_words(judgements: Sequence[Judgement]) -> str:
    """`supported in 3 of 8, contradicted in 1, undecided in 4`; a verdict of none is left out."""
    counts = Counter(found.verdict for found in judgements)
    first, *rest = [(verdict, counts[verdict]) for verdict in VERDICTS if counts[verdict]]
    parts = [f"{first[0]} in {first[1]} of {len(judgements)}"]
    return ", ".join([*parts, *(f"{verdict} in {count}" for verdict, count in rest)])


def signs_in_words(judgements: Sequence[Judgement], own_models: bool = False) -> str:
    """How often the number itself lies on the claimed side, whatever its interval."""
    claim = judgements[0].claim
    findings = [own.finding for own in judgements if own.finding.value is not None]
    if not findings:
        return "No number."
    sign = 1 if claim.side == "above" else -1
    distances = [sign * ((finding.value or 0.0) - claim.threshold) for finding in findings]
    count = sum(distance > 0 for distance in distances)
    words = f"The number is {claim.side} {claim.threshold:g} in {count} of {len(findings)}."
    untied = sum(distance != 0 for distance in distances)
    if own_models and untied:
        chance = binomtest(count, untied).pvalue
        words += (
            f" If these were independent ({untied} without ties), a count this uneven would arise "
            f"by chance with p = {chance:.2g} (sign test)."
        )
    return words


def _report(judgements: Sequence[Judgement], own_models: bool = False) -> dict[str, Any]:
    """The overview and a section a claim; with sign tests where each cell has its own models."""
    groups: dict[Claim, dict[str, list[Judgement]]] = {}
    for found in judgements:
        groups.setdefault(found.claim, {}).setdefault(found.place.scope, []).append(found)
    scopes = [scope for scope in SCOPES if any(scope in group for group in groups.values())]
    overview = [
        [f"`{claim.id}`", claim.statement]
        + [in_words(group[scope]) if scope in group else "–" for scope in scopes]
        for claim, group in groups.items()
    ]
    sections = []
    for claim, group in groups.items():
        own = [found for found in judgements if found.claim == claim]
        counts = [
            f"With {SCOPES[scope]}: {in_words(group[scope])}. "
            f"{signs_in_words(group[scope], own_models)}"
            for scope in scopes
            if scope in group
        ]
        lines = table(HEADER, [_line(found) for found in own], right=_NUMBERS)
        section = {"claim": claim, "number": _number(claim), "counts": counts, "table": lines}
        sections.append({**section, "limits": _limits(own)})
    head = ("Claim", "Statement", *(SCOPES[scope] for scope in scopes))
    return {"overview": table(head, overview), "sections": sections}


def _number(claim: Claim) -> str:
    """What is estimated, in words."""
    of = "reversion of " if claim.reversion else "distance from 0 of " if claim.distance else ""
    grids = {at for _, _, at in claim.number}
    at = {"bf16": " at bf16", "four_bit": " at 4 bits"}
    at["same"] = " on this grid" if len(grids) > 1 else ""
    words = (
        f"{' plus ' if sign > 0 else ' minus '}{of and ('that of ' if i else of)}"
        f"{adapter_name(variant)}{at[precision]}"
        for i, (sign, variant, precision) in enumerate(claim.number)
    )
    return "".join(words).removeprefix(" plus ")


def _line(found: Judgement) -> list[str]:
    place, finding = found.place, found.finding
    numbers = ["–"] * 5
    if finding.value is not None:
        form = "z.2f" if found.claim.reversion else "z.1f"
        numbers = [
            format(finding.value, form),
            f"{finding.low:{form}} to {finding.high:{form}}",
            (found.untested or "–") if finding.p is None else format(finding.p, ".2g"),
            "–" if finding.n is None else str(finding.n),
            "–" if finding.minimum_effect is None else format(finding.minimum_effect, form),
        ]
    return [
        corpus_name(place.corpus),
        method_name(place.objective),
        " to ".join(map(precision_name, place.grids)) or "–",
        METRICS[place.metric.removeprefix("reversion_")],
        *numbers,
        found.verdict,
        found.reason,
    ]


def _limits(judgements: Sequence[Judgement]) -> str:
    """What limits the numbers, each once; with a count where it does not limit all of them."""
    findings = [own.finding for own in judgements if own.finding.value is not None]
    counts = Counter(note for finding in findings for note in finding.note.split("; ") if note)
    return "; ".join(
        note if count == len(findings) else f"{note} (in {count} of {len(findings)})"
        for note, count in counts.items()
    )
