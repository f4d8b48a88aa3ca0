"""What commands write into the README."""

from pathlib import Path

import pytest

from qunlearn.errors import InputError
from qunlearn.readme import replace_marked

MARKED = "before\n<!-- table: by a command -->\nold\n<!-- end of table -->\nafter\n"


def test_only_the_marked_part_is_replaced_and_can_be_again(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text(MARKED, encoding="utf-8")
    replace_marked(file, "table", r"a \1 b" + "\n")
    once = file.read_text(encoding="utf-8")
    assert once == MARKED.replace("old\n", "\na \\1 b\n\n")
    replace_marked(file, "table", r"a \1 b" + "\n")
    assert file.read_text(encoding="utf-8") == once


def test_missing_marks_are_told_and_nothing_is_written(tmp_path: Path) -> None:
    file = tmp_path / "README.md"
    file.write_text("no marks", encoding="utf-8")
    with pytest.raises(InputError, match="end of table"):
        replace_marked(file, "table", "text")
    assert file.read_text(encoding="utf-8") == "no marks"
