"""What decides a corpus."""

from typing import Annotated

from pydantic import Field
from pydantic.dataclasses import dataclass

from qunlearn.settings.kinds import STRICT, Count, CountOrNone, Seed


@dataclass(frozen=True, config=STRICT)
class MiniSettings:
    """The generated corpus."""

    seed: Seed = 0
    """Decides every entity, fact and sentence."""
    forget: Count = 32
    """Documents to be forgotten."""
    retain: Count = 32
    """Documents of each of `retain1` (the regulariser's) and `retain2` (Utility's)."""
    holdout: Count = 32
    """Documents that no model is trained on."""
    pretrain: Count = 600
    """Generic documents that the base is trained on."""
    questions: Count = 2
    """Questions a document."""
    card_copies: Annotated[Count, Field(le=1000)] = 4
    """How often each question card stands in the raw text."""
    shots: Count = 2
    """Question-answer pairs in each in-context list."""


@dataclass(frozen=True, config=STRICT)
class ExcerptSettings:
    """How much of a MUSE folder to keep; 0 keeps everything."""

    texts: CountOrNone = 0
    """Texts of each list that are kept. A base from scratch is trained on the rest of `retain1`,
    and on `raw/pretrain.json` where there is one."""
    characters: CountOrNone = 0
    """Length to which a text is cut. Of a few long documents, as in MUSE-Books, `retain1` and the
    text for a base from scratch are consecutive pieces of this length."""
    questions: CountOrNone = 0
    """Questions of each list that are kept."""
