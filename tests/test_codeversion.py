"""The versions of code: which changes of a script or of its imports count."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

from qunlearn.run import fingerprint as codeversion
from qunlearn.run.files import write_text
from qunlearn.run.fingerprint import code_version
from qunlearn.training.objectives import objectives

SCRIPT = '''"""A script."""

from qunlearn.direct import first


def main() -> None:
    """Do it."""
    from qunlearn import plain  # found inside a function, too

    print(first() + plain.VALUE)
'''
DIRECT = '''"""Imported by the script."""

import sys

import qunlearn.indirect
from qunlearn.run.errors import InputError


def first() -> int:
    if not sys.argv:
        raise InputError(f"only {sys.argv}: no text")
    print("warning: the first is long", file=sys.stderr)
    return qunlearn.indirect.second() + 1
'''
INDIRECT = '''"""Imported by an import, and importing it back."""

import json


def second() -> int:
    import qunlearn.direct

    return len(json.dumps([qunlearn.direct.__name__]))
'''


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A script beside a small package of its own."""
    package = tmp_path / "src" / "qunlearn"
    texts = {"direct": DIRECT, "indirect": INDIRECT, "plain": "VALUE = 2\n", "unused": "X = 1\n"}
    texts["run/errors"] = "class InputError(Exception): ...\n"
    for name, text in texts.items():
        write_text(package / f"{name}.py", text)
    write_text(package / "__init__.py", "")
    path = tmp_path / "script.py"
    write_text(path, SCRIPT)
    monkeypatch.setattr(codeversion, "PACKAGE", package)
    codeversion._parsed.cache_clear()
    yield path
    codeversion._parsed.cache_clear()


def changed(script: Path, module: str, old: str, new: str) -> bool:
    """Whether putting `new` for `old` in a module (or the script) changes the version."""
    before = code_version(script)
    assert re.fullmatch("[0-9a-f]{12}", before)
    path = script if module == "script" else codeversion.PACKAGE / f"{module}.py"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    codeversion._parsed.cache_clear()
    return code_version(script) != before


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("script", "  # found inside a function, too", ""),
        ("script", '"""Do it."""', '"""Do it\n\n    at once.\n    """'),
        ("script", '"""Do it."""\n', "\n"),
        ("script", '"""A script."""\n', "# A comment\n\n"),
        ("script", "first() + plain.VALUE", "(first()  +\n        plain.VALUE)"),
        ("indirect", '"""Imported by an import, and importing it back."""', ""),
        ("indirect", "import json\n", "import json  # a comment\n"),
        ("unused", "X = 1", "X = 2"),
        ("direct", "no text", "too little text"),
        ("direct", "only {", "there is but {"),
        ("direct", "first is long", "first is very long"),
        ("run/errors", "class InputError", "X = 1\n\n\nclass InputError"),
    ],
)
def test_what_does_not_count(script: Path, module: str, old: str, new: str) -> None:
    assert not changed(script, module, old, new)


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("script", "first() + plain.VALUE", "first() - plain.VALUE"),
        ("script", "print(first()", "print('text', first()"),
        ("direct", "second() + 1", "second() + 2"),
        ("direct", "if not sys.argv", "if sys.argv"),
        ("indirect", "json.dumps([", "json.dumps([1, "),
        ("plain", "VALUE = 2", "VALUE = 3"),
    ],
)
def test_what_counts(script: Path, module: str, old: str, new: str) -> None:
    assert changed(script, module, old, new)


def test_a_template_beside_a_module_counts(script: Path) -> None:
    before = code_version(script)
    write_text(codeversion.PACKAGE / "page.j2", "words")
    assert code_version(script) != before


