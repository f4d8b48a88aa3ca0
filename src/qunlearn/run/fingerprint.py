"""A fingerprint of the code behind a step: what a change of code must run again, and what not.

Comments, docstrings, blank lines and formatting do not count; any other change to a script or to a
module of this package that it imports, directly or through others, does. So does a change to a
template beside such a module.
"""

import ast
from functools import cache
from hashlib import sha256
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


def code_version(script: Path) -> str:
    """Twelve hex digits that change when the code of `script` or of its imports changes."""
    seen: set[Path] = set()
    waiting = [script.resolve()]
    while waiting:
        file = waiting.pop()
        if file not in seen:
            seen.add(file)
            waiting += _parsed(file)[1]
    templates = {file for module in seen for file in module.parent.glob("*.j2")}
    parts = sorted(
        [f"{file.name}:{_parsed(file)[0]}" for file in seen]
        + [f"{file.name}:{file.read_text(encoding='utf-8')}" for file in templates]
    )
    return sha256("\n".join(parts).encode()).hexdigest()[:12]


@cache
def _parsed(file: Path) -> tuple[str, tuple[Path, ...]]:
    """The code without its comments and docstrings, and the package's files that it imports."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    imported: list[Path] = []
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [line for line in body if not _is_docstring(line)]  # type: ignore[attr-defined]
        if isinstance(node, ast.Import):
            imported += [found for name in node.names for found in _files(name.name)]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{name.name}" for name in node.names)]
            imported += [found for name in names for found in _files(name)]
    return ast.dump(tree), tuple(imported)


def _is_docstring(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def _files(module: str) -> list[Path]:
    package, *rest = module.split(".")
    if package != PACKAGE.name:
        return []
    place = PACKAGE.joinpath(*rest)
    return [file for file in (place.with_suffix(".py"), place / "__init__.py") if file.exists()]
