"""The evaluated cells of an experiment: their per-item scores, their seeds, who belongs to whom."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from qunlearn.evaluate import records
from qunlearn.evaluate.definitions import DEFINITIONS
from qunlearn.evaluate.scoring import FILE
from qunlearn.experiment.names import BEFORE, DIVERGED, Cell
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json
from qunlearn.statistics.items import Statistic


class Variant(NamedTuple):
    """A cell without its seed."""

    corpus: str
    objective: str
    adapter: str
    precision: str


class Evaluations:
    """The records below a folder, each read once.

    Attributes:
        cells: the cells by name, in their order.
    """

    def __init__(self, folder: Path, cells: Sequence[str]) -> None:
        """Take `cells` from below `folder`; nothing is read yet.

        Raises:
            InputError: no cell is given or one is misnamed.
        """
        if not cells:
            raise InputError("cells: none given; name at least one <corpus>/<model id>/<precision>")
        self.cells = {name: Cell.parse(name) for name in cells}
        self._folder = folder
        self._records: dict[Path, list[records.Record]] = {}
        self._statuses: dict[str, str] = {}
        self._own_references = {
            (cell.corpus, cell.objective, cell.seed) for cell in self.cells.values()
        }

    def variants(self) -> dict[Variant, dict[int | None, str]]:
        """The names of each variant's cells by seed, in the order of `cells`."""
        found: dict[Variant, dict[int | None, str]] = {}
        for name, cell in self.cells.items():
            variant = Variant(cell.corpus, cell.objective, cell.adapter, cell.precision)
            found.setdefault(variant, {})[cell.seed] = name
        return found

    def reference(self, cell: Cell, model: str, precision: str) -> str:
        """The cell of target or retrain that belongs to `cell`: its seed's own where there is one.

        Args:
            cell: the cell in question.
            model: `target` or `retrain`.
            precision: the reference's.
        """
        own = (cell.corpus, model, cell.seed) in self._own_references and cell.seed is not None
        return f"{cell.corpus}/{model}/{f'seed{cell.seed}/' if own else ''}{precision}"

    def items(self, name: str, metric: str) -> Statistic | None:
        """The scores that a metric of a cell is made of; None where the model diverged.

        Raises:
            InputError: the cell was not evaluated, its records are broken, or PrivLeak's reference
                is missing, of other texts or has an AUC of 0.
        """
        if name not in self._statuses:
            self._statuses[name] = read_json(self._folder / name / FILE)["status"]
        if self._statuses[name] == DIVERGED:
            return None
        definition = DEFINITIONS[metric]
        own = self._read(name, definition.file)
        return definition.build(own, lambda: self._retrain(name, own))

    def _retrain(self, name: str, own: list[records.Record]) -> list[records.Record]:
        reference = self.reference(Cell.parse(name), "retrain", BEFORE)
        texts = self._read(reference, records.PRIVLEAK)
        if [text["id"] for text in texts] != [text["id"] for text in own]:
            raise InputError(
                f"cell '{name}': {records.PRIVLEAK} is not of the same texts as in {reference}; "
                "evaluate both again"
            )
        return texts

    def _read(self, name: str, file: str) -> list[records.Record]:
        path = self._folder / name / file
        if path not in self._records:
            self._records[path] = records.read(path, file)
        return self._records[path]


def check_same_items(metric: str, found: Iterable[tuple[str, Statistic]]) -> None:
    """Complain unless all cells were asked the same items.

    Raises:
        InputError: one was asked others than the first.
    """
    first: tuple[str, Statistic] | None = None
    for name, statistic in found:
        if first is None:
            first = name, statistic
        elif statistic.ids != first[1].ids:
            raise InputError(
                f"cell '{name}': {DEFINITIONS[metric].file} is not of the same items as in "
                f"{first[0]}; evaluate both again"
            )