def test_place_does_not_count(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = code_version(script)
    moved = Path(shutil.move(codeversion.PACKAGE, tmp_path / "elsewhere" / "qunlearn"))
    monkeypatch.setattr(codeversion, "PACKAGE", moved)
    assert code_version(Path(shutil.move(script, moved.parent / script.name))) == before


def test_packages_are_followed_through_their_init(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_text(codeversion.PACKAGE / "deep" / "__init__.py", "from qunlearn.deep.part import X\n")
    write_text(codeversion.PACKAGE / "deep" / "part.py", "X = 1\n")
    write_text(script, "from qunlearn.deep import X\n")
    assert changed(script, "deep/part", "X = 1", "X = 2")


CODE = ROOT / "workflow/scripts"


def moved(
    edits: dict[str, tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> set[str]:
    """The scripts whose version another text in files of the real package changes."""
    scripts = {path.stem: path for path in CODE.glob("*.py")}
    codeversion._parsed.cache_clear()
    before = {name: code_version(path) for name, path in scripts.items()}
    ignored = shutil.ignore_patterns("__pycache__")  # which other test processes write to
    package = tmp_path / "qunlearn"
    shutil.copytree(ROOT / "src/qunlearn", package, ignore=ignored)
    for name, (old, new) in edits.items():
        text = (package / name).read_text(encoding="utf-8")
        assert old in text, f"{name}: {old}"
        (package / name).write_text(text.replace(old, new), encoding="utf-8")
    monkeypatch.setattr(codeversion, "PACKAGE", package)
    codeversion._parsed.cache_clear()
    after = {name: code_version(path) for name, path in scripts.items()}
    codeversion._parsed.cache_clear()
    return {name for name in scripts if after[name] != before[name]}


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("run/errors.py", "LONGEST = 2000", "LONGEST = 1000"),
        ("run/files.py", "make room", "delete something"),
        ("run/unlock.py", "import os", "import os, re"),
        ("training/rows.py", "no text has two tokens or more", "every text is too short"),
        ("quantize/calibration.py", "tokens make {count} windows", "tokens are {count} windows"),
    ],
)
def test_messages_files_and_locks_run_nothing_again(
    file: str, old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert moved({file: (old, new)}, tmp_path, monkeypatch) == set()


def test_a_loss_runs_training_again_and_no_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = moved({"training/losses.py": ("mask.sum()", "len(mask)")}, tmp_path, monkeypatch)
    assert {"unlearn", "finetune"} <= found
    assert not found & {"evaluate", "quantize", "measure_survival"}


def test_the_length_of_a_row_runs_training_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = moved({"training/rows.py": ("len(row) > 1", "len(row) > 2")}, tmp_path, monkeypatch)
    assert {"unlearn", "finetune"} <= found
    assert not found & {"evaluate", "quantize", "measure_survival"}


def test_a_figure_is_drawn_again_and_nothing_else_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = "report/figures"
    before = {
        name: code_version(CODE / "plot.py", ROOT / f"src/qunlearn/{figures}/plot_{name}.py")
        for name in ("pareto", "slope")
    }
    edit = {f"{figures}/plot_pareto.py": ("EDGE = 12", "EDGE = 13")}
    assert moved(edit, tmp_path, monkeypatch) == set()  # the script finds figures by name
    after = {
        name: code_version(CODE / "plot.py", tmp_path / f"qunlearn/{figures}/plot_{name}.py")
        for name in before
    }
    assert after["slope"] == before["slope"] and after["pareto"] != before["pareto"]


def test_a_changed_term_decides_the_objectives_that_it_is_part_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "qunlearn"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src/qunlearn", package, ignore=ignored)
    monkeypatch.setattr(codeversion, "PACKAGE", package)

    def versions() -> dict[str, str]:
        codeversion._parsed.cache_clear()
        return {
            name: code_version(
                ROOT / "workflow/scripts/unlearn.py",
                *(package / file.relative_to(ROOT / "src/qunlearn") for file in one.module_files),
            )
            for name, one in objectives().items()
        }

    before = versions()
    with (package / "training/terms/klr.py").open("a", encoding="utf-8") as stream:
        stream.write("\nX = 1\n")
    after = versions()
    codeversion._parsed.cache_clear()
    assert {name for name in before if after[name] != before[name]} == {
        name for name in before if name.endswith("_klr")
    }
