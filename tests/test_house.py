"""The house: rooms in the order of the stages, and each imports only from those before it."""

import ast
from collections import Counter

from conftest import ROOT

HOUSE = ROOT / "src/qunlearn"
ROOMS = (
    *("run", "settings", "models", "corpora", "training", "quantize", "statistics", "evaluate"),
    *("survival", "experiment", "analysis", "report", "plan", "preflight", "__main__"),
)
"""From the ground up; the last three are modules."""


def imports(path: str) -> list[str]:
    tree = ast.parse((HOUSE / path).read_text(encoding="utf-8"))
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module == "qunlearn":
            found += [f"qunlearn.{name.name}" for name in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.append(node.module)
    return [name for name in found if name.startswith("qunlearn.")]


def test_rooms_import_only_from_those_below_them() -> None:
    upwards = []
    for file in sorted(HOUSE.rglob("*.py")):
        path = file.relative_to(HOUSE).as_posix()
        own = path.partition("/")[0].removesuffix(".py")
        if own != "__init__":
            order = ROOMS.index(own)
            upwards += [
                f"{path}: {m}" for m in imports(path) if ROOMS.index(m.split(".")[1]) > order
            ]
    assert upwards == []


def test_no_two_modules_have_one_name() -> None:
    names = Counter(file.stem for file in HOUSE.rglob("*.py") if file.stem != "__init__")
    assert [name for name, count in names.items() if count > 1] == []
