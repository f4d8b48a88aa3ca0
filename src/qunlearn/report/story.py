"""The report's start page: what was asked, done and found, in words that follow the numbers.

Every sentence is chosen by the numbers of the experiment at hand, so that none can be false of
another experiment's. The page is reStructuredText, as Snakemake takes it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from qunlearn.analysis.metrics import REFERENCES
from qunlearn.analysis.reversion import BEFORE, FORGET_METRICS
from qunlearn.analysis.summary import Key, Summary, distinct
from qunlearn.analysis.verdicts import Outcome, by_adapter, counted, outcomes
from qunlearn.experiment.controls import NEEDED
from qunlearn.experiment.labels import METRICS, number
from qunlearn.quantize.method import Precision
from qunlearn.report import storytext
from qunlearn.report.storytext import (
    adapter,
    bullets,
    corpus,
    escaped,
    interval,
    list_table,
    listed,
    literal,
    method,
    plural,
    precision,
    spread,
    tallied,
)
from qunlearn.statistics.inference import ALPHA

MAIN_METRIC = "nll_forget"  # moves smoothly where scores of a few dozen items jump
MEASURED = (
    ("projection_adaptive", "projection", ".2f"),
    ("zero_bin_moved", "share of the moved weights in the bin of 0", ".2f"),
    ("relative_norm", "size of the update", ".3f"),
)
MECHANISM = ("corpus", "objective", "adapter", "precision", *(name for name, _, _ in MEASURED))
Summaries = Mapping[Key, Summary]
Rows = Sequence[Mapping[str, str]]


def story(
    summaries: Summaries,
    mechanism: Rows,
    settings: Mapping[str, Any],
    tests: Rows = (),
    claims: Rows = (),
    notes: Sequence[str] = (),
) -> str:
    """The page.

    Args:
        summaries: every metric of every variant and precision, over its seeds.
        mechanism: the rows of mechanism.csv.
        settings: the resolved configuration.
        tests: the rows of tests.csv; none where the experiment has no such table.
        claims: the rows of claims.csv; likewise.
        notes: sentences on how the models were trained.
    """
    main = {key: found for key, found in summaries.items() if _is_main(key)}
    sections = {
        "What was asked": [storytext.ASKED],
        "The answer in this experiment": _answer(main, len(settings["seeds"])),
        "What was done": [_done(main, settings, notes)],
        "What else changed": _costs(main),
        "What arrived of the updates": _mechanism(main, mechanism),
        "What the controls show": _controls(summaries),
        "What was tested": [*_tests(tests), *_claims(claims)],
        "What this does not show": [_limits(settings)],
    }
    title = "Does unlearning survive quantization?"
    parts = [storytext.STYLE, f"{title}\n{'=' * len(title)}"]
    parts += [f"Experiment {literal(settings['experiment'])}. {storytext.MEANING}"]
    for head, paragraphs in sections.items():
        if paragraphs:
            parts += [f"{head}\n{'-' * len(head)}", *paragraphs]
    return "\n\n".join(parts) + "\n"


def _is_main(key: Key) -> bool:
    return key.adapter in ("none", *NEEDED) and not Precision.parse(key.precision).midrise


def _answer(summaries: Summaries, seeds: int) -> list[str]:
    paragraphs = []
    for name in distinct(key.corpus for key in summaries):
        own = {key: one for key, one in summaries.items() if key.corpus == name}
        found = outcomes(own, MAIN_METRIC)
        if not found:
            paragraphs.append(
                f"{corpus(name)}: no model was unlearned and quantized to anything but bf16, so "
                "that nothing can be said of what comes back."
            )
            continue
        paragraphs += [
            f"**{corpus(name)}.** By the NLL of the forget texts{_items(found)}, "
            f"{'one seed' if seeds == 1 else f'the mean of {seeds} seeds'}: of "
            f"{plural(len(found), 'combination', 'combinations')} of method, variant and grid, "
            f"forgetting {_headline(found)}.",
            bullets(_by_variant(found)),
            "By the other measures of forgetting:",
            bullets(
                f"{METRICS[metric]}{_items(others)}: {tallied(counted(others))}."
                for metric in FORGET_METRICS
                if metric != MAIN_METRIC and (others := outcomes(own, metric))
            ),
            f"Reversion by the NLL of the forget texts of {corpus(name)}, with 95 % intervals:",
            list_table(_table(found)),
        ]
    return [*paragraphs, storytext.RULE]


def _headline(found: Sequence[Outcome]) -> str:
    counts = counted(found)
    return tallied(counts if "came back" in counts else {"came back": 0, **counts})


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
    grids = distinct(outcome.key.precision for outcome in found)
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for outcome in found:
        key, shown = outcome.key, interval(outcome.reversion)
        row = rows.setdefault((key.objective, key.adapter), {})
        row[key.precision] = f"**{shown}**" if outcome.verdict == "came back" else shown
    lines = [
        [method(objective), adapter(name), *(row.get(grid, "–") for grid in grids)]
        for (objective, name), row in rows.items()
    ]
    return [["Method", "Variant", *map(precision, grids)], *lines]


def _done(summaries: Summaries, settings: Mapping[str, Any], notes: Sequence[str]) -> str:
    keys = [key for key in summaries if key.objective not in REFERENCES]
    source = settings["corpus"]["source"]
    models = settings["models"]
    size = ""
    if models["base"] == "scratch":
        shape = models["architecture"]
        size = f" (a Llama of {shape['layers']} layers, {shape['hidden']} wide)"
    seeds = settings["seeds"]
    made = {
        name: storytext.MODELS.get(str(models[name]), storytext.GIVEN)
        for name in ("base", "target", "retrain")
    }
    facts = {
        "Corpora": f"{listed(map(corpus, distinct(key.corpus for key in summaries)))}, "
        f"{storytext.SOURCES.get(source, f'from the source {source}')}",
        "Base": f"{made['base']}{size}",
        "Target": f"what was made to forget; {made['target']}",
        "Retrain": f"stands for never having seen it; {made['retrain']}",
        "Methods": listed(map(method, distinct(key.objective for key in keys))),
        "Variants of the update": listed(map(adapter, distinct(key.adapter for key in keys))),
        "Seeds": f"{listed(map(str, seeds))}: {plural(len(seeds), 'run', 'runs')} of each",
        "Precisions": listed(map(precision, distinct(key.precision for key in summaries))),
    }
    lines = [f"**{name}**: {fact}." for name, fact in facts.items()]
    return bullets([*lines, *map(escaped, notes)])


def _costs(summaries: Summaries) -> list[str]:
    lines = []
    for name in distinct(key.corpus for key in summaries):
        for metric in ("utility", "privleak"):
            target, retrain = (
                found.value
                if (found := summaries.get(Key(name, reference, "none", BEFORE, metric)))
                else None
                for reference in REFERENCES
            )
            values = [
                found.value
                for key, found in summaries.items()
                if (key.corpus, key.precision, key.metric) == (name, BEFORE, metric)
                and key.objective not in REFERENCES
                and found.value is not None
            ]
            if values and target is not None and retrain is not None:
                ends = distinct(number(metric, value) for value in (min(values), max(values)))
                lines.append(
                    f"{METRICS[metric]} in bf16, {corpus(name)}: {' to '.join(ends)} in the "
                    f"unlearned models, {number(metric, target)} in target, "
                    f"{number(metric, retrain)} in retrain."
                )
    if not lines:
        return []
    return [
        bullets(lines),
        storytext.COSTS,
    ]


def _mechanism(summaries: Summaries, mechanism: Rows) -> list[str]:
    verdicts = {outcome.key: outcome.verdict for outcome in outcomes(summaries, MAIN_METRIC)}
    groups: dict[str, list[Mapping[str, str]]] = {}
    for row in mechanism:
        key = Key(row["corpus"], row["objective"], row["adapter"], row["precision"], MAIN_METRIC)
        if key in verdicts:
            groups.setdefault(verdicts[key], []).append(row)
    names = {"came back": "came back", "survived": "survived", "inconclusive": "is inconclusive"}
    lines = []
    for verdict, name in names.items():
        if rows := groups.get(verdict, []):
            parts = [
                f"{words} {spread(values, form)}"
                for column, words, form in MEASURED
                if (values := _numbers(rows, column))
            ]
            lines.append(f"where forgetting {name} ({len(rows)}): {'; '.join(parts)}.")
    if not lines:
        return []
    return [
        storytext.ARRIVED,
        bullets(lines),
        "That numbers go together does not say which is the cause: that takes the controls.",
    ]


def _numbers(rows: Rows, column: str) -> list[float]:
    """Those of a column; where a row has none, its cell is empty or a word says why."""
    return [float(row[column]) for row in rows if row[column][-1:].isdigit()]


def _controls(summaries: Summaries) -> list[str]:
    found = outcomes(summaries, MAIN_METRIC)
    models = [one for one in found if one.key.adapter not in NEEDED]
    midrise = [one for one in found if one.midrise and one.key.adapter in NEEDED]
    if not models and not midrise:
        return [storytext.NO_CONTROLS]
    paragraphs = []
    if models:
        paragraphs += [
            "Models that were made to tell causes apart, by the NLL of the forget texts:",
            bullets(_by_variant(models)),
        ]
    if midrise:
        paragraphs += [
            "The main variants on a grid with a boundary at 0, where the others have a bin:",
            bullets(_by_variant(midrise)),
        ]
    return paragraphs


def _tests(tests: Rows) -> list[str]:
    if not tests:
        return []
    lines = []
    for family in distinct(row["family"] for row in tests):
        values = _numbers([row for row in tests if row["family"] == family], "p_holm")
        low = sum(value < ALPHA for value in values)
        lines.append(
            f"{literal(family)}: {low} of {plural(len(values), 'test', 'tests')} with a p-value "
            f"have one below {ALPHA:g}."
        )
    if not _numbers(tests, "p_holm"):
        return [storytext.UNTESTED]
    return [
        "Tests over items and seeds, p-values after Holm's correction in each family:",
        bullets(lines),
    ]


def _claims(claims: Rows) -> list[str]:
    if not claims:
        return []
    lines = []
    for name in distinct(row["claim"] for row in claims):
        counts = Counter(row["verdict"] for row in claims if row["claim"] == name)
        shown = (f"{escaped(verdict)} in {count}" for verdict, count in sorted(counts.items()))
        lines.append(f"{literal(name)}: {', '.join(shown)} of {sum(counts.values())}.")
    return ["Verdicts on the claims that the table of claims spells out:", bullets(lines)]


def _limits(settings: Mapping[str, Any]) -> str:
    over = "over the items that were asked"
    if len(settings["seeds"]) == 1:
        limits = [
            f"One seed: the intervals are {over}, not over training runs. What they decide is "
            "decided of this run; another may fall outside them."
        ]
    else:
        limits = [f"The intervals are {over} and over these seeds, drawn together."]
    if settings["models"]["base"] == "scratch":
        limits.append(storytext.SCRATCH)
    return bullets([*limits, *storytext.LIMITS])


def _items(found: Iterable[Outcome]) -> str:
    counts = [outcome.reversion.n for outcome in found if outcome.reversion.n is not None]
    return f" (n = {spread(counts, '.0f')})" if counts else ""
