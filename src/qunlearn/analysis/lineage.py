"""Whether an output is of the experiment that it is taken for, by the manifests behind it.

What another experiment or configuration left behind, or somebody copied here, looks like the rest
and would go into the tables as a wrong number. Each step's manifest has its settings, and its
inputs by their content; so a folder that has since been made anew differs from the one that was
used.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

from qunlearn.analysis.cells import Evaluations
from qunlearn.evaluate.records import PRIVLEAK
from qunlearn.experiment.controls import SPARE
from qunlearn.experiment.labels import origin
from qunlearn.experiment.names import AFTER, BEFORE, GIVEN, REFERENCES, Cell
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST, MODEL_INPUTS, digest, verify
from qunlearn.settings.evaluation import EvaluateSettings


@dataclass(frozen=True)
class Manifest:
    """A folder's `manifest.json`, with complaints that name it."""

    path: Path
    content: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Read `<folder>/manifest.json`; an InputError where it is missing or does not parse."""
        path = folder / MANIFEST
        if not path.is_file():
            raise InputError(f"{path}: missing; make the folder again")
        return cls(path, read_json(path))

    def get(self, *keys: str) -> Any:
        """The value under nested `keys`; an InputError where it is absent."""
        try:
            return reduce(getitem, keys, self.content)
        except (KeyError, TypeError):
            raise InputError(f"{self.path}: no '{'.'.join(keys)}'; make the folder again") from None

    def check_input(self, name: str, folder: Path) -> None:
        """Raise an InputError where the input `name` was not what `folder` (or a file) holds."""
        if folder.exists() and self.get("inputs", name) != digest(folder):
            raise InputError(
                f"{self.path}: its input '{name}' was not what {folder} holds now; delete "
                "whichever of the two another experiment or configuration left behind, and give "
                "the same command again"
            )

    def check(self, fits: bool, fault: str) -> None:
        """Raise an InputError where this output is of another configuration: it does not fit."""
        if not fits:
            again = f"delete {self.path.parent} and give the same command again"
            raise InputError(f"{self.path}: {fault}; {again}")


Lineage = dict[str, Manifest | None]
"""`target`, `retrain`, `trained`, `scaled`: None where not taken, or not by the workflow."""


def trace(results: Path, cell: Cell, user: Manifest) -> Lineage:
    """The steps behind a quantized model; each must have taken what the one before gave.

    The chain is followed as far as there are folders: a checkpoint of the user's has none.

    Args:
        results: the experiment's folder, with `unlearned`, `models` and `data` below it.
        user: the manifest of what was made of the cell's model.

    Raises:
        InputError: a manifest is missing, or belongs to another model.
    """
    steps = [user]
    for made in steps:
        for name, place in _places(results, cell, made.get("step")).items():
            if name in made.get("inputs") and place.exists():
                made.check_input(name, place)
                steps += [] if name == "corpus" else [Manifest.read(place)]
    parts = {made.path.relative_to(results).parts: made for made in steps[1:]}
    models = {place[2]: made for place, made in parts.items() if place[0] == "models"}
    unlearned = [made for place, made in parts.items() if place[0] == "unlearned"]
    return {
        "target": models.get("target"),
        "retrain": models.get("retrain"),
        "trained": unlearned[-1] if unlearned else None,
        "scaled": unlearned[0] if unlearned[1:] else None,
    }


def _places(results: Path, cell: Cell, step: str) -> dict[str, Path]:
    """Where the inputs of a step behind a cell lie, by name."""
    models, unlearned = results / "models" / cell.corpus, results / "unlearned" / cell.corpus
    start = unlearned / replace(cell, adapter=origin(cell.adapter)).model  # of a control
    own = start if cell.adapter.startswith(SPARE) else unlearned / cell.model
    if cell.objective in (*REFERENCES, GIVEN):  # trained or fetched; a user's folder is not there
        own = models / (AFTER if cell.objective == GIVEN else cell.objective)
    places = {
        "corpus": results / "data" / cell.corpus,
        "target": models / "target",
        "base": models / ("base" if step == "finetune" else "target"),
        "source": own,
        "adapter": start,
    }
    seed = f"seed{cell.seed}"  # each seed may have its own target and retrain
    return {name: p / seed if (p / seed).exists() else p for name, p in places.items()}


def check_evaluations(
    folder: Path, cells: Sequence[str], settings: EvaluateSettings, split_questions: bool
) -> None:
    """Compare evaluations with their manifests, the settings, and what they were made from.

    Corpus, retrain's scores and the models are compared as far as they are there: beside `folder`,
    as the workflow lays them down.

    Args:
        folder: of the evaluations.
        cells: `<corpus>/<model id>/<precision>` each.
        settings: how the models are evaluated.
        split_questions: whether questions on which settings were chosen are left out.

    Raises:
        InputError: names the first file or manifest that is another's.
    """
    results, known = folder.parent, Evaluations(folder, cells)
    wanted = {f"settings.{key}": value for key, value in asdict(settings).items()}
    for name, cell in known.cells.items():
        made = Manifest.read(folder / name)
        verify(folder / name)
        for key, value in {"precision": cell.precision, **wanted}.items():
            found = made.get(*key.split("."))
            fault = f"{key} is {found!r} and not {value!r}: of another configuration"
            made.check(found == value, fault)
        corpus = f"questions/{cell.corpus}/test" if split_questions else f"data/{cell.corpus}"
        made.check_input("corpus", results / corpus)
        reference = known.reference(cell, "retrain", BEFORE)
        if name == reference:
            fault = "retrain's own evaluation, yet PrivLeak is relative to another"
            made.check("retrain" not in made.get("inputs"), fault)
        elif reference in known.cells:
            made.check_input("retrain", folder / reference / PRIVLEAK)
        quantized = results / "quantized" / name
        made.check_input("model", quantized)
        if quantized.exists():
            made = Manifest.read(quantized)
        else:
            inputs = made.content.get(MODEL_INPUTS) or {}
            made = Manifest(made.path, {"step": "quantize", "inputs": inputs})
        trace(results, cell, made)


def check_measurements(survival: Path, cells: Iterable[Cell]) -> None:
    """The same for the measurements of what the grids leave of each model's update.

    Args:
        survival: their folder; a model that is not in it is left to whoever reads it.
        cells: of the models.

    Raises:
        InputError: names the first file or manifest that is another's.
    """
    for corpus, model in dict.fromkeys((cell.corpus, cell.model) for cell in cells):
        if (folder := survival / corpus / model).is_dir():
            unlearned = survival.parent / "unlearned" / corpus / model
            Manifest.read(folder).check_input("model", unlearned)
