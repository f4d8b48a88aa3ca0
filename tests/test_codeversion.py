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


PAGES = {"write_model_cards", "write_page", "write_tables"}
TRAINING = {"unlearn", "finetune", "match_norm", "scale_lora", *TERMS}
EDITS = [
    ("run/errors.py", "LONGEST = 2000", "LONGEST = 1000", set()),
    ("run/files.py", "make room", "delete something", set()),
    ("training/rows.py", "no text has two tokens or more", "every text is too short", set()),
    ("training/losses.py", "", "X = 1", TRAINING),
    ("training/rows.py", "", "X = 1", TRAINING),
    (FIGURES.format("pareto"), "", "X = 1", {"pareto"}),
    ("report/templates/claims.md.j2", "", "words", PAGES),
    ("training/terms/klr.py", "", "X = 1", {name for name in TERMS if "klr" in name}),
    ("training/terms/ga.py", "", "X = 1", {"ga", "ga_gdr", "ga_klr"}),
]


@pytest.mark.parametrize(("file", "old", "new", "again"), EDITS)
def test_what_an_edit_of_the_package_runs_again(
    file: str, old: str, new: str, again: set[str], package: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other text in the place of some, or at the end."""
    before = versions(ROOT / "src/qunlearn")
    monkeypatch.setattr(fingerprint, "PACKAGE", package)
    assert versions(package) == before  # a place does not count
    text = (package / file).read_text(encoding="utf-8")
    assert old in text
    write_text(package / file, text.replace(old, new) if old else f"{text}\n{new}\n")
    after = versions(package)
    write_text(package / file, text)
    assert {name for name in before if after[name] != before[name]} == again
