"""Tiny models, their rows and settings, and what tests of training ask of models."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from qunlearn.models.scratch import train_tokenizer
from qunlearn.settings.models import ModelSettings
from qunlearn.settings.training import TrainSettings
from qunlearn.settings.unlearning import UnlearnSettings
from qunlearn.training.rows import collate
from qunlearn.training.trainer import RepeatableTrainer

VOCABULARY = 60
TEXTS = [f"The {noun} of {place} is old." for noun in ("mill", "inn") for place in ("Orr", "Ense")]
TRAINING = TrainSettings(
    epochs=4, lr=1e-2, warmup=2, batch_size=2, max_tokens=16, log_every=2, checkpoint_every=4
)
UNLEARNING = UnlearnSettings(
    lr=1e-3, epochs=2, batch_size=4, rank=4, lora_alpha=8.0, log_every=2, checkpoint_every=4
)
full_precision = partial(torch.autocast, "cpu", dtype=torch.bfloat16, enabled=False)
mixed_precision = partial(torch.autocast, "cpu", dtype=torch.bfloat16)


def tiny_llama(vocabulary: int = VOCABULARY, hidden: int = 32, **changes: Any) -> LlamaForCausalLM:
    sizes = {"vocab_size": vocabulary, "hidden_size": hidden, "intermediate_size": 2 * hidden}
    sizes |= {"num_hidden_layers": 2, "num_attention_heads": 2, "max_position_embeddings": 64}
    more = {"initializer_range": 0.2, "tie_word_embeddings": False}
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**sizes | more | changes))


def random_rows(count: int, seed: int) -> list[list[int]]:
    """Rows of 5 to 12 tokens."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(5, 13, (count,), generator=generator).tolist()
    return [torch.randint(VOCABULARY, (n,), generator=generator).tolist() for n in lengths]


FORGET, RETAIN = random_rows(12, seed=1), random_rows(10, seed=2)


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(TEXTS, ModelSettings(vocabulary=300, context=64))


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    """Bitwise."""
    return first.keys() == second.keys() and all(
        torch.equal(weight, second[name]) for name, weight in first.items()
    )


def logits(model: nn.Module, rows: list[list[int]]) -> Tensor:
    """Of all true positions of `rows`, [positions, vocabulary]; transformers' own forward pass."""
    batch = collate(rows)
    with torch.no_grad():
        output = model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    return output.logits[batch["attention_mask"].bool()]


def wake(adapted: nn.Module) -> None:
    """Give LoRA's B matrices, which start at 0, values that matter."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.copy_(torch.randn(weight.shape, generator=generator))


def at_update(
    monkeypatch: pytest.MonkeyPatch, update: int, act: Callable[[RepeatableTrainer], Any]
) -> None:
    """Call `act` in the place of a power cut: before the forward pass after `update` updates."""
    original = RepeatableTrainer.training_step
    acted: list[int] = []

    def step(self: RepeatableTrainer, *args: Any, **kwargs: Any) -> Tensor:
        if self.state.global_step == update and not acted:
            acted.append(update)
            act(self)
        return original(self, *args, **kwargs)

    monkeypatch.setattr(RepeatableTrainer, "training_step", step)
