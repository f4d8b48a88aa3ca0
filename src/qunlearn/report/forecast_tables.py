"""Tables of the forecast from the weights: what it says, how right it was, what it foretells."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from qunlearn.analysis.forecast_scores import LOST, Score, scores, wrong
from qunlearn.analysis.predictions import Answer
from qunlearn.analysis.summary import distinct
from qunlearn.analysis.verdicts import MARGIN
from qunlearn.experiment.labels import (
    METRICS,
    adapter_name,
    corpus_name,
    method_name,
    precision_name,
)
from qunlearn.experiment.names import UNDEFINED
from qunlearn.report.pair_forecast import short
from qunlearn.report.templates import table
from qunlearn.survival.forecast import THRESHOLD

OUTCOME_NAMES = {"projection": f"projection < {LOST:g}"} | {
    f"reversion_{name}": f"reversion of {METRICS[name]} > {LOST:g}"
    for name in ("nll_forget", "verbmem", "knowmem")
}
RULE = (
    "The rule: an update is lost where the share of weights that moved is smaller than the share "
    f"that the grid rounds to zero (ratio below {THRESHOLD:g})."
)


def score_markdown(found: pd.DataFrame) -> str:
    """How right the forecast was in scored cells, then the cells where it was not."""
    digests = distinct(found["forecast_sha256"])
    lines = [
        RULE,
        "First table: reversion of the forget NLL (ratio), means over the seeds; bold where the "
        "ratio foretells a loss.",
        f"The threshold was not fitted. Cells: {len(found)}, of {_runs(found)} runs; cells of one "
        "run share its update, so the intervals (Wilson, 95 %) are too narrow.",
        f"sha256 of each experiment's forecast.csv: {', '.join(digests)}.",
    ]
    notes = "\n".join(f"* {line}" for line in lines)
    parts = map_table(found), scores_table(scores(found)), notes, misses_table(wrong(found))
    return "\n\n".join(parts) + "\n"


def map_table(found: pd.DataFrame) -> str:
    """A row for each variant and learning rate, a column for each grid."""
    grids = distinct(found["precision"])
    head = ["Corpus", "Method", "Variant", "Learning rate", "NLL forget, bf16", "moved"]
    rows = []
    runs: Any = found.groupby(["corpus", "objective", "adapter", "lr"], sort=False)
    for (corpus, objective, adapter, lr), own in runs:
        names = corpus_name(corpus), method_name(objective), adapter_name(adapter), f"{lr:g}"
        before, moved = own[["nll_forget_bf16", "moved"]].mean()
        means = own.groupby("precision")[["reversion_nll_forget", "ratio"]].mean()
        shares = [_share(*means.loc[grid]) if grid in means.index else "–" for grid in grids]
        rows.append([*names, f"{before:.2f}", f"{moved:.3f}", *shares])
    head += map(precision_name, grids)
    return table(head, rows, right=head[3:])


def scores_table(found: Sequence[Score]) -> str:
    """The confusion matrix of each outcome and variant, a row each."""
    head = [
        "Lost means",
        "Variant",
        "lost, as forecast",
        "false alarm",
        "missed",
        "kept, as forecast",
    ]
    head += ["undefined", "right", "AUC of the ratio"]
    rows = [
        [
            *(OUTCOME_NAMES[one.outcome], adapter_name(one.variant)),
            *(one.hits, one.alarms, one.misses, one.kept, one.undefined),
            f"{(one.hits + one.kept) / one.cells:.2f} [{one.low:.2f}, {one.high:.2f}]"
            if one.cells
            else "–",
            "–" if one.auc != one.auc else f"{one.auc:.3f}",
        ]
        for one in found
    ]
    return table(head, rows, right=head[2:])


def misses_table(found: pd.DataFrame) -> str:
    """The cells whose forecast was wrong by the forget NLL, nearest to the threshold first."""
    if found.empty:
        return "By the reversion of the forget NLL no forecast was wrong."
    head = ["Corpus", "Variant", "Learning rate", "Seed", "Precision", "ratio", "projection"]
    order = (found["ratio"] - THRESHOLD).abs().sort_values().index
    rows = [
        [
            *(*_cell(row), f"{row.ratio:.2f}", f"{row.projection:.2f}"),
            f"{row.reversion_nll_forget:.2f} [{row.ci_low:.2f}, {row.ci_high:.2f}]",
        ]
        for row in found.loc[order].itertuples()
    ]
    head += ["reversion (NLL)"]
    shown = table(head, rows, right=[*head[2:4], *head[5:]])
    return f"Wrong by the reversion of the forget NLL:\n\n{shown}"


def predictions_markdown(found: Sequence[Answer]) -> str:
    """What was foretold of other runs, what would count against it, and the verdict."""
    head = ["Prediction", "Why", "What would refute it", "Verdict", "Pairs", "mean", "least"]
    rows = [
        [one.prediction.statement, one.prediction.forecast, one.prediction.against, one.verdict]
        + ([one.pairs, f"{one.mean:.2f}", f"{one.least:.2f}"] if one.pairs else ["–"] * 3)
        for one in found
    ]
    shown = table(head, rows, right=head[4:])
    return (
        f"{shown}\n\n* Pairs of cells of which the first is forecast to be lost and the second "
        "not; mean and least: of the reversion of the forget NLL in the first, minus that in the "
        f"second. Confirmed: above {MARGIN:g} in every pair; refuted: below it on average.\n"
    )


def _cell(row: object) -> list[object]:
    names = (corpus_name(row.corpus), adapter_name(row.adapter))  # type: ignore[attr-defined]
    return [*names, f"{row.lr:g}", row.seed, precision_name(row.precision)]  # type: ignore[attr-defined]


def _share(back: float, share: float) -> str:
    shown = f"{UNDEFINED if back != back else format(back, 'z.2f')} ({short(share)})"
    return f"**{shown}**" if share < THRESHOLD else shown


def _runs(found: pd.DataFrame) -> int:
    return len(found[["corpus", "objective", "adapter", "seed", "lr"]].drop_duplicates())
