"""What each format costs in Utility: models whose update arrives in it, and their target."""

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
    """A row a format: its bits, in how many runs the forecast is `arrives`, the Utility lost there.

    Where an update is lost, a model is back near its target, and so is its Utility: those runs
    would say nothing about the format.

    Args:
        results: finished experiments of the same items and formats, one a learning rate.
        corpus, objective, adapter: the variant; every seed of it in every experiment is a run.

    Raises:
        InputError: a table or evaluation is missing.
        KeyError: a run has diverged.
    """
    arriving: dict[str, list[Statistic]] = {}
    targets: dict[str, Statistic] = {}
    runs: set[tuple[Path, str]] = set()
    for folder in results:
        forecasts = read(folder / "tables/forecast.csv", FORECAST_TABLE)
        own = select(forecasts, corpus=corpus, objective=objective, adapter=adapter)
        for row in own.itertuples():
            name, model = row.precision, f"{corpus}/{objective}/{adapter}/seed{row.seed}"
            runs.add((folder, model))
            arrived = arriving.setdefault(name, [])
            if row.verdict == "arrives":
                arrived.append(cost(folder, model, name))
            if name not in targets:
                targets[name] = cost(folder, f"{corpus}/target", name)
    head = ["Format", "bits", "arrives in", f"cost to {adapter_name(adapter)}"]
    head += ["cost to the target"]
    rows = [
        [
            *(precision_name(name), f"{method_of(name).shipped_bits(Precision.parse(name)):.2f}"),
            *(f"{len(own)} of {len(runs)}", _shown(own), _shown([targets[name]])),
        ]
        for name, own in arriving.items()
    ]
    notes = (
        "* Cost: Utility in bf16 minus Utility in the format, in points, over the runs in which "
        "the forecast is *arrives*, and of the target; "
        f"n = {sum(next(iter(targets.values())).sizes)} questions. Learning rates: {len(results)}. "
        "Intervals: 95 %, bootstrap over questions and runs.\n"
        "* Bits: per weight, with its share of the scales.\n"
    )
    return f"{table(head, rows, right=head[1:])}\n\n{notes}"


def cost(results: Path, model: str, precision: str) -> Statistic:
    """The Utility of a model in bf16 minus that in a precision."""
    before, after = (f"{model}/{name}" for name in (BEFORE, precision))
    known, _ = Evaluations(results / "eval", [before, after]).statistics([before, after], METRIC)
    return difference(known[before], known[after])


def _shown(by_run: Sequence[Statistic]) -> str:
    if not by_run:
        return "–"
    found = estimate(by_run)
    return f"{found.value:z.1f} [{found.low:z.1f}, {found.high:z.1f}]"
