"""Long passages that texts have in common."""

from collections import defaultdict
from collections.abc import Iterable

WINDOW, STRIDE = 80, 40
SPAN = WINDOW + STRIDE - 1
"""The shortest passage that is always found, in characters."""


class Passages:
    """Finds long passages that a text shares with known ones.

    Windows of 80 characters at every 40th position of the known texts are looked up at the
    positions of another, with runs of white space taken as one space. A shared passage of `SPAN`
    (119) characters is always found, one below 80 never; paraphrases are not.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = {_one_spaced(text) for text in texts}
        self._windows = defaultdict[str, list[str]](list)
        for text in self._texts:
            for start in range(0, len(text) - WINDOW + 1, STRIDE):
                self._windows[text[start : start + WINDOW]].append(text)

    def shared_with(self, text: str) -> bool:
        """Whether a passage that the texts were sampled for stands in `text` too."""
        text = _one_spaced(text)
        starts = range(len(text) - WINDOW + 1)
        return any(text[start : start + WINDOW] in self._windows for start in starts)

    def hold(self, text: str) -> bool:
        """Whether `text` stands whole in one of the texts; below `SPAN`: whether it is one."""
        text = _one_spaced(text)
        if len(text) < SPAN:
            return text in self._texts
        # At one of the first positions the text around it was sampled.
        windows = (text[start : start + WINDOW] for start in range(STRIDE))
        return any(text in known for window in windows for known in self._windows.get(window, ()))


def _one_spaced(text: str) -> str:
    return " ".join(text.split())
