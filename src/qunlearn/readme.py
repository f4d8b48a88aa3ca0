"""The parts of the README that are results: written by a command, never by hand."""

import re
from pathlib import Path

from qunlearn.errors import InputError
from qunlearn.files import write_text


def replace_marked(file: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- NAME: … -->` and `<!-- end of NAME -->` in `file`.

    Raises:
        InputError: the file lacks the marks.
    """
    pattern = rf"(<!-- {name}:[^\n]*-->\n).*?(<!-- end of {name} -->)"
    content = file.read_text(encoding="utf-8")
    replaced, count = re.subn(
        pattern, lambda match: f"{match[1]}\n{text}\n{match[2]}", content, flags=re.DOTALL
    )
    if count != 1:
        raise InputError(f"{file}: needs one '<!-- {name}: … -->' and '<!-- end of {name} -->'")
    write_text(file, replaced)
