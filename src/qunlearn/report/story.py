"""The report's start page: the question, what was done and found, in words that follow the numbers.

Every sentence is chosen by the numbers of the experiment at hand, so that none can be false of
another experiment's. The page is reStructuredText, as Snakemake takes it.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from qunlearn.analysis.cells import FORGET_METRICS
from qunlearn.analysis.metrics import REFERENCES
from qunlearn.analysis.summary import Key, Summary, distinct, summaries
from qunlearn.analysis.verdicts import MARGIN, Outcome, by_adapter, counted, outcomes
from qunlearn.experiment.controls import NEEDED
from qunlearn.experiment.labels import METRICS, number
from qunlearn.experiment.names import BEFORE
from qunlearn.quantize.method import Precision
from qunlearn.report.finished import read_table
from qunlearn.report.rst import (
    adapter,
    corpus,
    escaped,
    interval,
    listed,
    method,
    precision,
    spread,
    tallied,
)
from qunlearn.report.templates import fill
from qunlearn.statistics.inference import ALPHA

MAIN_METRIC = "nll_forget"  # moves smoothly where scores of a few dozen items jump
MEASURED = (
    ("projection_adaptive", "projection", ".2f"),
    ("zero_bin_moved", "share of the moved weights in the bin of 0", ".2f"),
    ("relative_norm", "size of the update", ".3f"),
)
MECHANISM = ("corpus", "objective", "adapter", "precision", *(name for name, _, _ in MEASURED))
SOURCES = {
    "mini": "generated text about invented entities",
    "local": "text in MUSE's layout, from a folder supplied by the user",
}
MODELS = {
    "scratch": "trained from scratch by the workflow",
    "train": "trained by the workflow",
}
GIVEN = "a checkpoint supplied by the user"
Summaries = Mapping[Key, Summary]


def experiment_story(tables: Path, settings: Mapping[str, Any], notes: Sequence[str] = ()) -> str:
    """The page of a finished experiment, from its folder of tables.

    Args:
        settings: the resolved configuration.
        notes: sentences on how the models were trained.

    Raises:
        InputError: a table is missing or broken.
    """
    return story(
        summaries(tables / "summary.csv"),
        read_table(tables / "mechanism.csv", *MECHANISM),
        read_table(tables / "tests.csv", "family", "p_holm"),
        read_table(tables / "claims.csv", "claim", "verdict"),
        settings,
        notes,
    )


def story(
    found: Summaries,
    mechanism: pd.DataFrame,
    tests: pd.DataFrame,
    claims: pd.DataFrame,
    settings: Mapping[str, Any],
    notes: Sequence[str] = (),
) -> str:
    """The page.

    Args:
        found: every metric of every variant and precision, over its seeds.
        mechanism, tests, claims: the rows of these tables, as text.
        settings: the resolved configuration.
        notes: sentences on how the models were trained.
    """
    main = {key: one for key, one in found.items() if _is_main(key)}
    reversions = outcomes(found, MAIN_METRIC)
    midrise = [one for one in reversions if one.midrise and one.key.adapter in NEEDED]
    tested = _tests(tests)
    return fill(
        "story.rst.j2",
        experiment=settings["experiment"],
        seeds=len(settings["seeds"]),
        scratch=settings["models"]["base"] == "scratch",
        margin=f"{MARGIN:g}",
        corpora=[_answer(main, name) for name in distinct(key.corpus for key in main)],
        facts=_facts(main, settings),
        notes=list(map(escaped, notes)),
        costs=_costs(main),
        arrived=_arrived(main, mechanism),
        controls=_by_variant(one for one in reversions if one.key.adapter not in NEEDED),
        midrise=_by_variant(midrise),
        tests=tested,
        untested=len(tests) > 0 and not tested,
        claims=_claims(claims),
    )


def _is_main(key: Key) -> bool:
    return key.adapter in ("none", *NEEDED) and not Precision.parse(key.precision).midrise


def _answer(found: Summaries, name: str) -> dict[str, Any]:
    """What the page says of one corpus."""
    own = {key: one for key, one in found.items() if key.corpus == name}
    main = outcomes(own, MAIN_METRIC)
    if not main:
        return {"name": corpus(name), "count": 0}
    counts = counted(main)
    others = {metric: outcomes(own, metric) for metric in FORGET_METRICS if metric != MAIN_METRIC}
    return {
        "name": corpus(name),
        "count": len(main),
        "measured": _items(main),
        "headline": tallied(counts if "came back" in counts else {"came back": 0, **counts}),
        "variants": _by_variant(main),
        "measures": [
            f"{METRICS[metric]}{_items(one)}: {tallied(counted(one))}."
            for metric, one in others.items()
            if one
        ],
        "table": _table(main),
    }


def _by_variant(found: Iterable[Outcome]) -> list[str]:
    lines = []
    for name, group in by_adapter(found).items():
        back = [
            f"{precision(outcome.key.precision)} under {method(outcome.key.objective)}: "
            f"{interval(outcome.reversion)}"
            for outcome in group
            if outcome.verdict == "came back"
        ]
        shown = f" Where it came back: {'; '.join(back)}." if back else ""
        doubtful = [
            f"{precision(outcome.key.precision)} under {method(outcome.key.objective)}: "
            f"{interval(outcome.reversion)}, could show {outcome.could_show:.2f}"
            for outcome in group
            if outcome.verdict == "inconclusive"
        ]
        shown += f" Inconclusive: {'; '.join(doubtful)}." if doubtful else ""
        of = "" if len(counted(group)) == 1 else f"of {len(group)}, "
        lines.append(f"{adapter(name)}: {of}{tallied(counted(group))}.{shown}")
    return lines


def _table(found: Sequence[Outcome]) -> list[list[str]]:
    """A row for each method and variant, a column for each grid; the first row is the head."""
    grids = distinct(outcome.key.precision for outcome in found)
    cells = {outcome.key[1:4]: outcome for outcome in found}

    def shown(outcome: Outcome | None) -> str:
        if outcome is None:
            return "–"
        text = interval(outcome.reversion)
        return f"**{text}**" if outcome.verdict == "came back" else text

    rows = distinct((outcome.key.objective, outcome.key.adapter) for outcome in found)
    lines = [
        [method(objective), adapter(name)]
        + [shown(cells.get((objective, name, grid))) for grid in grids]
        for objective, name in rows
    ]
    return [["Method", "Variant", *map(precision, grids)], *lines]


def _facts(found: Summaries, settings: Mapping[str, Any]) -> dict[str, str]:
    keys = [key for key in found if key.objective not in REFERENCES]
    source, models, seeds = settings["corpus"]["source"], settings["models"], settings["seeds"]
    size = ""
    if models["base"] == "scratch":
        shape = models["architecture"]
        size = f" (a Llama of {shape['layers']} layers, {shape['hidden']} wide)"
    base, target, retrain = (
        MODELS.get(str(models[name]), GIVEN) for name in ("base", "target", "retrain")
    )
    return {
        "Corpora": f"{listed(map(corpus, distinct(key.corpus for key in found)))}, "
        f"{SOURCES.get(source, f'from the source {source}')}",
        "Base": f"{base}{size}",
        "Target": f"the model before unlearning; {target}",
        "Retrain": f"stands for never having seen the forget texts; {retrain}",
        "Methods": listed(map(method, distinct(key.objective for key in keys))),
        "Variants of the update": listed(map(adapter, distinct(key.adapter for key in keys))),
        "Seeds": f"{listed(map(str, seeds))} ({len(seeds)} run{'s' * (len(seeds) > 1)} of each)",
        "Precisions": listed(map(precision, distinct(key.precision for key in found))),
    }


def _costs(found: Summaries) -> list[str]:
    lines = []
    for name in distinct(key.corpus for key in found):
        for metric in ("utility", "privleak"):
            values = {
                key[1:3]: one.value
                for key, one in found.items()
                if (key.corpus, key.precision, key.metric) == (name, BEFORE, metric)
                and one.value is not None
            }
            target, retrain = (values.pop((each, "none"), None) for each in REFERENCES)
            if values and target is not None and retrain is not None:
                ends = (min(values.values()), max(values.values()))
                shown = distinct(number(metric, value) for value in ends)
                lines.append(
                    f"{METRICS[metric]} in bf16, {corpus(name)}: {' to '.join(shown)} in the "
                    f"unlearned models, {number(metric, target)} in target, "
                    f"{number(metric, retrain)} in retrain."
                )
    return lines


def _arrived(found: Summaries, mechanism: pd.DataFrame) -> list[str]:
    verdicts = {outcome.key[:4]: outcome.verdict for outcome in outcomes(found, MAIN_METRIC)}
    cells = zip(*(mechanism[name] for name in MECHANISM[:4]), strict=True)
    reached = pd.Series([verdicts.get(cell, "") for cell in cells], mechanism.index, dtype=object)
    names = {"came back": "came back", "survived": "survived", "inconclusive": "is inconclusive"}
    lines = []
    for verdict, name in names.items():
        rows = mechanism[reached == verdict]
        if len(rows):
            parts = [
                f"{words} {spread(values, form)}"
                for column, words, form in MEASURED
                if (values := _numbers(rows[column]))
            ]
            lines.append(f"where forgetting {name} ({len(rows)}): {'; '.join(parts)}.")
    return lines


def _numbers(column: pd.Series) -> list[float]:
    """Those of a column; where a row has none, its cell is empty or a word says why."""
    return pd.to_numeric(column, errors="coerce").dropna().tolist()


def _tests(tests: pd.DataFrame) -> list[str]:
    """How many tests of each family are significant; nothing where no test has a p-value."""
    families = {
        name: _numbers(tests.loc[tests["family"] == name, "p_holm"])
        for name in distinct(tests["family"])
    }
    if not any(families.values()):
        return []
    return [
        f"``{name}``: p below {ALPHA:g} in {sum(value < ALPHA for value in values)} of "
        f"{len(values)} test{'s' * (len(values) != 1)}."
        for name, values in families.items()
    ]


def _claims(claims: pd.DataFrame) -> list[str]:
    lines = []
    for name in distinct(claims["claim"]):
        verdicts = list(claims.loc[claims["claim"] == name, "verdict"])
        shown = [f"{escaped(one)} in {verdicts.count(one)}" for one in sorted(set(verdicts))]
        lines.append(f"``{name}``: {', '.join(shown)} of {len(verdicts)}.")
    return lines


def _items(found: Iterable[Outcome]) -> str:
    counts = [outcome.reversion.n for outcome in found if outcome.reversion.n is not None]
    return f" (n = {spread(counts, '.0f')})" if counts else ""
