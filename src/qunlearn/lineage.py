"""The manifests behind a quantized model: how its target was trained, and what came after.

Each step's manifest knows its inputs by their content, so that a folder which has since been made
anew is told from the one that was used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qunlearn import style
from qunlearn.controls import SPARE
from qunlearn.errors import InputError
from qunlearn.files import read_json
from qunlearn.provenance import MANIFEST, digest
from qunlearn.tables.metrics import REFERENCES, Cell


@dataclass(frozen=True)
class Manifest:
    """A folder's `manifest.json`, with complaints that name it."""

    path: Path
    content: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path, step: str) -> "Manifest":
        """Read `<folder>/manifest.json`.

        Raises:
            InputError: it is missing, does not parse or is of another step than `step`.
        """
        path = folder / MANIFEST
        if not path.is_file():
            raise InputError(f"{path}: missing; make the folder again by the step '{step}'")
        content = read_json(path)
        found = content.get("step") if isinstance(content, dict) else None
        if found != step:
            raise InputError(f"{path}: of the step {found!r}, not '{step}'; make the folder again")
        return cls(path, content)

    def get(self, *keys: str) -> Any:
        """The value under nested `keys`; an InputError where it is absent."""
        value: Any = self.content
        for key in keys:
            if not isinstance(value, dict) or key not in value:
                raise InputError(f"{self.path}: no '{'.'.join(keys)}'; make the folder again")
            value = value[key]
        return value

    def check_input(self, name: str, made: "Manifest") -> None:
        """Complain when the step read another output than the one that is there now.

        Raises:
            InputError: the input `name` of this step was not the folder of `made`.
        """
        made.get("outputs")  # what the digest is of
        if self.get("inputs", name) != digest(made.path.parent):
            raise InputError(
                f"{self.path}: its input '{name}' was not what {made.path.parent} holds now; make "
                "it again, or remove a folder that another configuration left behind"
            )


@dataclass(frozen=True)
class Lineage:
    """The steps behind a quantized model; None: not taken, or not by the workflow."""

    target: Manifest | None = None
    retrain: Manifest | None = None
    trained: Manifest | None = None
    scaled: Manifest | None = None


def trace(results: Path, cell: Cell, quantized: Manifest) -> Lineage:
    """Read the manifests behind a cell, and check that each step took what the one before gave.

    Args:
        results: the experiment's folder, with `unlearned` and `models` below it.
        quantized: the manifest of the cell's own folder.

    Raises:
        InputError: a manifest is missing, is of another step, or belongs to another model.
    """
    models = results / "models" / cell.corpus
    if cell.objective in REFERENCES:
        made = _reference(models / cell.objective, cell.seed, quantized, "source")
        return Lineage(target=made) if cell.objective == "target" else Lineage(retrain=made)
    origin = style.origin(cell.adapter)
    model = origin if cell.adapter.startswith(SPARE) else cell.adapter
    runs = results / "unlearned" / cell.corpus / cell.objective
    seed, scaled, user, name = f"seed{cell.seed}", None, quantized, "source"
    if origin == "lora" != model:
        user = scaled = Manifest.read(runs / model / seed, "scale")
        quantized.check_input("source", scaled)
        model, name = origin, "adapter"
    step = "match_norm" if model == "full_matched" else "unlearn"
    trained = Manifest.read(runs / model / seed, step)
    user.check_input(name, trained)
    target = _reference(models / "target", cell.seed, trained, "target")
    return Lineage(target=target, trained=trained, scaled=scaled)


def _reference(folder: Path, seed: int | None, user: Manifest, name: str) -> Manifest | None:
    """How target or retrain was trained; None where the user gave the checkpoint."""
    if (own := folder / f"seed{seed}").exists():
        folder = own  # each seed has its own
    if not folder.exists():
        return None
    made = Manifest.read(folder, "finetune")
    user.check_input(name, made)
    return made
