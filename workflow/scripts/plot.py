"""Draw a figure of an experiment as PNG and PDF.

Args:
    figure: its name; the module of qunlearn.report.figures that `module_of` names draws it.
    results: the experiment's folder, whose tables, measurements, logs or choices are drawn.
    output: the folder for <figure>.png and .pdf; the names of figures of one update also have
        <corpus>_<objective>.
    names: for loss_curves, the runs, <corpus>/<objective>/<adapter>/seed<k> each; for
        update_survival and update_over_step, one run's variants, with /<precision> besides; for
        candidates, the swept <corpus>/<objective>/<adapter>. Other figures take none.
"""

from pathlib import Path
from typing import Literal

from qunlearn.report.figures import OVER_PRECISIONS, module_of
from qunlearn.run.cli import run_script

MODULES = Path(__file__).parents[2].glob("src/qunlearn/report/figures/plot_*.py")
ALONE = {module.stem.removeprefix("plot_") for module in MODULES} - {"over_precisions"}
NAMES = tuple(sorted({*ALONE, *OVER_PRECISIONS}))


@run_script
def main(figure: Literal[NAMES], results: Path, output: Path, names: tuple[str, ...] = ()) -> None:
    from importlib import import_module
    from inspect import signature

    from qunlearn.run.errors import InputError

    # By name, so that a change of one figure's code draws no other again.
    plot = import_module(f"qunlearn.report.figures.{module_of(figure)}").plot
    given = {"figure": figure} if figure in OVER_PRECISIONS else {}
    if ("names" in signature(plot).parameters) != bool(names):
        raise InputError(f"--names: {figure} takes {'none' if names else 'some'}; see --help")
    plot(results=results, output=output, **given, **({"names": names} if names else {}))
