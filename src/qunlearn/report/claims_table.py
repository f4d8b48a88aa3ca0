"""The verdicts on the claims as CSV, and as Markdown for people."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from scipy.stats import binomtest

from qunlearn.analysis.claims import SCOPES, Judgement, claims_csv
from qunlearn.analysis.summary import Summary
from qunlearn.experiment.labels import METRICS, corpus_name, method_name, precision_name
from qunlearn.report.tables import table
from qunlearn.report.templates import fill
from qunlearn.run.files import write_text
from qunlearn.statistics.inference import ALPHA

HEAD = ("Corpus", "Method", "Precision", "Metric")
NUMBERS = ("Number", "95 % interval", "p", "n", "Could show")


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
        scopes=SCOPES,
        ours={claim: list(own) for claim, own in groupby(ours, attrgetter("claim"))},
        theirs={claim: list(own) for claim, own in groupby(published, attrgetter("claim"))},
        signs=signs,
        limits=limits,
        verdicts=verdicts,
    )
    write_text(folder / "claims.csv", claims_csv(ours))
    write_text(folder / "claims_published.csv", claims_csv(published))
    write_text(folder / "claims.md", text)


def signs(judgements: Sequence[Judgement]) -> dict[str, float]:
    """How many numbers there are, and lie on the claimed side whatever their interval.

    `untied` lie on neither threshold, and `p` is of a sign test of these.
    """
    claim = judgements[0].claim
    sign = 1 if claim.side == "above" else -1
    values = [own.value for own in _findings(judgements)]
    found = [sign * (value - claim.threshold) for value in values if value is not None]
    count, untied = sum(own > 0 for own in found), sum(own != 0 for own in found)
    p = binomtest(count, untied).pvalue if untied else 1.0
    return {"count": count, "of": len(found), "untied": untied, "p": p}


def limits(judgements: Sequence[Judgement]) -> str:
    """What limits the numbers, each once; with a count where it does not limit all of them."""
    found = _findings(judgements)
    counts = Counter(note for finding in found for note in finding.note.split("; ") if note)
    return "; ".join(
        note if count == len(found) else f"{note} (in {count} of {len(found)})"
        for note, count in counts.items()
    )


def verdicts(judgements: Sequence[Judgement]) -> str:
    """A row a judgement: where, its number and verdict, and why."""
    return table((*HEAD, *NUMBERS, "Verdict", "Why"), map(_line, judgements), right=NUMBERS)


def _findings(judgements: Sequence[Judgement]) -> list[Summary]:
    return [found.finding for found in judgements if found.finding.value is not None]


def _line(found: Judgement) -> list[str]:
    place, finding, numbers = found.place, found.finding, ["–"] * len(NUMBERS)
    if finding.value is not None:
        form = "z.2f" if found.claim.reversion else "z.1f"
        numbers = [
            format(finding.value, form),
            f"{finding.low:{form}} to {finding.high:{form}}",
            (found.untested or "–") if finding.p is None else format(finding.p, ".2g"),
            "–" if finding.n is None else str(finding.n),
            "–" if finding.minimum_effect is None else format(finding.minimum_effect, form),
        ]
    names = " to ".join(map(precision_name, place.grids))
    metric = METRICS[place.metric.removeprefix("reversion_")]
    where = [corpus_name(place.corpus), method_name(place.objective), names or "–", metric]
    return [*where, *numbers, found.verdict, found.reason]
