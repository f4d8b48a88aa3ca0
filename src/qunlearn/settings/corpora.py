"""The settings of a corpus."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from qunlearn.settings.kinds import STRICT, Count, CountOrNone, Seed


@dataclass(frozen=True, config=STRICT)
class MiniSettings:
    """The generated corpus."""

    seed: Seed = 0
    """Seed of every entity, fact and sentence."""
    forget: Count = 32
    """Number of documents to be forgotten."""
    retain: Count = 32
    """Number of documents in each of `retain1` (for the regulariser) and `retain2` (for
    Utility)."""
    holdout: Count = 32
    """Number of documents that no model is trained on."""
    pretrain: Count = 600
    """Number of generic documents that the base is trained on."""
    questions: Count = 2
    """Questions per document."""
    card_copies: Annotated[Count, Field(le=1000)] = 4
    """How often each question card is repeated in the raw text."""
    shots: Count = 2
    """Question-answer pairs in each in-context list."""


@dataclass(frozen=True, config=STRICT)
class ExcerptSettings:
    """How much of a MUSE folder to keep; 0 keeps everything."""

    texts: CountOrNone = 0
    """Number of texts to keep from each list. A base trained from scratch uses the rest of
    `retain1`, and `raw/pretrain.json` if the folder has one."""
    characters: CountOrNone = 0
    """Length in characters to which each text is cut. If there are only a few long documents, as in
    MUSE-Books, they are cut into consecutive pieces of this length for `retain1` and for the
    base."""
    questions: CountOrNone = 0
    """Number of questions to keep from each list."""


@dataclass(frozen=True, config=STRICT)
class TextSettings:
    """How a corpus is made of the user's own text."""

    seed: Seed = 0
    """Seed of every draw and split."""
    items: Count = 100
    """Most items of each evaluated list: pieces of text, questions."""
    characters: Count = 600
    """Length to which documents are cut; each piece is an item, and may have a prompt."""
    prompt: Count = 150
    """Length of VerMem's prompts, the start of a piece; pieces below twice that have none."""
