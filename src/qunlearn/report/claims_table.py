"""The verdicts on the claims as CSV, and as Markdown for people."""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter
from pathlib import Path

from scipy.stats import binomtest

from qunlearn.analysis.claims import SCOPES, Judgement, claims_csv
from qunlearn.analysis.summary import Summary
from qunlearn.report.templates import fill
from qunlearn.run.files import write_text
from qunlearn.statistics.inference import ALPHA


def write_claims(
    ours: Sequence[Judgement], published: Sequence[Judgement], folder: Path, notes: Sequence[str]
) -> None:
    """Write claims.csv, claims_published.csv and claims.md into `folder`.

    Args:
        notes: sentences on how the models were trained, which the verdicts hold for.
    """
    words = {"alpha": f"{ALPHA:g}", "scopes": SCOPES, "signs": signs, "limits": limits}
    mine, theirs = (
        {claim: list(own) for claim, own in groupby(judged, attrgetter("claim"))}
        for judged in (ours, published)
    )
    text = fill("claims.md.j2", notes=notes, ours=mine, theirs=theirs, **words)
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


def _findings(judgements: Sequence[Judgement]) -> list[Summary]:
    return [found.finding for found in judgements if found.finding.value is not None]
