"""The one exception that a user is meant to read."""

from reprlib import Repr
from typing import Any


class InputError(Exception):
    """A configuration, file or value that the user can mend.

    The message is one line: it names the key, file or value at fault and says what to do.
    Scripts print it without a traceback and exit with 2.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_one_line(message))


LONGEST = 2000
"""Characters of a message; of a longer one the middle is left out."""


def _one_line(text: str) -> str:
    """`text` with what a terminal would act on, such as a file name's line ends, written out."""
    text = " ".join(text.split())
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"
    return "".join(
        character if character.isprintable() else ascii(character)[1:-1] for character in text
    )


_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlevel = 3


def short(value: Any) -> str:
    """`repr` for a message: long texts, lists and numbers have their middle left out."""
    if isinstance(value, int) and abs(value) > 10**40:  # Python writes no more than 4300 digits
        return "a number of more than 40 digits"
    return _SHORT.repr(value)
