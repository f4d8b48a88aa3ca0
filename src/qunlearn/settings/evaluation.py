"""The settings of an evaluation."""

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
    """Prompts or texts per forward pass. A fixed number by default, because the output of some
    kernels depends on it; `auto`: as many as fit into memory (but 8 for int8, whose output depends
    on the batch by design)."""
    verbmem_tokens: Count = 128
    """Tokens generated for VerMem."""
    knowmem_tokens: Count = 32
    """Tokens generated for an answer."""
    shots: CountOrNone = 10
    """In-context examples before each question."""
    prompt: Prompt = "muse"
    """Prompt format of KnowMem and Utility. `muse`: the benchmark's; the prompt ends in `Answer: `
    with a space, and an answer that begins with a blank line counts as empty. `plain`: no trailing
    space, and leading blank lines of an answer are ignored."""
    max_tokens: Tokens = 2048
    """Length in tokens to which each PrivLeak text is cut."""
    min_k: Annotated[Positive, Field(le=1)] = 0.4
    """Fraction of a text's tokens, the least likely ones, that Min-K% averages over."""
    stemmer: Switch = True
    """Whether ROUGE-L compares word stems (as in the paper) or words (as in MUSE)."""
