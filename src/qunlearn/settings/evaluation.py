"""What decides how a model is evaluated."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from qunlearn.settings.kinds import STRICT, Count, CountOrNone, Positive, Switch, Tokens

BatchSize = Count | Literal["auto"]
Prompt = Literal["muse", "plain"]


@dataclass(frozen=True, config=STRICT)
class EvaluateSettings:
    """How a model is evaluated."""

    batch_size: BatchSize = 32
    """Prompts or texts a forward pass; a number, since some kernels' output depends on it; or
    `auto`: as many as fit the memory (int8, whose output depends on it by design, then has batches
    of 8)."""
    verbmem_tokens: Count = 128
    """Tokens generated for VerMem."""
    knowmem_tokens: Count = 32
    """Tokens generated for an answer."""
    shots: CountOrNone = 10
    """In-context examples before each question."""
    prompt: Prompt = "muse"
    """How KnowMem and Utility are asked and read. `muse`: as the benchmark does; the prompt ends in
    `Answer: ` with a space, and an answer that begins with a blank line is empty. `plain`: without
    the space, and leading blank lines are dropped."""
    max_tokens: Tokens = 2048
    """Length to which a PrivLeak text is cut."""
    min_k: Annotated[Positive, Field(le=1)] = 0.4
    """Share of a text's least likely tokens that Min-K% averages over."""
    stemmer: Switch = True
    """Whether ROUGE-L compares stems (the paper) or words (MUSE)."""
