"""What the folder of a finished run tells: its steps, their surroundings, its evaluated cells."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256 as new_sha256
from itertools import chain
from json import dumps
from pathlib import Path
from typing import Any

from qunlearn.errors import InputError
from qunlearn.evaluate.scoring import METRICS
from qunlearn.files import read_json
from qunlearn.provenance import MANIFEST, hash_files, outputs_of

RECORDS = "records"  # manifests of what did not stay
SURROUNDINGS = ("git_commit", "python", "device", "instructions", "threads")
DECIDES = ("step", "seed", "settings", "objective", "adapter", "precision")
"""Of a manifest: what the configuration says of a step."""

Hashes = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Step:
    """A folder that a step of the workflow left behind.

    Attributes:
        folder: its place in the results, e.g. `models/news/target`.
        content: its manifest.
        outputs: name -> {sha256, bytes}.
    """

    folder: str
    content: Mapping[str, Any]
    outputs: Hashes

    @property
    def inputs(self) -> Mapping[str, str]:
        """Name -> digest of what the step read."""
        found: Mapping[str, str] = self.content.get("inputs") or {}
        return found


class Run:
    """The results of an experiment, e.g. `results/mini`.

    Attributes:
        results: the folder.
        steps: by their folder, those before others in the chain first.
        cells: the names of the evaluated cells, sorted.
    """

    def __init__(self, results: Path) -> None:
        """Read every manifest below `results`.

        Raises:
            InputError: there is no such folder, no cell in it was evaluated, or a manifest is
                broken.
        """
        self.results = results
        evaluated = sorted((results / "eval").rglob(METRICS))
        if not evaluated:
            raise InputError(
                f"{results}: no eval/**/{METRICS}; give the results of a finished run, such as "
                "results/mini"
            )
        self.cells = [file.parent.relative_to(results / "eval").as_posix() for file in evaluated]
        found = dict(_read_steps(results))
        self.steps = {folder: found[folder] for folder in sorted(found, key=chain_order)}

    def surroundings(self) -> dict[str, set[str]]:
        """What the steps ran with: the values of each of SURROUNDINGS, and of each package."""
        found: dict[str, set[str]] = {}
        for step in self.steps.values():
            packages = step.content.get("packages") or {}
            known = {name: step.content.get(name) for name in SURROUNDINGS} | packages
            for name, value in known.items():
                if value is not None:
                    found.setdefault(name, set()).add(str(value))
        return found

    def given(self) -> dict[str, str]:
        """`<folder>: <input>` -> digest of what no step of the run has made: the user's own.

        Quantized models may be gone (`keep`), so that what read them does not count here.
        """
        made = {_digest(step.outputs) for step in self.steps.values()}
        made |= {entry["sha256"] for step in self.steps.values() for entry in step.outputs.values()}
        return {
            f"{step.folder}: {name}": digest
            for step in self.steps.values()
            if stage(step.folder) not in ("evaluation", "survival")
            for name, digest in step.inputs.items()
            if digest not in made
        }


def stage(folder: str) -> str:
    """The stage of the chain that a folder or file of the results belongs to."""
    match folder.split("/"):
        case ["data", *_]:
            return "corpus"
        case ["models", _, ("base" | "target" | "retrain") as name, *_]:
            return name
        case [first, *_]:
            return {"models": "given models", "eval": "evaluation"}.get(first, first)
    raise ValueError("no folder")


STAGES = (
    *("corpus", "questions", "given models", "base", "target", "retrain"),
    *("sweep", "selection", "unlearned", "quantized", "survival", "evaluation", "tables"),
)


def chain_order(folder: str) -> tuple[int, str]:
    """What sorts folders by their place in the chain, then by name."""
    name = stage(folder)
    return STAGES.index(name) if name in STAGES else len(STAGES), folder


def check_same_experiment(first: Run, second: Run) -> None:
    """Complain where the runs could not be compared item by item.

    Raises:
        InputError: names the first step whose settings differ, or the first file of the corpus or
            of the user's own that does.
    """
    for folder, step in first.steps.items():
        other = second.steps.get(folder)
        if other is None:
            continue
        for name in DECIDES:
            a, b = (_flat(name, one.content.get(name)) for one in (step, other))
            for key in sorted(a.keys() | b.keys()):
                if a.get(key) != b.get(key):
                    raise _other_experiment(
                        first, second, f"{folder}: {key} is {a.get(key)!r} and {b.get(key)!r}"
                    )
        if stage(folder) == "corpus":
            for name in sorted(step.outputs.keys() | other.outputs.keys()):
                if step.outputs.get(name) != other.outputs.get(name):
                    raise _other_experiment(first, second, f"{folder}/{name} differs")
    a, b = first.given(), second.given()
    for name in a:
        if name in b and a[name] != b[name]:
            raise _other_experiment(first, second, f"{name}, which no step made, differs")


def _other_experiment(first: Run, second: Run, what: str) -> InputError:
    return InputError(
        f"{first.results} and {second.results} are not runs of one experiment ({what}); run the "
        "same configuration on the same corpus and models"
    )


def _flat(name: str, value: Any) -> dict[str, Any]:
    """Nested settings by their dotted name."""
    if not isinstance(value, Mapping):
        return {name: value}
    return dict(
        chain.from_iterable(_flat(f"{name}.{key}", each).items() for key, each in value.items())
    )


def _read_steps(results: Path) -> Iterator[tuple[str, Step]]:
    """Those in `records` first, so that a folder that is there itself stands in their place."""
    files = sorted(results.rglob(MANIFEST), key=lambda file: RECORDS not in file.parts)
    for file in files:
        folder = file.parent.relative_to(results).as_posix().removeprefix(f"{RECORDS}/")
        content, outputs = read_json(file), outputs_of(file.parent)
        if outputs is None or not isinstance(content, dict):
            raise InputError(f"{file}: no manifest of the workflow's; make its folder again")
        if stage(folder) == "evaluation":  # small, and what is compared are the records themselves
            outputs = hash_files(file.parent)
        yield folder, Step(folder, content, outputs)


def _digest(outputs: Hashes) -> str:
    """As `provenance.digest` gives it of the folder."""
    return new_sha256(dumps(outputs, sort_keys=True).encode()).hexdigest()
