"""The one exception that a user is meant to read."""

from reprlib import Repr
from typing import Any

LONGEST = 2000
"""Characters of a message; of a longer one the middle is left out."""
_SHORT = Repr()
_SHORT.maxstring = _SHORT.maxother = 80
_SHORT.maxlevel = 3


class InputError(Exception):
    """A configuration, file or value that the user can fix.

    The message is one line: it names the key, file or value at fault and says what to do; what a
    terminal would act on is written out. Scripts print it without a traceback and exit with 2.
    """

    def __init__(self, message: str) -> None:
        text = " ".join(message.split())
        if len(text) > LONGEST:
            text = f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 :]}"
        super().__init__("".join(c if c.isprintable() else ascii(c)[1:-1] for c in text))


def short(value: Any) -> str:
    """`repr` for a message: long texts, lists and numbers have their middle left out."""
    if isinstance(value, int) and abs(value) > 10**40:  # Python writes no more than 4300 digits
        return "a number of more than 40 digits"
    return _SHORT.repr(value)
