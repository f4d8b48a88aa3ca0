"""The audit of a user's own model: does what was removed stay removed in the formats that ship?

A verdict on each format and forget metric, by reversion (`analysis.cells`) and the one rule of
`analysis.verdicts`, the whole interval on one side of a threshold:

* survives: below `MARGIN`;
* reverts: above `HALF` of the way back to the equally quantized model from before;
* partly reverts: above the margin, but not shown to be above half;
* inconclusive: this many items cannot tell; the effect that they could have shown stands beside it;
* undefined: in this format the metric does not tell the models before and after apart;
* broken: the model is useless (see `Usefulness`), so that what it forgot means nothing. What comes
  back all the same is told as such.

The control is the model that was never unlearned: in bf16 it must come out as *remembered*, higher
by the forget metric than the model after; else the metric, and where none does the audit, cannot
tell.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from qunlearn.analysis.cells import FORGET_METRICS
from qunlearn.analysis.summary import Key, Summary, distinct
from qunlearn.analysis.verdicts import MARGIN, Outcome, outcomes
from qunlearn.experiment.labels import METRICS as LABELS
from qunlearn.experiment.names import AFTER, BEFORE, GIVEN, METRICS, REFERENCES, AuditVerdict
from qunlearn.report.templates import fill

HALF = 0.5
"""Of the way back: from here on the forgetting is more gone than kept."""
SEVERITY: tuple[AuditVerdict, ...] = (
    *("reverts", "partly reverts", "broken", "inconclusive", "survives", "undefined"),
)
"""A format's verdict is the first of these that one of its metrics has."""
MISSING = {
    "verbmem": "no forget text that is long enough for a prompt",
    "knowmem": "no questions about the forget text",
    "privleak": "no retrained model and unseen text",
    "utility": "no questions about text to keep",
    "nll_retain": "no text to keep, so that nobody knows whether a model is broken",
}
"""Metric -> what the input lacks where it is absent."""


