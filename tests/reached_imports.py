"""Which packages a script of the workflow imports when it runs: found by reading, not by running.

A script reaches the definitions of `qunlearn` that it names, these reach those that they name, and
so on. A module that is imported reaches its own top level. What is imported inside a function
counts only if the function is reached: a table's script shares modules with the evaluation, but not
the functions that load torch. Reading cannot see names that are put together at run time.
"""

import ast
import sys
from functools import cache
from pathlib import Path

from conftest import ROOT

PACKAGE = "qunlearn"
SOURCE = ROOT / "src"
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
WHOLE = "*"
TOP_LEVEL = None
"""Parts of a file besides its definitions: all of it, or what runs when it is imported."""


def third_party(script: Path) -> dict[str, str]:
    """Top-level package that is neither Python's nor ours -> a file that imports it."""
    found: dict[str, str] = {}
    waiting = [(script, WHOLE)]
    seen = set(waiting)
    while waiting:
        file, name = waiting.pop()
        for module, attribute in _needs(file, name):
            top = module.split(".")[0]
            if top == PACKAGE:
                new = [each for each in _ours(module, attribute) if each not in seen]
                waiting += new
                seen |= set(new)
            elif top not in sys.stdlib_module_names:
                found.setdefault(top, file.relative_to(ROOT).as_posix())
    return found


def _ours(module: str, attribute: str | None) -> list[tuple[Path, str | None]]:
    """The parts of our own files that naming `attribute` of `module` reaches."""
    parts = module.split(".")
    modules = [".".join(parts[: length + 1]) for length in range(len(parts))]
    files = [file for each in modules if (file := _file(each))]  # a package runs before its modules
    places: list[tuple[Path, str | None]] = [(file, TOP_LEVEL) for file in files]
    if attribute is None:
        return places
    inner = _file(f"{module}.{attribute}")
    return [*places, (inner, TOP_LEVEL) if inner else (files[-1], attribute)]


def _file(module: str) -> Path | None:
    place = SOURCE.joinpath(*module.split("."))
    found = (place.with_suffix(".py"), place / "__init__.py")
    return next((file for file in found if file.exists()), None)


def _module(file: Path) -> str | None:
    """The module that a file of ours is; None of a script."""
    if SOURCE not in file.parents:
        return None
    return ".".join(file.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


@cache
def _needs(file: Path, name: str | None) -> tuple[tuple[str, str | None], ...]:
    """(module, attribute) of what a part of a file names: a definition, TOP_LEVEL or WHOLE."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    definitions = _definitions(tree)
    if name == WHOLE:
        parts: list[ast.AST] = [tree]
    elif name == TOP_LEVEL:
        parts = [node for node in tree.body if not isinstance(node, FUNCTIONS)]
    else:
        parts = definitions.get(name, [])
    nodes = [node for part in parts for node in _nodes(part)]
    at_top = _imported(_nodes(tree, into_functions=False))
    imported = at_top | _imported(nodes)
    module = _module(file)
    needs: list[tuple[str, str | None]] = []
    for node in nodes:
        if isinstance(node, ast.Import):
            needs += [(each.name, None) for each in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            needs.append((node.module, None))
            submodules = [f"{node.module}.{each.name}" for each in node.names]
            needs += [(each, None) for each in submodules if _file(each)]
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if owner := imported.get(node.value.id):
                needs.append((".".join(filter(None, owner)), node.attr))
        elif isinstance(node, ast.Name):
            if node.id in imported:
                needs.append(imported[node.id])
            elif module and node.id in definitions:
                needs.append((module, node.id))
    if not parts and name in at_top:
        needs.append(at_top[name])  # what a package's __init__ passes on
    return tuple(dict.fromkeys(needs))


def _definitions(tree: ast.Module) -> dict[str, list[ast.AST]]:
    """Name -> what a module's top level defines under it."""
    found: dict[str, list[ast.AST]] = {}
    for node in tree.body:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)):
            found.setdefault(node.name, []).append(node)
    return found


def _nodes(part: ast.AST, into_functions: bool = True) -> list[ast.AST]:
    """All nodes of a part but those for type checkers alone, its functions' insides or not."""
    nodes, waiting = [], [part]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        nodes.append(node)
        if into_functions or not isinstance(node, FUNCTIONS):
            waiting += ast.iter_child_nodes(node)
    return nodes


def _imported(nodes: list[ast.AST]) -> dict[str, tuple[str, str | None]]:
    """Name -> (module, attribute) of the imports among `nodes`."""
    found: dict[str, tuple[str, str | None]] = {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for each in node.names:
                found[each.asname or each.name.split(".")[0]] = (each.name, None)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for each in node.names:
                found[each.asname or each.name] = (node.module, each.name)
    return found
