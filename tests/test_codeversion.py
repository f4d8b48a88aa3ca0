"""The fingerprint of code: which changes of a script or of its imports run a step again."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT

from qunlearn.run import fingerprint
from qunlearn.run.files import write_text
from qunlearn.run.fingerprint import code_version
from qunlearn.training.objectives import objectives

SCRIPTS = {path.stem: path for path in (ROOT / "workflow/scripts").glob("*.py")}
SCRIPT = '''"""A script."""

import sys

from qunlearn.run.errors import InputError


def main() -> None:
    """Do it."""
    if not sys.argv:
        raise InputError(f"only {sys.argv}: no text")
    print("warning: the first is long", file=sys.stderr)
    print(len(sys.argv) + 2)  # a comment
'''
SAME = [
    ("  # a comment", ""),
    ('"""Do it."""', '"""Do it\n\n    at once.\n    """'),
    ("len(sys.argv) + 2", "(len(sys.argv)  +\n        2)"),
    ('"""A script."""', "# A comment"),
    ("no text", "too little text"),
    ("only {", "there is but {"),
    ("first is long", "first is very long"),
]
OTHER = [
    ("len(sys.argv) + 2", "len(sys.argv) - 2"),
    ("print(len(", "print('text', len("),
    ("if not sys.argv", "if sys.argv"),
]


@pytest.fixture(autouse=True)
def fresh() -> Iterator[None]:
    yield
    fingerprint._parsed.cache_clear()


def version(script: Path) -> str:
    fingerprint._parsed.cache_clear()
    return code_version(script)


@pytest.mark.parametrize(
    ("old", "new", "same"), [(*x, True) for x in SAME] + [(*x, False) for x in OTHER]
)
def test_what_of_a_file_counts(old: str, new: str, same: bool, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    write_text(script, SCRIPT)
    before = version(script)
    assert re.fullmatch("[0-9a-f]{12}", before)
    assert old in SCRIPT
    write_text(script, SCRIPT.replace(old, new))
    assert (version(script) == before) is same


FILES = {
    "script": "def main():\n    from qunlearn.direct import first  # in a function, too\n",
    "direct": "import qunlearn.indirect\nfrom qunlearn.run.errors import InputError\n",
    "indirect": "import qunlearn.direct\nfrom qunlearn.deep import X\n",
    "deep/__init__": "from qunlearn.deep.part import X\n",
    "deep/part": "X = 1\n",
    "unused": "X = 1\n",
    "run/errors": "class InputError(Exception): ...\n",
}


def test_which_files_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Imports of imports, which may import each other; not files, messages and locks."""
    package = tmp_path / "qunlearn"
    monkeypatch.setattr(fingerprint, "PACKAGE", package)
    for name, text in FILES.items():
        write_text(package / f"{name}.py", text)
    first = before = version(package / "script.py")
    for name, text in FILES.items():
        write_text(package / f"{name}.py", f"{text}Y = 1\n")
        after = version(package / "script.py")
        assert (after == before) is (name in ("unused", "run/errors")), name
        before = after
    assert first != before
    moved = Path(shutil.move(package, tmp_path / "elsewhere/qunlearn"))
    monkeypatch.setattr(fingerprint, "PACKAGE", moved)
    assert version(moved / "script.py") == before  # a place does not count
    write_text(moved / "page.j2", "words")
    assert version(moved / "script.py") != before  # a template does


# --- In a copy of the real package -----------------------------------------------------------

FIGURES, TERMS = "report/figures/plot_{}.py", objectives()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("copy") / "qunlearn"
    ignored = shutil.ignore_patterns("__pycache__")  # which other test processes write to
    return Path(shutil.copytree(ROOT / "src/qunlearn", copy, ignore=ignored))


def versions(package: Path) -> dict[str, str]:
    """Of each script; of two figures and all objectives, with the modules found by their names,
    as `code` of the rules puts them beside the script."""
    fingerprint._parsed.cache_clear()
    found = {name: code_version(path) for name, path in SCRIPTS.items()}
    for name in ("pareto", "controls"):
        found[name] = code_version(SCRIPTS["plot"], package / FIGURES.format(name))
    for name, one in TERMS.items():
        files = [package / file.relative_to(ROOT / "src/qunlearn") for file in one.module_files]
        found[name] = code_version(SCRIPTS["unlearn"], *files)
    return found


TRAINING = {"unlearn", "finetune", "match_norm", *TERMS}
EDITS = [
    ("run/errors.py", "LONGEST = 2000", "LONGEST = 1000", set()),
    ("run/files.py", "make room", "delete something", set()),
    ("training/rows.py", "no text has two tokens or more", "every text is too short", set()),
    ("training/losses.py", "", "X = 1", TRAINING),
    ("training/rows.py", "", "X = 1", TRAINING),
    (FIGURES.format("pareto"), "", "X = 1", {"pareto"}),
    ("training/terms/klr.py", "", "X = 1", {name for name in TERMS if "klr" in name}),
    ("training/terms/ga.py", "", "X = 1", {"ga", "ga_gdr", "ga_klr"}),
]


@pytest.mark.parametrize(("file", "old", "new", "again"), EDITS)
def test_what_an_edit_of_the_package_runs_again(
    file: str, old: str, new: str, again: set[str], package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other text in the place of some, or at the end."""
    monkeypatch.setattr(fingerprint, "PACKAGE", package)
    before = versions(package)
    text = (package / file).read_text(encoding="utf-8")
    assert old in text
    write_text(package / file, text.replace(old, new) if old else f"{text}\n{new}\n")
    after = versions(package)
    write_text(package / file, text)
    assert {name for name in before if after[name] != before[name]} == again
