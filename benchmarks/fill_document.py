"""Put the results of finished runs into README or docs: written by a command, never by hand."""

import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pandas as pd

from benchmarks.format_costs import costs_markdown
from benchmarks.learning_rates import read_rate, window_markdown, write_window
from benchmarks.run_spread import Run, measure, spread_notes
from benchmarks.window_figure import plot_window
from qunlearn.analysis.comparisons import better
from qunlearn.analysis.summary import Key, Summary, read_metrics, summaries
from qunlearn.experiment.controls import NEEDED
from qunlearn.experiment.labels import METRICS, adapter_name, number, precision_name
from qunlearn.experiment.names import REFERENCES
from qunlearn.report.main_table import as_markdown, main_table
from qunlearn.report.mechanism_tables import arrivals, mechanism_markdown, reversion_markdown
from qunlearn.run.cli import run_script
from qunlearn.run.errors import InputError
from qunlearn.run.files import write_text

NOTES, SPREAD = "notes.txt", "spread.csv"
MADE = ("Seeds:", "Learning rates:", "Processor:")
"""The notes of the main table that the page on the mechanism repeats."""


def replace_marked(file: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- NAME: … -->` and `<!-- end of NAME -->` in `file`.

    Raises:
        InputError: the file lacks the marks.
    """
    pattern = rf"(<!-- {name}:[^\n]*-->\n).*?(<!-- end of {name} -->)"
    content = file.read_text(encoding="utf-8")
    replaced, count = re.subn(
        pattern, lambda match: f"{match[1]}\n{text}\n{match[2]}", content, flags=re.DOTALL
    )
    if count != 1:
        raise InputError(f"{file}: needs one '<!-- {name}: … -->' and '<!-- end of {name} -->'")
    write_text(file, replaced)


def copy_figure(results: Path, name: str, folder: Path) -> None:
    """Copy the figure `name` of a run into `folder`."""
    shutil.copy(results / f"figures/{name}.png", folder)


def fill_table(
    results: Path, others: Sequence[Path], precisions: Collection[str], document: Path, docs: Path
) -> None:
    """Put the main table of some precisions into a document, and a run's numbers into `docs`.

    Args:
        results: a finished run.
        others: finished runs of it on other processors, for how far those move a number.
        docs: gets the figure of survival, and `results/` with all that the table is made from.

    Raises:
        InputError: a table of a run is missing or broken, or the document lacks its marks.
    """
    kept = docs / "results"
    for name in ("summary.csv", "tests.csv"):
        write_text(kept / name, (results / "tables" / name).read_text(encoding="utf-8"))
    write_text(kept / NOTES, "".join(f"{note}\n" for note in main_notes(results)))
    spread = measure(Run.read(results), [Run.read(other) for other in others])
    if len(spread):
        text = spread.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        write_text(kept / SPREAD, text)
    replace_marked(document, "table", kept_table(kept, precisions))
    copy_figure(results, "survival_of_forgetting", docs)


def fill_answer(docs: Path, precisions: Collection[str], document: Path) -> None:
    """Put the table of one metric into a document, from what `fill_table` kept in `docs`."""
    found = summaries(docs / "results/summary.csv")
    replace_marked(document, "answer", answer_table(found, precisions))


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
            text = own.absent
            if own.value is not None:
                text = f"{number(metric, own.value)} ±{number(metric, own.half)}"
            shown.setdefault(precision_name(key.precision), {})[name] = text
    table = pd.DataFrame(shown).rename_axis(f"{METRICS[metric]} (95 % interval)").reset_index()
    return str(table.to_markdown(index=False, disable_numparse=True))


def main_notes(results: Path) -> list[str]:
    """The notes below a run's main table, except the one on its Markdown."""
    lines = (results / "tables/main.md").read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("* ") for line in lines if line.startswith("* ")][:-1]


def kept_table(kept: Path, precisions: Collection[str]) -> str:
    """The main table of some precisions, from what was kept of a run.

    Raises:
        InputError: a file is missing or broken.
    """
    found = summaries(kept / "summary.csv")
    marked = better(kept / "tests.csv", found)
    shown = {key: own for key, own in found.items() if key.precision in precisions}
    table = main_table(shown, shown.keys() & set(marked))
    notes = (kept / NOTES).read_text(encoding="utf-8").splitlines()
    if (kept / SPREAD).exists():
        notes += spread_notes(pd.read_csv(kept / SPREAD))
    return as_markdown(replace(table, notes=notes))


def fill_mechanism(
    results: Path, cell: tuple[str, str], precisions: Sequence[str], document: Path, docs: Path
) -> None:
    """Put the tables of a run with controls into a document, and its figures into `docs`.

    Args:
        cell: corpus and objective, whose rows are shown.
        precisions: the columns of the controls' table.
    """
    every = summaries(results / "tables/summary.csv")
    found = {key: own for key, own in every.items() if key[:2] == cell}
    main = {key: own for key, own in found.items() if key.adapter in NEEDED}
    coarse = {key: own for key, own in found.items() if key.precision in precisions}
    scores = read_metrics(results / "tables/metrics.csv")
    scores = {key: own for key, own in scores.items() if (key[0].corpus, key[0].objective) == cell}
    measured = arrivals(scores, results / "survival")
    last = measured[measured["precision"] == precisions[-1]]
    trained = measured[measured["adapter"].isin(NEEDED)]
    made = [note for note in main_notes(results) if note.startswith(MADE)]
    for name, text in {
        "made": "".join(f"* {note}\n" for note in made),
        "reversion": reversion_markdown(main),
        "mechanism": mechanism_markdown(trained, found),
        "controls": reversion_markdown(coarse, ("nll_forget", "knowmem")),
        "norms": mechanism_markdown(last, found),
    }.items():
        replace_marked(document, name, text)
    updates = [f"update_{what}_{'_'.join(cell)}" for what in ("over_step", "survival")]
    for name in (*updates, "reversion", "controls"):
        copy_figure(results, name, docs)


def fill_window(
    results: Sequence[Path], cell: tuple[str, str, str], document: Path, docs: Path
) -> None:
    """Put what learning rates decide into a document, its figure and numbers into `docs`.

    Args:
        results: finished runs, one a learning rate, e.g. results/window_half.
        cell: corpus, objective and adapter, whose numbers are shown.
    """
    found = pd.concat([read_rate(run, *cell) for run in results])
    rates = found.sort_values("lr", kind="stable", ignore_index=True)
    write_window(docs / "results/window.csv", rates)
    replace_marked(document, "window", window_markdown(rates))
    plot_window(rates, results[-1] / "figures")
    copy_figure(results[-1], "window", docs)


def fill_map(results: Path, document: Path, docs: Path) -> None:
    """Put the scores of forecasts into a document, their figure and cells into `docs`."""
    kept = (results / "tables/scored.csv").read_text(encoding="utf-8")
    write_text(docs / "results/map.csv", kept)
    replace_marked(document, "map", (results / "tables/score.md").read_text(encoding="utf-8"))
    copy_figure(results, "forecast", docs)


def fill_forecast(results: Path, document: Path, docs: Path) -> None:
    """Put what `qunlearn forecast` wrote into a document, and its figure into `docs`."""
    replace_marked(document, "forecast", (results / "forecast.md").read_text(encoding="utf-8"))
    shutil.copy(results / "forecast.png", docs / "forecast_example.png")


@run_script
def main(
    part: Literal["table", "answer", "mechanism", "window", "forecast", "costs", "map"],
    results: tuple[Path, ...],
    document: Path,
    docs: Path,
    precisions: tuple[str, ...] = (),
    others: tuple[Path, ...] = (),
    corpus: str = "news",
    objective: str = "npo_klr",
    adapter: str = "full_bf16",
) -> None:
    """Write the parts of a document that are results anew, and keep their figures and numbers.

    Args:
        part: the main table; one metric of it; the tables of a run with controls; one variant at
            several rates; the forecast of one pair; what formats cost it in Utility; or the
            scores of forecasts.
        results: the run, e.g. results/mini; of `window` and `costs` several, one a learning rate.
        document: the file; what stands between its marks is written anew.
        docs: the folder for the figures, and in its results/ for the numbers.
        precisions: the rows of the main table, or the columns of `answer` and the controls' table.
        others: runs of the same experiment on other processors, for how far those move a number.
        corpus: whose numbers `mechanism`, `window` and `costs` show.
        objective: likewise.
        adapter: the variant that `window` and `costs` show.
    """
    match part:
        case "table":
            fill_table(results[0], others, precisions, document, docs)
        case "answer":
            found = summaries(results[0] / "tables/summary.csv")
            replace_marked(document, "answer", answer_table(found, precisions))
        case "mechanism":
            fill_mechanism(results[0], (corpus, objective), precisions, document, docs)
        case "window":
            fill_window(results, (corpus, objective, adapter), document, docs)
        case "forecast":
            fill_forecast(results[0], document, docs)
        case "costs":
            text = costs_markdown(results, corpus, objective, adapter)
            replace_marked(document, "costs", text)
        case "map":
            fill_map(results[0], document, docs)
