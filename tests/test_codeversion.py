"""The fingerprint of code: what of a file counts; test_workflow.py has which jobs run again."""

import re
from pathlib import Path

import pytest

from qunlearn.run import fingerprint
from qunlearn.run.files import write_text
from qunlearn.run.fingerprint import code_version

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
