"""Generation of MUSE's prompts by a random 7B model: ours, and one prompt at a time.

A random model never stops early, so that both generate as many tokens.
"""

from typing import Any

import torch

from benchmarks.plain_evaluation import generate_one_at_a_time
from benchmarks.step_7b import SHAPES, random_model, wait
from qunlearn.corpora.mini import generate
from qunlearn.evaluate.generate import continuations
from qunlearn.evaluate.prompts import question_prompts
from qunlearn.models.scratch import train_tokenizer
from qunlearn.settings.corpora import MiniSettings
from qunlearn.settings.evaluation import EvaluateSettings
from qunlearn.settings.models import ModelSettings

SHOTS = 10
VERBMEM_TOKENS, KNOWMEM_TOKENS = 128, 32


def measure(name: str, prompts: int, sample: int) -> dict[str, Any]:
    """Seconds for VerMem's prompts and twice as many questions with ten examples.

    Args:
        name: of the shape.
        prompts: VerMem's, of which there are MUSE's 100 in full.
        sample: prompts, and questions, that are asked one at a time; their seconds are scaled up.
    """
    shape = SHAPES[name]
    corpus = generate("news", MiniSettings(forget=prompts, questions=2, shots=SHOTS))
    words = ModelSettings(vocabulary=min(shape.vocabulary, 1024))
    tokenizer = train_tokenizer(corpus.raw["pretrain"], words)
    model = random_model(shape).eval()
    verbatim = [item["prompt"] for item in corpus.verbmem["forget"]]
    questions = question_prompts(corpus, "forget", EvaluateSettings(shots=SHOTS, prompt="muse"))
    asked = (verbatim, min(VERBMEM_TOKENS, shape.tokens // 2)), (questions, KNOWMEM_TOKENS)
    ours = one = 0.0
    for texts, new in asked:
        generate_one_at_a_time(model, tokenizer, texts[:1], 2)  # what loads on first use
        start = wait()
        continuations(model, tokenizer, texts, new_tokens=new, batch_size="auto")
        middle = wait()
        generate_one_at_a_time(model, tokenizer, texts[:sample], new)
        ours += middle - start
        one += (wait() - middle) * len(texts) / sample
    return {
        "prompts": len(verbatim),
        "questions": len(questions),
        "seconds": ours,
        "one_at_a_time_seconds": one,
        "extrapolated_from": sample,
        "speed_up": one / ours,
        "peak_gb": torch.cuda.max_memory_allocated() / 1e9 if torch.cuda.is_available() else None,
    }
