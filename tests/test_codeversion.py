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

SCRIPT = '''"""A script."""

from qunlearn.direct import first


def main() -> None:
    """Do it."""
    from qunlearn import plain  # found inside a function, too

    print(first() + plain.VALUE)
'''
DIRECT = '''"""Imported by the script."""

import qunlearn.indirect


def first() -> int:
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


def copy_of_package(folder: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__")  # which other test processes write to
    return Path(shutil.copytree(ROOT / "src/qunlearn", folder / "qunlearn", ignore=ignored))


@pytest.mark.parametrize(
    "path", sorted((ROOT / "workflow/scripts").glob("*.py")), ids=lambda p: p.stem
)
def test_every_script_has_a_version_that_covers_what_it_imports(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a copy of the real package: a change deep below a script is seen."""
    codeversion._parsed.cache_clear()
    before = code_version(path)
    package = copy_of_package(tmp_path)
    with (package / "errors.py").open("a", encoding="utf-8") as stream:
        stream.write("\nX = 1\n")
    monkeypatch.setattr(codeversion, "PACKAGE", package)
    codeversion._parsed.cache_clear()
    assert code_version(path) != before  # all meet the shell through qunlearn.run.cli
    codeversion._parsed.cache_clear()


def test_training_code_decides_training_and_not_evaluation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scripts = {name: ROOT / f"workflow/scripts/{name}.py" for name in ("unlearn", "finetune")}
    others = {name: ROOT / f"workflow/scripts/{name}.py" for name in ("evaluate", "quantize")}
    codeversion._parsed.cache_clear()
    before = {name: code_version(path) for name, path in (scripts | others).items()}
    package = copy_of_package(tmp_path)
    with (package / "training" / "losses.py").open("a", encoding="utf-8") as stream:
        stream.write("\nX = 1\n")
    monkeypatch.setattr(codeversion, "PACKAGE", package)
    codeversion._parsed.cache_clear()
    after = {name: code_version(path) for name, path in (scripts | others).items()}
    codeversion._parsed.cache_clear()
    assert {name for name in before if after[name] != before[name]} == set(scripts)
