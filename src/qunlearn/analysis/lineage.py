"""The manifests behind a model at a precision: how its target was trained, and what came after.

Each step's manifest knows its inputs by their content, so that a folder which has since been made
anew is told from the one that was used.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qunlearn.experiment import labels as style
from qunlearn.experiment.controls import SPARE
from qunlearn.experiment.names import REFERENCES, Cell
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST, digest

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


@dataclass(frozen=True)
class Lineage:
    """The steps behind a quantized model; None: not taken, or not by the workflow."""

    target: Manifest | None = None
    retrain: Manifest | None = None
    trained: Manifest | None = None
    scaled: Manifest | None = None


def trace(results: Path, cell: Cell, user: Manifest, *, whole: bool = True) -> Lineage:
    """Read the manifests behind a cell, and check that each step took what the one before gave.

    Args:
        results: the experiment's folder, with `unlearned`, `models` and `data` below it.
        user: the manifest of what was made of the cell's model: quantized, or evaluated in memory.
        whole: whether the unlearned model must be there; else the chain is followed as far as
            there are folders.

    Raises:
        InputError: a manifest is missing, is of another step, or belongs to another model.
    """
    _check_corpus(results, cell, user)
    if cell.objective in REFERENCES:
        made = _reference(results, cell, user, "source", cell.objective)
        return Lineage(target=made) if cell.objective == "target" else Lineage(retrain=made)
    origin = style.origin(cell.adapter)
    model = origin if cell.adapter.startswith(SPARE) else cell.adapter
    steps = [(model, "match_norm" if model == "full_matched" else "unlearn", "source")]
    if origin == "lora" != model:
        steps = [(model, "scale", "source"), (origin, "unlearn", "adapter")]
    chain = [user]
    for variant, step, name in steps:
        folder = results / "unlearned" / cell.corpus / cell.objective / variant / f"seed{cell.seed}"
        if not whole and not folder.exists():
            break
        made = Manifest.read(folder, step)
        chain[-1].check_input(name, folder)
        chain.append(made)
    target = None
    for made in chain:
        _check_corpus(results, cell, made)
        for name in ("target", "base"):
            if name in made.get("inputs"):
                target = _reference(results, cell, made, name, "target")
    scaled = chain[1] if len(steps) == 2 <= len(chain) else None
    return Lineage(target=target, trained=chain[-1] if len(chain) > 1 else None, scaled=scaled)


def _reference(results: Path, cell: Cell, user: Manifest, name: str, model: str) -> Manifest | None:
    """How base, target or retrain was made; None where the user gave the checkpoint."""
    folder = results / "models" / cell.corpus / model
    if (own := folder / f"seed{cell.seed}").exists():
        folder = own  # each seed has its own
    if not folder.exists():
        return None
    made = Manifest.read(folder, "train_base" if model == "base" else "finetune", FETCHED)
    user.check_input(name, folder)
    _check_corpus(results, cell, made)
    if "base" in made.get("inputs"):
        _reference(results, cell, made, "base", "base")
    return made


def _check_corpus(results: Path, cell: Cell, made: Manifest) -> None:
    """Complain when a model was made with another corpus than the experiment's."""
    corpus = results / "data" / cell.corpus
    if "corpus" in made.get("inputs") and made.get("step") != "evaluate" and corpus.exists():
        made.check_input("corpus", corpus)
