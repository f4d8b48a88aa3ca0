"""The words that ROUGE compares, in any script.

rouge_score's own tokenizer keeps a-z and 0-9 alone: of a text in another script it leaves nothing,
and it cuts an accented word in pieces. Here a word is a lower-cased run of letters, with their
marks, and decimal digits. So a text without letters beyond ASCII has the words that rouge_score
finds in it. Chinese, Japanese, Thai, Lao, Khmer, Burmese and Tibetan do not part words by spaces:
there each letter with its marks is a word.
"""

import unicodedata

import regex  # type: ignore[import-untyped]
from rouge_score.tokenizers import DefaultTokenizer

_ALONE = "".join(
    rf"\p{{scx={script}}}"
    for script in ("Han", "Hira", "Kana", "Thai", "Lao", "Khmer", "Myanmar", "Tibetan")
)
_LETTER = rf"[\p{{L}}&&[{_ALONE}]]"
_MARKS = r"[[\p{Mn}\p{Mc}]--\p{VS}]*"
_WORD = regex.compile(rf"(?V1){_LETTER}{_MARKS}|(?:(?!{_LETTER})[\p{{L}}\p{{Nd}}]{_MARKS})+")


class Words(DefaultTokenizer):  # type: ignore[misc]  # an untyped base
    """A tokenizer for rouge_score; Porter's stemmer reduces only words of a-z and 0-9."""

    def tokenize(self, text: str) -> list[str]:
        """The words of a text, in their order."""
        if text.isascii():
            return list(super().tokenize(text))
        found: list[str] = []
        for word in _WORD.findall(unicodedata.normalize("NFC", text.lower())):
            found += super().tokenize(word) if word.isascii() else [word]
        return found
