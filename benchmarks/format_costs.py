"""What each format costs in Utility: models whose update it may take back, and their target."""

from collections.abc import Sequence
from pathlib import Path

from qunlearn.analysis.cells import Evaluations
from qunlearn.analysis.frame import FORECAST_TABLE, read, select
from qunlearn.experiment.labels import adapter_name, precision_name
from qunlearn.experiment.names import BEFORE
from qunlearn.quantize.method import Precision, method_of
from qunlearn.report.templates import table
from qunlearn.statistics.inference import estimate
from qunlearn.statistics.items import Statistic, difference

METRIC = "utility"


def costs_markdown(results: Sequence[Path], corpus: str, objective: str, adapter: str) -> str:
    """A row a format: its bits, in how many runs the forecast is `lost`, and Utility lost to it.

    Args:
        results: finished experiments of the same items and formats, one a learning rate.
        corpus, objective, adapter: the variant; every seed of it in every experiment is a run.

    Raises:
        InputError: a table or evaluation is missing.
        KeyError: a run has diverged.
    """
    runs: dict[str, list[Statistic]] = {}
    targets: dict[str, list[Statistic]] = {}
    lost: dict[str, int] = {}
    for folder in results:
        forecasts = read(folder / "tables/forecast.csv", FORECAST_TABLE)
        own = select(forecasts, corpus=corpus, objective=objective, adapter=adapter)
        for row in own.itertuples():
            name, model = row.precision, f"{corpus}/{objective}/{adapter}/seed{row.seed}"
            runs.setdefault(name, []).append(cost(folder, model, name))
            lost[name] = lost.get(name, 0) + (row.verdict == "lost")
            if name not in targets:
                targets[name] = [cost(folder, f"{corpus}/target", name)]
    head = ["Format", "bits", "forecast as lost", f"cost to {adapter_name(adapter)}"]
    head += ["cost to the target"]
    rows = [
        [
            *(precision_name(name), f"{method_of(name).shipped_bits(Precision.parse(name)):.2f}"),
            *(f"{lost[name]} of {len(own)}", _shown(own), _shown(targets[name])),
        ]
        for name, own in runs.items()
    ]
    first = next(iter(runs.values()))
    notes = (
        "* Cost: Utility in bf16 minus Utility in the format, in points; "
        f"n = {sum(first[0].sizes)} questions, {len(first)} runs at {len(results)} learning rates, "
        "one target. Intervals: 95 %, bootstrap over questions and runs.\n"
        "* Bits: per weight, with its share of the scales.\n"
    )
    return f"{table(head, rows, right=head[1:])}\n\n{notes}"


def cost(results: Path, model: str, precision: str) -> Statistic:
    """The Utility of a model in bf16 minus that in a precision."""
    before, after = (f"{model}/{name}" for name in (BEFORE, precision))
    known, _ = Evaluations(results / "eval", [before, after]).statistics([before, after], METRIC)
    return difference(known[before], known[after])


def _shown(by_run: Sequence[Statistic]) -> str:
    found = estimate(by_run)
    return f"{found.value:z.1f} [{found.low:z.1f}, {found.high:z.1f}]"