class Part(BaseModel):
    """A part of audit.json."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Number(Part):
    """A number with its 95 % interval and the items behind it; all null where there is none."""

    value: float | None
    low: float | None
    high: float | None
    n: int | None


class Control(Part):
    """Whether a metric tells the model before, never unlearned, from the one after, in bf16."""

    corpus: str
    metric: str
    remembered: bool
    before: Number
    after: Number
    retrain: Number | None


class Judged(Part):
    """The verdict by one metric.

    `reversion` is the share of the way back to the equally quantized model from before;
    `could_show` the smallest difference from the margin that these items show with a power of 0.8.
    """

    metric: str
    verdict: AuditVerdict
    reversion: Number
    could_show: float | None


class Usefulness(Part):
    """What a format leaves of the usefulness of the model from before in bf16, as a share.

    Of Utility where there are questions; else of the mean probability of a retain token, exp(-NLL).
    Broken: the whole interval lies below the floor.
    """

    metric: Literal["utility", "nll_retain"]
    share: float | None
    low: float | None
    high: float | None
    broken: bool


class Proof(Part):
    """That the format was really made: see `quantize.executed`."""

    library: str
    differing: float
    fewest: float
    sha256: str


class Format(Part):
    """What becomes of the model in one format."""

    corpus: str
    format: str
    verdict: AuditVerdict
    metrics: list[Judged]
    usefulness: Usefulness | None
    proof: Proof


class Audit(Part):
    """audit.json."""

    experiment: str
    models: dict[str, str]
    failed: bool
    reasons: list[str]
    fail_if: list[AuditVerdict]
    floor: float
    margin: float
    control: list[Control]
    formats: list[Format]
    absent: dict[str, str]
    notes: list[str]


def audit(
    found: Mapping[Key, Summary],
    proofs: Mapping[tuple[str, str], Proof],
    floor: float,
    fail_if: Sequence[AuditVerdict],
    experiment: str,
    models: Mapping[str, str],
    notes: Sequence[str] = (),
) -> Audit:
    """Judge every format of a given model.

    Args:
        found: the numbers of an experiment, as of `summary.summaries`.
        proofs: by corpus and precision, of all precisions but bf16.
        floor, fail_if: of the configuration's `audit`.
        models: what to call before, after and retrain.
        notes: sentences on the corpus and the evaluation.
    """
    corpora = distinct(key.corpus for key in found if key.objective == GIVEN)
    control = [own for corpus in corpora for own in _controls(found, corpus)]
    formats = [_format(found, floor, place, proof) for place, proof in proofs.items()]
    known = {key.metric for key in found}
    reasons = [
        f"{own.format}, {LABELS[judged.metric]}: {judged.verdict}"
        for own in formats
        for judged in own.metrics
        if judged.verdict in fail_if
    ]
    for corpus in corpora:
        if not any(own.remembered for own in control if own.corpus == corpus):
            reasons.append(f"{corpus}: no metric tells the model from before from the one after")
    return Audit(
        experiment=experiment,
        models=dict(models),
        failed=bool(reasons),
        reasons=reasons,
        fail_if=list(fail_if),
        floor=floor,
        margin=MARGIN,
        control=control,
        formats=formats,
        absent={
            name: why for name, why in MISSING.items() if name in METRICS and name not in known
        },
        notes=list(notes),
    )


def verdict(outcome: Outcome, broken: bool) -> AuditVerdict:
    """The word for what is known of one metric on one grid."""
    came_back: AuditVerdict = "partly reverts"
    if outcome.reversion.side(HALF) == "above":
        came_back = "reverts"
    words: dict[str, AuditVerdict] = {
        "came back": came_back,
        "survived": "survives",
        "inconclusive": "inconclusive",
        "undefined": "undefined",
        "diverged": "broken",
    }
    word = words[outcome.verdict]
    return "broken" if broken and word != came_back else word


def usefulness(
    found: Mapping[Key, Summary], corpus: str, precision: str, floor: float
) -> Usefulness | None:
    """Of the model after in a precision; None where nothing to keep was given."""
    for metric in ("utility", "nll_retain"):
        before = found.get(Key(corpus, "target", "none", BEFORE, metric))
        own = found.get(Key(corpus, GIVEN, AFTER, precision, metric))
        if before is None or before.value is None or own is None:
            continue
        if own.numbers is None:
            return Usefulness(metric=metric, share=None, low=None, high=None, broken=True)
        if metric == "utility" and not before.value:
            continue
        reference, ends = before.value, own.numbers
        if metric == "utility":
            share, low, high = (value / reference for value in ends)
        else:
            share, high, low = (math.exp(reference - value) for value in ends)
        numbers = {"share": _round(share), "low": _round(low), "high": _round(high)}
        return Usefulness(metric=metric, **numbers, broken=high < floor)
    return None


def markdown(own: Audit) -> str:
    """audit.md: one page."""
    return fill("audit.md.j2", audit=own, half=HALF, words=LABELS, number=number)


def schema() -> str:
    """The JSON schema of audit.json, as in resources/audit.schema.json."""
    import json

    return json.dumps(Audit.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def number(own: Number | Usefulness, form: str = "z.2f") -> str:
    """`0.88 [0.87, 0.90]`, or a dash."""
    value = own.share if isinstance(own, Usefulness) else own.value
    if value is None or own.low is None or own.high is None:
        return "–"
    return f"{value:{form}} [{own.low:{form}}, {own.high:{form}}]"


def _controls(found: Mapping[Key, Summary], corpus: str) -> list[Control]:
    """By each forget metric that the corpus has; reversion in bf16 is undefined where it fails."""
    made = []
    for metric in FORGET_METRICS:
        keys = {name: Key(corpus, name, "none", BEFORE, metric) for name in REFERENCES}
        after = Key(corpus, GIVEN, AFTER, BEFORE, metric)
        if after not in found:
            continue
        retrain = found.get(keys["retrain"])
        made.append(
            Control(
                corpus=corpus,
                metric=metric,
                remembered=found[after._replace(metric=f"reversion_{metric}")].value is not None,
                before=_number(found[keys["target"]]),
                after=_number(found[after]),
                retrain=_number(retrain) if retrain else None,
            )
        )
    return made


def _format(
    found: Mapping[Key, Summary], floor: float, place: tuple[str, str], proof: Proof
) -> Format:
    corpus, precision = place
    useful = usefulness(found, corpus, precision, floor)
    broken = useful is not None and useful.broken
    metrics = []
    for metric in FORGET_METRICS:
        for one in outcomes(found, metric):
            if one.key == Key(corpus, GIVEN, AFTER, precision, metric):
                effect = _round(one.could_show) if one.reversion.value is not None else None
                word, back = verdict(one, broken), _number(one.reversion)
                metrics.append(
                    Judged(metric=metric, verdict=word, reversion=back, could_show=effect)
                )
    words = {own.verdict for own in metrics}
    worst = next(word for word in SEVERITY if word in words)
    return Format(
        corpus=corpus,
        format=precision,
        verdict=worst,
        metrics=metrics,
        usefulness=useful,
        proof=proof,
    )


def _number(own: Summary) -> Number:
    value, low, high = own.numbers or (None, None, None)
    return Number(value=_round(value), low=_round(low), high=_round(high), n=own.n)


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
