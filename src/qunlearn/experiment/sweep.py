"""Grids of settings: which cells are swept, and the points of each grid with their names.

A *cell* is a corpus, an objective and a variant of the update: `news/npo_gdr/lora`. A *point* is
one choice of every swept setting but the epochs; it is trained once, and each number of epochs is
a snapshot of that training. A point at a number of epochs is a *candidate*: `r16-a32/epoch5`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product
from typing import Any

from qunlearn.settings.unlearning import snapshot_name

Json = dict[str, Any]

EPOCHS = "epochs"
RATIO = "alpha_over_rank"
OF_LORA = ("rank", RATIO, "targets")
NOTHING_BUT_EPOCHS = "default"
"""The name of the one point of a grid that has no other setting than the epochs."""


@dataclass(frozen=True)
class Point:
    """One training of a grid."""

    name: str  # made of the swept settings; letters, digits, dots and hyphens
    settings: Json  # of the training, whose epochs are those of the last snapshot
    snapshots: tuple[float, ...]  # epochs after which the model is a candidate, ascending

    @property
    def candidates(self) -> list[str]:
        """The names of what it trains."""
        return [f"{self.name}/{snapshot_name(epochs)}" for epochs in self.snapshots]


def matching(patterns: Mapping[str, Any], cell: str) -> list[Any]:
    """The values of the patterns that match a cell, in their order: the last one wins."""
    return [value for pattern, value in patterns.items() if fnmatchcase(cell, pattern)]


def grid_of(sweep: Mapping[str, Mapping[str, Any]], cell: str) -> Json:
    """What is swept in a cell: setting -> values; empty where nothing is.

    The grids of all matching patterns are laid over each other; later patterns win, a setting
    with an empty list is not swept.
    """
    merged: Json = {}
    for grid in matching(sweep, cell):
        merged |= grid
    return {key: values for key, values in merged.items() if values}


def points(grid: Mapping[str, Sequence[Any]], settings: Mapping[str, Any]) -> list[Point]:
    """The trainings of a grid, in its order: the last setting of a name changes fastest.

    Args:
        grid: as of `grid_of`.
        settings: of the cell's runs; the grid's values stand in for them. LoRA's alpha is
            `alpha_over_rank` times the rank, be it swept or not.
    """
    swept = [key for key in _PARTS if key in grid]
    snapshots = tuple(sorted(map(float, grid.get(EPOCHS, [settings[EPOCHS]]))))
    found = []
    for values in product(*(grid[key] for key in swept)):
        own = dict(settings) | dict(zip(swept, values, strict=True))
        if RATIO in own:
            own["lora_alpha"] = float(own.pop(RATIO) * own["rank"])
        own[EPOCHS] = snapshots[-1]
        name = "-".join(_PARTS[key](own) for key in swept)
        found.append(Point(name or NOTHING_BUT_EPOCHS, own, snapshots))
    return found


def contradictions(config: Mapping[str, Any], cells: Mapping[str, Json]) -> Iterator[str]:
    """Why a grid cannot be trained or chosen from: `'key': problem; remedy`.

    Args:
        config: full.
        cells: every cell of the experiment, with its settings.
    """
    for cell, settings in cells.items():
        if not (grid := grid_of(config["sweep"], cell)):
            continue
        if not cell.endswith("/lora") and (wrong := [key for key in OF_LORA if key in grid]):
            yield f"'sweep': {wrong[0]} is a setting of LoRA, not of {cell}; narrow it to */*/lora"
        names = [point.name for point in points(grid, settings)]
        if twice := [name for name in names if names.count(name) > 1]:
            yield f"'sweep': two points of {cell} have the name {twice[0]}; move their values apart"
        if config["controls"] and cell.endswith("/full"):
            yield f"'controls': full_matched needs {cell}'s settings; set them in unlearn.overrides"


def _scientific(value: float) -> str:
    """`7e-4`, however large or small."""
    mantissa, exponent = f"{value:.5e}".split("e")
    return f"{mantissa.rstrip('0').rstrip('.')}e{int(exponent)}"


def _short(value: float) -> str:
    return f"{value:g}".replace("+", "")


# In the order of a point's name.
_PARTS: dict[str, Callable[[Json], str]] = {
    "rank": lambda own: f"r{own['rank']}",
    RATIO: lambda own: f"a{_short(own['lora_alpha'])}",
    "lr": lambda own: f"lr{_scientific(own['lr'])}",
    "targets": lambda own: str(own["targets"]),
    "alpha": lambda own: f"w{_short(own['alpha'])}",
}
