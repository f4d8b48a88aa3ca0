"""The report's start page, and the answer in a few lines, in words that follow the numbers.

The templates choose every sentence by the numbers of the experiment at hand, so that none can be
false of another experiment's. The page is reStructuredText, as Snakemake takes it.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from qunlearn.analysis.cells import FORGET_METRICS
from qunlearn.analysis.frame import CLAIMS_TABLE, MECHANISM_TABLE, TESTS_TABLE, read
from qunlearn.analysis.summary import Key, Summary, distinct, summaries
from qunlearn.analysis.verdicts import MARGIN, Outcome, by_adapter, outcomes
from qunlearn.experiment.controls import NEEDED
from qunlearn.experiment.labels import METRICS, adapter_name, method_name, number, precision_name
from qunlearn.experiment.names import BEFORE, REFERENCES
from qunlearn.quantize.method import Precision
from qunlearn.report.templates import VERDICTS, fill, interval, rst
from qunlearn.statistics.inference import ALPHA

MAIN_METRIC = "nll_forget"  # moves smoothly where scores of a few dozen items jump
Summaries = Mapping[Key, Summary]


def story(tables: Path, settings: Mapping[str, Any], notes: Sequence[str]) -> str:
    """The page of a finished experiment, from its folder of tables.

    Args:
        settings: the resolved configuration.
        notes: sentences on how the models were trained.

    Raises:
        InputError: a table is missing or broken.
    """
    found = summaries(tables / "summary.csv")
    mechanism = read(tables / "mechanism.csv", MECHANISM_TABLE)
    tests = read(tables / "tests.csv", TESTS_TABLE)
    claims = read(tables / "claims.csv", CLAIMS_TABLE)
    main = {
        key: one
        for key, one in found.items()
        if key.adapter in ("none", *NEEDED) and not Precision.parse(key.precision).midrise
    }
    corpora = distinct(key.corpus for key in main)
    reversions = outcomes(found, MAIN_METRIC)
    p_values = pd.to_numeric(tests["p_holm"], errors="coerce").groupby(tests["family"], sort=False)
    return fill(
        "story.rst.j2",
        settings=settings,
        margin=f"{MARGIN:g}",
        alpha=f"{ALPHA:g}",
        main=list(main),
        unlearned=[key for key in main if key.objective not in REFERENCES],
        by_adapter=by_adapter,
        corpora=[_answer(main, name) for name in corpora],
        notes=notes,
        costs=[_cost(main, name, metric) for name in corpora for metric in ("utility", "privleak")],
        arrived=_arrived(main, mechanism),
        controls=[one for one in reversions if one.key.adapter not in NEEDED],
        midrise=[one for one in reversions if one.midrise and one.key.adapter in NEEDED],
        tests={family: (int((p < ALPHA).sum()), int(p.count())) for family, p in p_values},
        claims={name: list(own) for name, own in claims.groupby("claim", sort=False)["verdict"]},
    )


def answer(results: Path, settings: Mapping[str, Any]) -> str:
    """What came back and what did not: a line for each variant of the update and verdict.

    Args:
        results: the experiment's folder, whose summary is read.
        settings: the resolved configuration.

    Raises:
        InputError: the summary is missing or broken.
    """
    found = outcomes(summaries(results / "tables/summary.csv"), MAIN_METRIC)
    shown = [one for one in found if one.key.adapter in NEEDED and not one.midrise]
    highest_first = sorted(shown, key=lambda one: one.reversion.value or 0.0, reverse=True)
    words: dict[str, Any] = {"settings": settings, "metric": MAIN_METRIC, "results": results}
    variants = {name: by_adapter(highest_first)[name] for name in by_adapter(shown)}
    return fill("answer.txt.j2", **words, shown=shown, variants=variants, verdicts=VERDICTS)


def answer_table(found: Summaries, precisions: Collection[str], metric: str = "verbmem") -> str:
    """One metric as Markdown: a row for target, retrain and each variant, a column a precision.

    Args:
        found: every metric, of one corpus and one objective.
        precisions: those of the columns.
    """
    shown: dict[str, dict[str, str]] = {}
    for key, own in found.items():
        if key.metric == metric and key.precision in precisions:
            name = key.objective if key.objective in REFERENCES else adapter_name(key.adapter)
            text = own.absent
            if own.value is not None:
                text = f"{number(metric, own.value)} ±{number(metric, own.half)}"
            shown.setdefault(precision_name(key.precision), {})[name] = text
    table = pd.DataFrame(shown).rename_axis(f"{METRICS[metric]} (95 % interval)").reset_index()
    return str(table.to_markdown(index=False, disable_numparse=True))


def _answer(found: Summaries, name: str) -> dict[str, Any]:
    """The outcomes of one corpus by each measure of forgetting, and the table of the main one."""
    own = {key: one for key, one in found.items() if key.corpus == name}
    measures = {metric: outcomes(own, metric) for metric in FORGET_METRICS}
    main = measures.pop(MAIN_METRIC)
    return {"name": name, "main": main, "measures": measures, "table": _table(main) if main else ""}


def _table(found: Sequence[Outcome]) -> str:
    """A row for each method and variant, a column for each grid."""
    cells: dict[str, dict[tuple[str, str], str]] = {}
    for outcome in found:
        text, key = interval(outcome.reversion), outcome.key
        shown = f"**{text}**" if outcome.verdict == "came back" else text
        row = rst(method_name(key.objective)), rst(adapter_name(key.adapter))
        cells.setdefault(rst(precision_name(key.precision)), {})[row] = shown
    frame = pd.DataFrame(cells).fillna("–").rename_axis(["Method", "Variant"])
    return str(frame.reset_index().to_markdown(index=False, tablefmt="rst", disable_numparse=True))


def _cost(found: Summaries, name: str, metric: str) -> dict[str, Any]:
    """A metric of one corpus in bf16: of target and retrain, and its span in unlearned models."""
    values = {
        key[1:3]: one.value
        for key, one in found.items()
        if (key.corpus, key.precision, key.metric) == (name, BEFORE, metric)
        and one.value is not None
    }
    known = {each: values.pop((each, "none"), None) for each in REFERENCES}
    shown = {each: number(metric, value) for each, value in known.items() if value is not None}
    ends = [min(values.values()), max(values.values())] if values else []
    unlearned = " to ".join(distinct(number(metric, value) for value in ends))
    return {"corpus": name, "metric": metric, "unlearned": unlearned, **shown}


def _arrived(found: Summaries, mechanism: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Verdict -> the rows of the models and grids that it was given to, numbers alone."""
    verdicts = {tuple(one.key[:4]): one.verdict for one in outcomes(found, MAIN_METRIC)}
    cells = mechanism[["corpus", "objective", "adapter", "precision"]].itertuples(index=False)
    reached = pd.Series([verdicts.get(tuple(cell), "") for cell in cells], mechanism.index, str)
    numbers = mechanism.apply(pd.to_numeric, errors="coerce")
    known = ("came back", "survived", "inconclusive")
    return {name: numbers[reached == name] for name in known if (reached == name).any()}
