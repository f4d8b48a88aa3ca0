"""Which files of two runs have the same bytes, and at which steps the runs part."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from qunlearn.comparing.runs import STAGES, Run, stage
from qunlearn.provenance import hash_files

TABLES = "tables"


@dataclass
class StageBytes:
    """The files of one stage of the chain.

    Attributes:
        name: e.g. `target`.
        same, different: how many files both runs have, by whether their bytes are the same.
        example: the first that differs.
        alone: files that one run alone has.
        origins: folders whose bytes differ although their steps read the same: what parted here
            parted by the step itself, and not by what came before it.
    """

    name: str
    same: int = 0
    different: int = 0
    example: str = ""
    alone: list[str] = field(default_factory=list)
    origins: list[str] = field(default_factory=list)


def compare_bytes(first: Run, second: Run) -> list[StageBytes]:
    """Every stage that left something behind, in the order of the chain.

    Models are known by the hashes in their manifests; records and tables are read.
    """
    found = {name: StageBytes(name) for name in STAGES}
    for folder in dict.fromkeys([*first.steps, *second.steps]):
        into = found.setdefault(stage(folder), StageBytes(stage(folder)))
        a, b = first.steps.get(folder), second.steps.get(folder)
        if a is None or b is None:
            into.alone.append(folder)
        elif not _count(into, folder, a.outputs, b.outputs) and a.inputs == b.inputs:
            into.origins.append(folder)
    tables = [run.results / TABLES for run in (first, second)]
    _count(found[TABLES], TABLES, *(_hashes(folder) for folder in tables))
    return [each for each in found.values() if each.same or each.different or each.alone]


def _count(into: StageBytes, folder: str, a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Count a folder's files; whether all of them are the same."""
    before = into.different + len(into.alone)
    for name in sorted(a.keys() | b.keys()):
        if name not in a or name not in b:
            into.alone.append(f"{folder}/{name}")
        elif a[name]["sha256"] == b[name]["sha256"]:
            into.same += 1
        else:
            into.different += 1
            into.example = into.example or f"{folder}/{name}"
    return into.different + len(into.alone) == before


def _hashes(folder: Path) -> dict[str, dict[str, Any]]:
    return hash_files(folder) if folder.is_dir() else {}
