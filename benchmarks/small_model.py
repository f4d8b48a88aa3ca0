"""The small model that evaluation is timed on: of the default experiment's shape, briefly trained.

What it says matters to the time that an early stop saves: it must answer a question in a few
tokens and go on to the next one, as a model of any size does after ten examples. A hundred updates
teach it that.
"""

import random

import torch
from torch.nn.functional import cross_entropy
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from qunlearn.corpora.layout import Corpus
from qunlearn.corpora.mini import generate
from qunlearn.models.scratch import new_llama, train_tokenizer
from qunlearn.settings.corpora import MiniSettings
from qunlearn.settings.models import ModelSettings
from qunlearn.training.rows import collate, make_rows

SHOTS = 10


def small_corpus() -> Corpus:
    """The default experiment's corpus with as many in-context examples as MUSE has."""
    return generate("news", MiniSettings(shots=SHOTS))


def small_model(corpus: Corpus) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """Train on all raw text but holdout's; seeded, float32, in evaluation mode."""
    shape = ModelSettings()
    raw = corpus.raw
    tokenizer = train_tokenizer(raw["pretrain"], shape)
    texts = [*raw["pretrain"], *raw["forget"], *raw["retain1"], *raw["retain2"]]
    rows = make_rows(texts, tokenizer, max_tokens=256, chunking="documents")
    model = new_llama(shape, tokenizer, seed=0).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.0)
    draw = random.Random(0)
    for _ in range(120):
        batch = collate(draw.sample(rows, 16))
        logits = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
        loss = cross_entropy(logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval(), tokenizer
