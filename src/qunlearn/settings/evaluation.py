"""What decides how a model is asked."""

from dataclasses import dataclass
from typing import Literal

BatchSize = int | Literal["auto"]
Prompt = Literal["muse", "plain"]


@dataclass(frozen=True)
class EvaluateSettings:
    """How a model is asked.

    Attributes:
        batch_size: prompts or texts a forward pass; part of the result where a kernel's output
            depends on the batch, so it is fixed. `auto`: as many as the memory holds; int8, whose
            output depends on the batch by design, is then asked 8 at a time.
        verbmem_tokens: tokens of the prompt's continuation that are generated for VerMem.
        knowmem_tokens: tokens generated for an answer.
        shots: in-context examples before each question.
        prompt: how questions are asked and answers are read: as MUSE does, or plainly, without its
            space at the end; see `evaluate.prompts`.
        max_tokens: length to which a PrivLeak text is cut.
        min_k: share of a text's least likely tokens that Min-K% averages over.
        stemmer: whether ROUGE-L compares stems (the paper) or words (MUSE).
    """

    batch_size: BatchSize = 32
    verbmem_tokens: int = 128
    knowmem_tokens: int = 32
    shots: int = 10
    prompt: Prompt = "muse"
    max_tokens: int = 2048
    min_k: float = 0.4
    stemmer: bool = True
