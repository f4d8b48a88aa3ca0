"""Draw a figure as PNG and PDF; each uses the flags that its module's `plot` names.

Args:
    figure: its name; the module of qunlearn.report.figures that `module_of` names draws it.
    output: the folder for <figure>.png and .pdf; the names of figures of one update also have
        <corpus>_<objective>.
    mechanism: the CSV file of what each grid leaves of each update.
    summary: the CSV file of all metrics over seeds and items.
    survival: the folder of the measurements.
    unlearned: the folder of the unlearned models.
    selections: JSON files of select_candidate.py.
    scored: the CSV file of forecasts and what came back.
    models: the runs below `unlearned`, <corpus>/<objective>/<adapter>/seed<k> each.
    cells: of one run's variants, <corpus>/<objective>/<adapter>/seed<k>/<precision> each.
    precisions: from fine to coarse, e.g. nf4 rtn4 rtn3g64.
"""

from pathlib import Path
from typing import Literal

from qunlearn.report.figures import OVER_PRECISIONS, module_of
from qunlearn.run.cli import run_script

MODULES = Path(__file__).parents[2].glob("src/qunlearn/report/figures/plot_*.py")
ALONE = {module.stem.removeprefix("plot_") for module in MODULES} - {"over_precisions"}
NAMES = tuple(sorted({*ALONE, *OVER_PRECISIONS}))


@run_script
def main(
    figure: Literal[NAMES],
    output: Path,
    mechanism: Path | None = None,
    summary: Path | None = None,
    survival: Path | None = None,
    unlearned: Path | None = None,
    selections: tuple[Path, ...] = (),
    scored: Path | None = None,
    models: tuple[str, ...] = (),
    cells: tuple[str, ...] = (),
    precisions: tuple[str, ...] = (),
) -> None:
    given = {name: value for name, value in locals().items() if value not in (None, ())}
    from importlib import import_module
    from inspect import signature

    from qunlearn.run.errors import InputError

    # By name, so that a change of one figure's code draws no other again.
    plot = import_module(f"qunlearn.report.figures.{module_of(figure)}").plot
    if figure not in OVER_PRECISIONS:
        del given["figure"]
    try:
        signature(plot).bind(**given)
    except TypeError as error:
        flags = ", ".join(signature(plot).parameters)
        raise InputError(f"--figure {figure}: {error}; give {flags}") from None
    plot(**given)
