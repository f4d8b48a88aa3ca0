"""Every training of an experiment's grids, and the cells whose models are chosen among them."""

from dataclasses import dataclass

from qunlearn.experiment.config import Json, runs, unlearn_settings
from qunlearn.experiment.sweep_grids import Point, grid_of, points


@dataclass(frozen=True)
class SweepRun:
    """One training of a grid.

    Attributes:
        point: the name of its settings, e.g. `r16-a32-lr7e-4`.
        settings: all of them, as the flags of unlearn.py.
        snapshots: epochs after which it gives a candidate, ascending; the last are its epochs.
    """

    corpus: str
    objective: str
    adapter: str
    seed: int
    point: str
    settings: Json
    snapshots: tuple[float, ...]


def training_runs(config: Json) -> list[SweepRun]:
    """Every training of every grid of a full configuration.

    They stand in for the runs of their cell (`config.runs`): a swept cell's models are chosen
    among these, not trained a second time.
    """
    swept = swept_cells(config)
    return [
        SweepRun(
            run.corpus,
            run.objective,
            run.adapter,
            run.seed,
            point.name,
            point.settings,
            point.snapshots,
        )
        for run in runs(config)
        if f"{run.corpus}/{run.objective}/{run.adapter}" in swept
        for point in points_of(config, run.corpus, run.objective, run.adapter)
    ]


def swept_cells(config: Json) -> list[str]:
    """Every swept `<corpus>/<objective>/<adapter>`, in the order of the tables."""
    cells = dict.fromkeys(f"{run.corpus}/{run.objective}/{run.adapter}" for run in runs(config))
    return [cell for cell in cells if grid_of(config["sweep"], cell)]


def points_of(config: Json, corpus: str, objective: str, adapter: str) -> list[Point]:
    """The points of a swept cell's grid, in its order."""
    settings = unlearn_settings(config, corpus, objective, adapter)
    return points(grid_of(config["sweep"], f"{corpus}/{objective}/{adapter}"), settings)


def splits_questions(config: Json) -> bool:
    """Whether a share of the questions is kept for the choice and out of the tables."""
    return config["selection"]["questions"] == "split" and bool(swept_cells(config))
