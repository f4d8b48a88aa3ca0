"""The verdicts on the claims as CSV, and as Markdown for people."""

import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from qunlearn.analysis.claims import SCOPES, Claim, Judgement, as_csv
from qunlearn.analysis.summary import distinct
from qunlearn.analysis.verdicts import VERDICTS, Finding
from qunlearn.experiment.labels import (
    METRICS,
    adapter_name,
    corpus_name,
    method_name,
    precision_name,
)
from qunlearn.run.files import write_text
from qunlearn.statistics.inference import ALPHA

HEADER = (
    "Corpus",
    "Method",
    "Precision",
    "Metric",
    "Number",
    "95 % interval",
    "p",
    "n",
    "Could show",
    "Verdict",
    "Why",
)
_INTRODUCTION = f"""\
# What is claimed, and what this experiment says

Each claim is judged in every corpus, method, precision and metric by itself. A claim says on which
side of a threshold a number lies: above 0 for differences of Utility and PrivLeak; above or below a
margin for *reversion*, which is the share of the way back to the equally quantized target (0: all
that was forgotten stayed forgotten; 1: all of it came back). What explains reversion is not held to
be contradicted on a grid on which nothing reverts.

* **supported**: the whole 95 % interval is on the claimed side of the threshold.
* **contradicted**: the whole interval is on the other side.
* **undecided**: the interval holds the threshold, or there is no number. A difference between two
  variants takes a test as well: it is undecided where p is above {ALPHA:g} after Holm's correction,
  which allows for the number of tests, and with fewer than three seeds, on which nothing is tested.
  (The test is over items and seeds: `src/qunlearn/statistics/inference.py`.)

Reversion stands by its interval alone. With one seed that is over the items of one run: another run
may fall outside it.

*Undecided* does not mean *false*. *Could show* is the smallest true effect that this many items
would have found four times out of five, in the unit of the number. The cells of an experiment share
models and questions, so that their counts are no independent votes.
"""
_PUBLISHED = """\
# The same rule on the paper's table

The paper has one seed and gives no intervals: 100 questions a score, 100 forget against 100 holdout
texts. So no difference can be tested, and none is decided. Each number has the interval that its
items alone imply, ± 1.96 standard errors:

* a score of mean p (0 to 1) over n questions has at most the standard error √(p(1 − p)/n), here 5
  points at p = 0.5; scores that are not all 0 or 1 have less, 3.7 points where they spread with a
  standard deviation of 37;
* PrivLeak has that of its AUC by Hanley and McNeil's formula (1982), divided by the AUC of retrain,
  which is held fixed.

The two variants answered the same questions, but their answers were not published: a paired
comparison, which would be sharper, cannot be made. Reversion cannot be computed, since no quantized
target was published. What no single cell decides, their signs may: a sign test stands beside the
counts. The cells of a corpus share their questions, so that its p is rather too small.
"""


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
    theirs = _report(published, own_models=True)
    introduction = "\n".join([_INTRODUCTION, *(f"{note}\n" for note in notes)])
    text = f"{introduction}\n{_report(ours)}\n{_PUBLISHED}\n{theirs}"
    write_text(folder / "claims.csv", as_csv(ours))
    write_text(folder / "claims_published.csv", as_csv(published))
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
    findings = [found.finding for found in judgements if isinstance(found.finding, Finding)]
    if not findings:
        return "No number."
    sign, side = (1, "above") if claim.of.above else (-1, "below")
    distances = [sign * (finding.value - claim.threshold) for finding in findings]
    count = sum(distance > 0 for distance in distances)
    words = f"The number itself is {side} {claim.threshold:g} in {count} of {len(findings)}."
    untied = sum(distance != 0 for distance in distances)
    if own_models and untied:
        chance = sign_test(count, untied)
        words += (
            f" Were these independent (without ties: {untied}), so uneven a count would come up by "
            f"chance with p = {chance:.2g} (sign test)."
        )
    return words


def sign_test(count: int, n: int) -> float:
    """Two-sided p of `count` heads in `n` throws of a fair coin (the sign test)."""
    tail: int = sum(math.comb(n, k) for k in range(max(count, n - count), n + 1))
    return min(1.0, 2.0 * tail / float(2**n))


def _report(judgements: Sequence[Judgement], own_models: bool = False) -> str:
    """The overview and a section a claim; with sign tests where each cell has its own models."""
    claims = distinct(found.claim for found in judgements)
    groups = {
        (claim, scope): [
            found for found in judgements if (found.claim, found.place.scope) == (claim, scope)
        ]
        for claim in claims
        for scope in SCOPES
    }
    scopes = [scope for scope in SCOPES if any(groups[claim, scope] for claim in claims)]
    overview = [
        [
            f"`{claim.id}`",
            claim.statement,
            *(in_words(groups[claim, scope]) if groups[claim, scope] else "–" for scope in scopes),
        ]
        for claim in claims
    ]
    parts = [_table(("Claim", "It says", *(SCOPES[scope] for scope in scopes)), overview)]
    for claim in claims:
        parts.append(_describe(claim))
        for scope, words in SCOPES.items():
            if found := groups[claim, scope]:
                parts.append(
                    f"With {words}: {in_words(found)}. {signs_in_words(found, own_models)}\n"
                )
        own = [found for found in judgements if found.claim == claim]
        parts.append(_table(HEADER, [_line(found) for found in own]))
        if limits := _limits(own):
            parts.append(f"Limits: {limits}.\n")
    return "\n".join(parts)


def _describe(claim: Claim) -> str:
    variant, against = adapter_name(claim.variant), adapter_name(claim.against)
    number = {
        "level": f"{variant} minus {against}",
        "drop": f"what {against} loses from bf16 on, minus what {variant} loses",
        "nearer_zero": f"distance from 0 of {against} minus that of {variant}",
        "kept": f"reversion of {variant}",
        "reverts": f"reversion of {variant}",
        "more": f"reversion of {variant} minus that of {against}",
        "grows": f"reversion of {variant} on the coarser grid minus that at 4 bits",
    }[claim.kind]
    return (
        f"## `{claim.id}`\n\n"
        f"{claim.statement}\n\n"
        f"* Source: {claim.source}.\n"
        f"* The number: {number}. Threshold: {claim.threshold:g}.\n"
        f"* Supports it: {claim.supported} Contradicts it: {claim.contradicted}\n"
    )


def _line(found: Judgement) -> list[str]:
    place, finding = found.place, found.finding
    numbers = ["–"] * 5
    if isinstance(finding, Finding):
        form = "z.2f" if found.claim.of.reversion else "z.1f"
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
        " to ".join(map(precision_name, place.precision.split(" to "))) if place.precision else "–",
        METRICS[place.metric.removeprefix("reversion_")],
        *numbers,
        found.verdict,
        found.reason,
    ]


def _limits(judgements: Sequence[Judgement]) -> str:
    """What limits the numbers, each once; with its count where it is not said of all of them."""
    findings = [found.finding for found in judgements if isinstance(found.finding, Finding)]
    counts = Counter(note for finding in findings for note in finding.note.split("; ") if note)
    return "; ".join(
        note if count == len(findings) else f"{note} (in {count} of {len(findings)})"
        for note, count in counts.items()
    )


def _table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A pipe table; what is in words stands left, numbers stand right."""
    words = ("Why", "Verdict", "It says", "Claim", *SCOPES.values(), *HEADER[:4])
    marks = ["---" if name in words else "--:" for name in header]
    return "".join(f"| {' | '.join(line)} |\n" for line in (header, marks, *lines))
