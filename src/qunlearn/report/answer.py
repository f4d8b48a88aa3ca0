"""The answer in a few lines: on the screen when a run has ended, and as README's table."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from qunlearn.analysis.summary import Key, Summary, summaries
from qunlearn.analysis.verdicts import Outcome, by_adapter, outcomes
from qunlearn.experiment.controls import NEEDED
from qunlearn.experiment.labels import (
    METRICS,
    adapter_name,
    corpus_name,
    method_name,
    number,
    precision_name,
)
from qunlearn.experiment.names import REFERENCES
from qunlearn.report.story import MAIN_METRIC
from qunlearn.report.templates import VERDICTS, fill

MOST = 6  # cells of one verdict that a line names


def answer(results: Path, settings: Mapping[str, Any]) -> str:
    """What came back and what did not: a line for each variant of the update and verdict.

    Args:
        results: the experiment's folder, whose summary is read.
        settings: the resolved configuration.

    Raises:
        InputError: the summary is missing or broken.
    """
    found = summaries(results / "tables/summary.csv")
    shown = [
        one for one in outcomes(found, MAIN_METRIC) if one.key.adapter in NEEDED and not one.midrise
    ]
    corpora, methods = ({one.key[place] for one in shown} for place in (0, 1))

    def name(one: Outcome) -> str:
        parts = [corpus_name(one.key.corpus)] if len(corpora) > 1 else []
        parts += [method_name(one.key.objective)] if len(methods) > 1 else []
        return " ".join([*parts, precision_name(one.key.precision)])

    return fill(
        "answer.txt.j2",
        settings=settings,
        seeds=len(settings["seeds"]),
        metric=METRICS[MAIN_METRIC],
        variants=[(adapter, _by_verdict(own)) for adapter, own in by_adapter(shown).items()],
        name=name,
        most=MOST,
        results=results,
    )


def answer_table(
    found: Mapping[Key, Summary], precisions: Collection[str], metric: str = "verbmem"
) -> str:
    """One metric as Markdown: a row for target, retrain and each variant, a column a precision.

    Args:
        found: every metric, of one corpus and one objective.
        precisions: those of the columns.
    """
    shown: dict[str, dict[str, str]] = {}
    for key, own in found.items():
        if key.metric == metric and key.precision in precisions:
            name = key.objective if key.objective in REFERENCES else adapter_name(key.adapter)
            shown.setdefault(precision_name(key.precision), {})[name] = _with_half_width(
                metric, own
            )
    table = pd.DataFrame(shown).rename_axis(f"{METRICS[metric]} (95 % interval)").reset_index()
    return str(table.to_markdown(index=False, disable_numparse=True))


def _with_half_width(metric: str, own: Summary) -> str:
    if own.value is None or own.low is None or own.high is None:
        return own.absent
    return f"{number(metric, own.value)} ±{number(metric, (own.high - own.low) / 2)}"


def _by_verdict(found: list[Outcome]) -> list[tuple[str, list[Outcome]]]:
    """Those of one verdict side by side, the highest reversion first."""
    found = sorted(found, key=lambda one: one.reversion.value or 0.0, reverse=True)
    groups = [(word, [one for one in found if one.verdict == word]) for word in VERDICTS]
    return [(word, own) for word, own in groups if own]
