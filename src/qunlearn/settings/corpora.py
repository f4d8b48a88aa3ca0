"""What decides a corpus."""

from dataclasses import dataclass


@dataclass(frozen=True)
class MiniSettings:
    """The generated corpus.

    Attributes:
        seed: decides every entity, fact and sentence.
        forget: documents to be forgotten.
        retain: documents of each of `retain1` (seen by the regulariser) and `retain2` (not seen).
        holdout: documents that no model is trained on.
        pretrain: generic documents that the base model is trained on.
        questions: questions a document.
        card_copies: how often each question card stands in the raw text.
        shots: question-answer pairs in each in-context list.
    """

    seed: int = 0
    forget: int = 32
    retain: int = 32
    holdout: int = 32
    pretrain: int = 600
    questions: int = 2
    card_copies: int = 4
    shots: int = 2


@dataclass(frozen=True)
class ExcerptSettings:
    """How much of a MUSE folder to keep; 0 keeps everything.

    Attributes:
        texts: texts of each list that are kept.
        characters: length to which a text is cut, and of the pieces of a few long documents.
        questions: questions of each list that are kept.
    """

    texts: int = 0
    characters: int = 0
    questions: int = 0
