"""Whether an output is of the experiment that it is taken for, by the manifests behind it.

What another experiment or configuration left behind, or somebody copied here, looks like the rest
and would go into the tables as a wrong number. Each step's manifest has its settings, and its
inputs by their content; so a folder that has since been made anew differs from the one that was
used.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from qunlearn.analysis.cells import Evaluations
from qunlearn.evaluate.records import PRIVLEAK
from qunlearn.experiment import labels as style
from qunlearn.experiment.controls import SPARE
from qunlearn.experiment.names import BEFORE, REFERENCES, Cell
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST, MODEL_INPUTS, digest, verify
from qunlearn.settings.evaluation import EvaluateSettings

FETCHED = "fetch_model"  # the step that brings a checkpoint from elsewhere


@dataclass(frozen=True)
class Manifest:
    """A folder's `manifest.json`, with complaints that name it."""

    path: Path
    content: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path, *steps: str) -> "Manifest":
        """Read `<folder>/manifest.json`.

        Raises:
            InputError: it is missing, does not parse or is of none of the `steps`.
        """
        path, named = folder / MANIFEST, " or ".join(f"'{step}'" for step in steps)
        if not path.is_file():
            raise InputError(f"{path}: missing; make the folder again by the step {named}")
        content = read_json(path)
        found = content.get("step") if isinstance(content, dict) else None
        if found not in steps:
            raise InputError(f"{path}: of the step {found!r}, not {named}; make the folder again")
        return cls(path, content)

    def get(self, *keys: str) -> Any:
        """The value under nested `keys`; an InputError where it is absent."""
        value: Any = self.content
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                raise InputError(f"{self.path}: no '{'.'.join(keys)}'; make the folder again")
            value = value[key]
        return value

    def check_input(self, name: str, folder: Path) -> None:
        """Complain when the step read something else than what `folder` (or a file) holds now.

        Raises:
            InputError: the input `name` of this step had another content.
        """
        if self.get("inputs", name) != digest(folder):
            raise InputError(
                f"{self.path}: its input '{name}' was not what {folder} holds now; delete "
                "whichever of the two another experiment or configuration left behind, and give "
                "the same command again"
            )

    def other(self, what: str) -> InputError:
        """The complaint that this output is of another configuration."""
        return InputError(
            f"{self.path}: {what}; delete {self.path.parent} and give the same command again"
        )


@dataclass(frozen=True)
class Lineage:
    """The steps behind a quantized model; None: not taken, or not by the workflow."""

    target: Manifest | None = None
    retrain: Manifest | None = None
    trained: Manifest | None = None
    scaled: Manifest | None = None


def trace(results: Path, cell: Cell, user: Manifest, *, whole: bool = True) -> Lineage:
    """Follow the manifests behind a cell, and check that each step took what the one before gave.

    Args:
        results: the experiment's folder, with `unlearned`, `models` and `data` below it.
        user: the manifest of what was made of the cell's model: quantized, or evaluated in memory.
        whole: whether the unlearned model must be there; else the chain is followed as far as
            there are folders.

    Raises:
        InputError: a manifest is missing, is of another step, or belongs to another model.
    """
    models: dict[str, Manifest] = {}
    unlearned: list[Manifest] = []
    waiting = [user]
    while waiting:
        made = waiting.pop(0)
        for name in made.get("inputs"):
            place, *steps = _place(results, cell, made.get("step"), name)
            kind = place.relative_to(results).parts[0]
            if not steps or not (place.exists() or (whole and kind == "unlearned")):
                continue
            if kind == "data":
                made.check_input(name, place)
                continue
            found = Manifest.read(place, *steps)
            made.check_input(name, place)
            waiting.append(found)
            if kind == "models":
                models[place.relative_to(results).parts[2]] = found
            else:
                unlearned.append(found)
    reference = cell.objective if cell.objective in REFERENCES else "target"
    return Lineage(
        target=models.get("target") if reference == "target" else None,
        retrain=models.get("retrain"),
        trained=unlearned[-1] if unlearned else None,
        scaled=unlearned[0] if unlearned[1:] else None,
    )


def _place(results: Path, cell: Cell, step: str, name: str) -> tuple[Any, ...]:
    """Where an input of a step behind a cell lies, and the steps that may have made it.

    Without steps nothing is known of it.
    """
    if name == "corpus" and step != "evaluate":
        return results / "data" / cell.corpus, "corpus"
    if name == "adapter" or (name == "source" and cell.objective not in REFERENCES):
        origin = style.origin(cell.adapter)
        whole = name == "source" and not cell.adapter.startswith(SPARE)
        adapter = cell.adapter if whole else origin
        made = "unlearn" if adapter == origin else "scale"
        made = "match_norm" if adapter == "full_matched" else made
        folder = results / "unlearned" / cell.corpus / cell.objective / adapter
        return folder / f"seed{cell.seed}", made
    if name not in ("source", "base", "target"):
        return (results / name,)
    model, made = cell.objective if name == "source" else "target", "finetune"
    if name == "base" and step == "finetune":
        model, made = "base", "train_base"
    folder = results / "models" / cell.corpus / model
    own = folder / f"seed{cell.seed}"  # each seed has its own
    return own if own.exists() else folder, made, FETCHED


def check_evaluations(
    folder: Path, cells: Sequence[str], settings: EvaluateSettings, split_questions: bool
) -> None:
    """Compare evaluations with their manifests, the settings, and what they were made from.

    Corpus, retrain's scores and the models are compared as far as they are there: beside `folder`,
    as the workflow lays them down.

    Args:
        folder: of the evaluations; a cell that is not in it is left to whoever reads it.
        cells: `<corpus>/<model id>/<precision>` each.
        settings: how the models are evaluated.
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
        wanted: dict[str, Any] = {"precision": cell.precision}
        wanted |= {f"settings.{key}": value for key, value in asdict(settings).items()}
        for key, value in wanted.items():
            if (found := made.get(*key.split("."))) != value:
                raise made.other(f"{key} is {found!r} and not {value!r}: of another configuration")
        corpus = f"questions/{cell.corpus}/test" if split_questions else f"data/{cell.corpus}"
        if (folder.parent / corpus).exists():
            made.check_input("corpus", folder.parent / corpus)
        reference = known.reference(cell, "retrain", BEFORE)
        if name == reference and "retrain" in made.get("inputs"):
            raise made.other("retrain's own evaluation, yet PrivLeak is relative to another")
        if name != reference and (scores := folder / reference / PRIVLEAK).exists():
            made.check_input("retrain", scores)
        _check_model(made, folder.parent, name, cell)


def _check_model(made: Manifest, results: Path, name: str, cell: Cell) -> None:
    user = made
    if "model" in made.get("inputs"):
        user = Manifest(made.path, {**made.content, "inputs": made.content.get(MODEL_INPUTS) or {}})
        if (quantized := results / "quantized" / name).exists():
            user = Manifest.read(quantized, "quantize")
            made.check_input("model", quantized)
    trace(results, cell, user, whole=False)


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
