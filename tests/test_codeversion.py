"""The fingerprint of code: which changes of a script or of its imports run a step again."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import ROOT

from qunlearn.run import fingerprint
from qunlearn.run.files import write_text
from qunlearn.run.fingerprint import code_version
from qunlearn.training.objectives import objectives

SCRIPTS = {path.stem: path for path in (ROOT / "workflow/scripts").glob("*.py")}
SMALL = {
    "script": '''"""A script."""

from qunlearn.direct import first


def main() -> None:
    """Do it."""
    from qunlearn import plain  # found inside a function, too

    print(first() + plain.VALUE)
''',
    "direct": '''"""Imported by the script."""

import sys

import qunlearn.indirect
from qunlearn.run.errors import InputError


def first() -> int:
    if not sys.argv:
        raise InputError(f"only {sys.argv}: no text")
    print("warning: the first is long", file=sys.stderr)
    return qunlearn.indirect.second() + 1
''',
    "indirect": '''"""Imported by an import, and importing it back."""

import json
from qunlearn.deep import X


def second() -> int:
    import qunlearn.direct

    return len(json.dumps([qunlearn.direct.__name__]))
''',
    "plain": "VALUE = 2\n",
    "unused": "X = 1\n",
    "deep/__init__": "from qunlearn.deep.part import X\n",
    "deep/part": "X = 1\n",
    "run/errors": "class InputError(Exception): ...\n",
    "__init__": "",
}


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    fingerprint._parsed.cache_clear()


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small package of its own, with a script in it."""
    for name, text in SMALL.items():
        write_text(tmp_path / f"qunlearn/{name}.py", text)
    monkeypatch.setattr(fingerprint, "PACKAGE", tmp_path / "qunlearn")
    return tmp_path / "qunlearn"


def version(package: Path) -> str:
    fingerprint._parsed.cache_clear()
    return code_version(package / "script.py")


SAME = [
    ("script", "  # found inside a function, too", ""),
    ("script", '"""Do it."""', '"""Do it\n\n    at once.\n    """'),
    ("script", "first() + plain.VALUE", "(first()  +\n        plain.VALUE)"),
    ("indirect", '"""Imported by an import, and importing it back."""', "# A comment"),
    ("unused", "X = 1", "X = 2"),
    ("direct", "no text", "too little text"),
    ("direct", "only {", "there is but {"),
    ("direct", "first is long", "first is very long"),
    ("run/errors", "class InputError", "X = 1\n\n\nclass InputError"),
]
OTHER = [
    ("script", "first() + plain.VALUE", "first() - plain.VALUE"),
    ("script", "print(first()", "print('text', first()"),
    ("direct", "if not sys.argv", "if sys.argv"),
    ("indirect", "json.dumps([", "json.dumps([1, "),
    ("plain", "VALUE = 2", "VALUE = 3"),
    ("deep/part", "X = 1", "X = 2"),
]


@pytest.mark.parametrize(
    ("module", "old", "new", "same"),
    [(*edit, True) for edit in SAME] + [(*edit, False) for edit in OTHER],
)
def test_what_counts_and_what_does_not(
    small: Path, module: str, old: str, new: str, same: bool
) -> None:
    before = version(small)
    assert re.fullmatch("[0-9a-f]{12}", before)
    file = small / f"{module}.py"
    text = file.read_text(encoding="utf-8")
    assert old in text
    file.write_text(text.replace(old, new), encoding="utf-8")
    assert (version(small) == before) is same


def test_a_template_counts_and_a_place_does_not(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = version(small)
    moved = Path(shutil.move(small, tmp_path / "elsewhere/qunlearn"))
    monkeypatch.setattr(fingerprint, "PACKAGE", moved)
    assert version(moved) == before
    write_text(moved / "page.j2", "words")
    assert version(moved) != before


Edit = Callable[[str, str, str], Path]


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edit:
    """Put other text into a file of a copy of the real package, or at its end; return the copy."""

    def edited(name: str, old: str, new: str) -> Path:
        ignored = shutil.ignore_patterns("__pycache__")  # which other test processes write to
        package = tmp_path / "qunlearn"
        shutil.copytree(ROOT / "src/qunlearn", package, ignore=ignored)
        text = (package / name).read_text(encoding="utf-8")
        assert old in text, f"{name}: {old}"
        text = text.replace(old, new) if old else f"{text}\n{new}\n"
        (package / name).write_text(text, encoding="utf-8")
        monkeypatch.setattr(fingerprint, "PACKAGE", package)
        fingerprint._parsed.cache_clear()
        return package

    return edited


def versions() -> dict[str, str]:
    return {name: code_version(path) for name, path in SCRIPTS.items()}


TRAINING = {"unlearn", "finetune", "match_norm"}
EDITS = [
    ("run/errors.py", "LONGEST = 2000", "LONGEST = 1000", set()),
    ("run/files.py", "make room", "delete something", set()),
    ("run/unlock.py", "import os", "import os, re", set()),
    ("training/rows.py", "no text has two tokens or more", "every text is too short", set()),
    ("report/figures/plot_pareto.py", "", "X = 1", set()),  # plot.py finds it by name
    ("training/losses.py", "", "X = 1", TRAINING),
    ("training/rows.py", "", "X = 1", TRAINING),
]


@pytest.mark.parametrize(("file", "old", "new", "again"), EDITS)
def test_what_an_edit_of_the_package_runs_again(
    file: str, old: str, new: str, again: set[str], edit: Edit
) -> None:
    before = versions()
    edit(file, old, new)
    after = versions()
    assert {name for name in SCRIPTS if after[name] != before[name]} == again


@pytest.mark.parametrize(
    ("script", "file", "again"),
    [
        ("plot", "report/figures/plot_pareto.py", {"pareto"}),
        ("unlearn", "training/terms/klr.py", {"ga_klr", "npo_klr"}),
        ("unlearn", "training/terms/ga.py", {"ga", "ga_gdr", "ga_klr"}),
    ],
)
def test_a_figure_or_a_loss_decides_its_own_cells(
    script: str, file: str, again: set[str], edit: Edit
) -> None:
    """As `code` of the rules puts the modules that a script finds by name beside it."""
    source = ROOT / "src/qunlearn"
    figures = {name: [source / f"report/figures/plot_{name}.py"] for name in ("pareto", "controls")}
    losses = {name: one.module_files for name, one in objectives().items() if "sim" not in name}
    modules = figures if script == "plot" else losses

    def named(package: Path) -> dict[str, str]:
        return {
            name: code_version(
                SCRIPTS[script], *(package / file.relative_to(source) for file in files)
            )
            for name, files in modules.items()
        }

    before = named(source)
    after = named(edit(file, "", "X = 1"))
    assert {name for name in before if after[name] != before[name]} == again
