"""The words of cards and pages: Jinja2 templates beside this module."""

import re
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape


def fill(template: str, /, **context: Any) -> str:
    """The file `template`, filled with the values and functions of `context`.

    In HTML, values are escaped. In the other formats, blank lines that belong to parts left out go
    with them.

    Raises:
        jinja2.UndefinedError: the template uses a name that `context` lacks.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(["html.j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    text = environment.get_template(template).render(context)
    if template.endswith(".html.j2"):
        return text
    return re.sub(r"\n{3,}", "\n\n", text).strip("\n") + "\n"
