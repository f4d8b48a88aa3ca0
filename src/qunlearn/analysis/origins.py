"""Whether evaluations and measurements are of the experiment that they are taken for.

What another experiment or configuration left behind, or somebody copied here, looks like the rest
and would go into the tables as a wrong number. It is told by the manifests: each step knows its
settings, and its inputs by their content.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from qunlearn.analysis.cells import Evaluations
from qunlearn.analysis.lineage import Manifest, trace
from qunlearn.evaluate.records import PRIVLEAK
from qunlearn.experiment.names import BEFORE, Cell
from qunlearn.run.errors import InputError
from qunlearn.run.integrity import verify
from qunlearn.run.manifest import MODEL_INPUTS
from qunlearn.settings.evaluation import EvaluateSettings


def check_evaluations(
    folder: Path, cells: Sequence[str], settings: EvaluateSettings, split_questions: bool
) -> None:
    """Compare evaluations with their manifests, the settings, and what they were made from.

    Corpus, retrain's scores and the models are compared as far as they are there: beside `folder`,
    as the workflow lays them down.

    Args:
        folder: of the evaluations; a cell that is not in it is left to whoever reads it.
        cells: `<corpus>/<model id>/<precision>` each.
        settings: how the models are asked.
        split_questions: whether only those questions are asked that no choice was made on.

    Raises:
        InputError: names the first file or manifest that is another's.
    """
    known = Evaluations(folder, cells)
    for name, cell in known.cells.items():
        if not (folder / name).is_dir():
            continue
        verify(folder / name)
        made = Manifest.read(folder / name, "evaluate")
        _check_facts(made, cell, settings)
        corpus = f"questions/{cell.corpus}/test" if split_questions else f"data/{cell.corpus}"
        if (folder.parent / corpus).exists():
            made.check_input("corpus", folder.parent / corpus)
        _check_reference(made, folder, name, known.reference(cell, "retrain", BEFORE))
        _check_model(made, folder.parent, name, cell)


def check_measurements(survival: Path, cells: Iterable[Cell]) -> None:
    """The same for the measurements of what the grids leave of each model's update.

    Args:
        survival: their folder; a model that is not in it is left to whoever reads it.
        cells: of the models.

    Raises:
        InputError: names the first file or manifest that is another's.
    """
    for corpus, model in dict.fromkeys((cell.corpus, cell.model) for cell in cells):
        folder = survival / corpus / model
        if not folder.is_dir():
            continue
        verify(folder)
        made = Manifest.read(folder, "survival")
        unlearned = survival.parent / "unlearned" / corpus / model
        if unlearned.exists():
            made.check_input("model", unlearned)


def _check_facts(made: Manifest, cell: Cell, settings: EvaluateSettings) -> None:
    wanted: dict[str, Any] = {"precision": cell.precision}
    wanted |= {f"settings.{key}": value for key, value in asdict(settings).items()}
    for key, value in wanted.items():
        if (found := made.get(*key.split("."))) != value:
            raise InputError(
                f"{made.path}: {key} is {found!r} and not {value!r}: the evaluation of another "
                f"configuration; delete {made.path.parent} and give the same command again"
            )


def _check_reference(made: Manifest, folder: Path, name: str, reference: str) -> None:
    """PrivLeak's zero: retrain as it is now, of which only retrain itself has none."""
    scores = folder / reference / PRIVLEAK
    if name == reference and "retrain" in made.get("inputs"):
        raise InputError(
            f"{made.path}: retrain's own evaluation, yet PrivLeak is relative to another; delete "
            f"{made.path.parent} and give the same command again"
        )
    if name != reference and scores.exists():
        made.check_input("retrain", scores)


def _check_model(made: Manifest, results: Path, name: str, cell: Cell) -> None:
    quantized = results / "quantized" / name
    user = made
    if "model" in made.get("inputs"):
        user = Manifest(made.path, {**made.content, "inputs": made.content.get(MODEL_INPUTS) or {}})
        if quantized.exists():
            user = Manifest.read(quantized, "quantize")
            made.check_input("model", quantized)
    if user.get("inputs"):
        trace(results, cell, user, whole=False)
