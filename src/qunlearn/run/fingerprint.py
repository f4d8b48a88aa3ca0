"""A fingerprint of the code behind a step: what a change of code must run again, and what not.

What counts is the code of a script and of the modules of this package that it imports, directly or
through others. What cannot change a number does not: comments, docstrings and formatting; the words
of errors and warnings; and the rooms in `SILENT`. Templates beside a module count with it, and what
`resources` holds under its name.
"""

import ast
from functools import cache
from hashlib import sha256
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
RESOURCES = PACKAGE.parents[1] / "resources"
SILENT = frozenset({"run"})
"""Rooms of the package that no output depends on: files, signals, manifests, the command line.

`report` needs no place here: no room imports it, and its own scripts must see it change.
"""


def code_version(script: Path, *modules: Path) -> str:
    """Twelve hex digits that change when the code of `script` or of its imports changes.

    Args:
        modules: more of this package's, which it finds by name instead of importing them.
    """
    seen: set[Path] = set()
    waiting = [script.resolve(), *modules]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting += _parsed(file)[1]
    data = [file for folder in {module.parent for module in seen} for file in folder.iterdir()]
    read = {file for file in data if file.suffix in (".j2", ".mplstyle", ".yaml")}
    read |= {file for module in seen for file in RESOURCES.glob(f"{module.stem}.yaml")}
    parts = sorted(
        [f"{file.name}:{_parsed(file)[0]}" for file in seen]
        + [f"{file.name}:{file.read_text(encoding='utf-8')}" for file in read]
    )
    return sha256("\n".join(parts).encode()).hexdigest()[:12]


@cache
def _parsed(file: Path) -> tuple[str, tuple[Path, ...]]:
    """The code without what cannot change a number, and the package's files that it imports."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imported: list[Path] = []
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            texts = [line for line in body if isinstance(line, ast.Expr) and _is_text(line.value)]
            node.body = [line for line in body if line not in texts]  # type: ignore[attr-defined]
        if isinstance(node, ast.Call) and _is_message(node):
            node.args, node.keywords = [], []
        if isinstance(node, ast.Import):
            imported += [found for name in node.names for found in _files(name.name)]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
            imported += [found for name in names for found in _files(name)]
    return ast.dump(tree), tuple(imported)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _is_message(call: ast.Call) -> bool:
    """Whether a call only says something: an InputError, a warning, a line on stderr."""
    stderr = any(each.arg == "file" and "stderr" in ast.dump(each.value) for each in call.keywords)
    return stderr or ast.unparse(call.func) in ("InputError", "errors.InputError", "warnings.warn")


def _files(module: str) -> list[Path]:
    package, *rest = module.split(".")
    if package != PACKAGE.name or (rest and rest[0] in SILENT):
        return []
    place = PACKAGE.joinpath(*rest)
    return [file for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists()]
