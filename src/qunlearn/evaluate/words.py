"""The words that ROUGE compares, in any script.

rouge_score's own tokenizer keeps a-z and 0-9 alone: of a text in another script it leaves nothing,
and it cuts an accented word in pieces. Here a word is a lower-cased run of letters, with their
marks, and decimal digits. So a text without letters beyond ASCII has the words that rouge_score
finds in it. Chinese, Japanese, Thai, Lao, Khmer, Burmese and Tibetan do not part words by spaces:
there each letter with its marks is a word.
"""

import unicodedata

from rouge_score.tokenizers import DefaultTokenizer

_UNSPACED = (
    *("CJK", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA"),
    *("THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN"),
)
"""What the Unicode names of such scripts' letters begin with."""


class Words(DefaultTokenizer):  # type: ignore[misc]  # an untyped base
    """A tokenizer for rouge_score; Porter's stemmer reduces only words of a-z and 0-9."""

    def tokenize(self, text: str) -> list[str]:
        """The words of a text, in their order."""
        if text.isascii():
            return list(super().tokenize(text))
        found: list[str] = []
        for word in _words(unicodedata.normalize("NFC", text.lower())):
            found += super().tokenize(word) if word.isascii() else [word]
        return found


def _words(text: str) -> list[str]:
    words: list[str] = []
    marks, letters = False, False  # whether they go on with the last word
    for character in text:
        kind, name = unicodedata.category(character), unicodedata.name(character, "")
        if kind in ("Mn", "Mc") and not name.startswith("VARIATION SELECTOR"):
            if marks:
                words[-1] += character
        elif kind[0] == "L" or kind == "Nd":
            alone = kind[0] == "L" and name.startswith(_UNSPACED)
            if letters and not alone:
                words[-1] += character
            else:
                words.append(character)
            marks, letters = True, not alone
        else:
            marks = letters = False
    return words
