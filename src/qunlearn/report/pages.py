"""The pages of the report: story, answer, tables, configuration.

The templates of story and answer choose every sentence by the numbers of the experiment at hand, so
that none can be false of another's. The story is reStructuredText, as Snakemake takes it.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from markdown_it import MarkdownIt

from qunlearn.analysis.cells import FORGET_METRICS
from qunlearn.analysis.frame import CLAIMS_TABLE, TESTS_TABLE, read
from qunlearn.analysis.summary import Key, Summary, distinct, summaries
from qunlearn.analysis.verdicts import MARGIN, Outcome, by_adapter, outcomes
from qunlearn.experiment.labels import LINES, adapter_name, method_name, precision_name
from qunlearn.experiment.names import REFERENCES
from qunlearn.quantize.method import Precision
from qunlearn.report.footnotes import learning_rates
from qunlearn.report.templates import VERDICTS, fill, interval, page, rst
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
    tests = read(tables / "tests.csv", TESTS_TABLE)
    claims = read(tables / "claims.csv", CLAIMS_TABLE)
    main = {
        key: one
        for key, one in found.items()
        if key.adapter in ("none", *LINES) and not Precision.parse(key.precision).midrise
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
        controls=[one for one in reversions if one.key.adapter not in LINES],
        midrise=[one for one in reversions if one.midrise and one.key.adapter in LINES],
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
    shown = [one for one in found if one.key.adapter in LINES and not one.midrise]
    highest_first = sorted(shown, key=lambda one: one.reversion.value or 0.0, reverse=True)
    words: dict[str, Any] = {"settings": settings, "metric": MAIN_METRIC, "results": results}
    variants = {name: by_adapter(highest_first)[name] for name in by_adapter(shown)}
    return fill("answer.txt.j2", **words, shown=shown, variants=variants, verdicts=VERDICTS)


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


def report_page(name: str, results: Path, settings: dict[str, Any]) -> str:
    """A page of the report: reStructuredText (`story`), plain text (`answer`) or HTML (the others).

    Args:
        name: `story`, `answer`, `configuration` (every key as it was used), or a table that is
            there as Markdown.
        results: the experiment's folder.
        settings: the resolved configuration.

    Raises:
        InputError: a CSV table is missing or broken.
    """
    match name:
        case "story":
            return story(results / "tables", settings, [learning_rates(settings)])
        case "answer":
            return answer(results, settings)
        case "configuration":
            shown = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
            return page("Configuration", f"<pre>{escape(shown)}</pre>")
    text = (results / f"tables/{name}.md").read_text(encoding="utf-8")
    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text)
    return page(name.capitalize(), body)
