"""An update of NPO+KLR on a random model of Llama-2-7B's shape: tokens/s, MFU and peak memory.

    python -m benchmarks.step_7b                       # LoRA
    python -m benchmarks.step_7b --way full --rows 4   # every weight
    python -m benchmarks.step_7b --way textbook        # LoRA as the peers train it
    python -m benchmarks.step_7b --shape tiny          # in miniature, on whatever there is

`lora` and `full` are `training.unlearn` itself, one row a pass. `lora` holds its frozen weights in
bf16, as a run does. `full` has fp32 masters, AdamW's moments in 8 bits and gradient checkpointing,
as config/paper.yaml has. `textbook` has a second model and all logits (`benchmarks/textbook.py`).

Model FLOPs of an update, P being the parameters of all linear layers, P_lora those of the adapter,
and a forward pass of one token through a causal row of T tokens F = 2 P + 2 layers hidden T (PaLM,
appendix B, halved for causal attention):

    full: 3 F a token (backward: once for the activations, once for the weights)
    lora: 2 F + 6 P_lora a token (a frozen weight needs no gradient)

for the tokens of the forget and of the retain rows. What is computed again (gradient
checkpointing, chunked losses) and the reference do not count. MFU = model FLOPs / seconds / the
card's dense bf16 peak.
"""

import gc
import json
import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal
from unittest.mock import patch

import torch
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.textbook import Textbook
from qunlearn.plan import CARDS
from qunlearn.run.cli import run_script
from qunlearn.settings.unlearning import UnlearnSettings
from qunlearn.training.adapters import narrow_frozen, with_adapter
from qunlearn.training.rows import Rows, collate
from qunlearn.training.trainer import RepeatableTrainer
from qunlearn.training.unlearn import unlearn

Way = Literal["lora", "full", "textbook"]
NEVER = 10**6


@dataclass(frozen=True)
class Shape:
    """Of a Llama; `tokens` a row."""

    vocabulary: int
    hidden: int
    mlp: int
    layers: int
    heads: int
    tokens: int


SHAPES = {
    "7b": Shape(32_000, 4096, 11_008, 32, 32, 2048),
    "tiny": Shape(320, 64, 128, 2, 2, 64),
}


def device() -> torch.device:
    """The GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def wait() -> float:
    """The time, in seconds, at which all that was asked of the device is done."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def random_model(shape: Shape) -> Any:
    """A model on the device, in bf16, as released checkpoints are."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.mlp,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        max_position_embeddings=shape.tokens,
        tie_word_embeddings=False,
    )
    with device():
        return LlamaForCausalLM._from_config(config, dtype=torch.bfloat16)


def update_flops(shape: Shape, way: Way, tokens: int, adapter: int) -> float:
    """Model FLOPs of an update of `tokens` tokens; `adapter`: its parameters. See above."""
    layer = 4 * shape.hidden**2 + 3 * shape.hidden * shape.mlp
    linear = shape.layers * layer + shape.vocabulary * shape.hidden
    forward = 2 * linear + 2 * shape.layers * shape.hidden * shape.tokens
    if way == "full":
        return 3.0 * forward * tokens
    return (2.0 * forward + 6.0 * adapter) * tokens


class _Enough(Exception):
    """All updates that were wanted are timed."""


@contextmanager
def _noting(marks: list[float], steps: int) -> Iterator[None]:
    """In the block, note when each pass of a training begins, and end it after `steps`."""
    original = RepeatableTrainer.training_step

    def step(self: RepeatableTrainer, *args: Any, **kwargs: Any) -> Any:
        marks.append(wait())
        if len(marks) > steps:
            raise _Enough
        return original(self, *args, **kwargs)

    with patch.object(RepeatableTrainer, "training_step", step), suppress(_Enough):
        yield


def _textbook(
    model: nn.Module, forget: Rows, retain: Rows, settings: UnlearnSettings, marks: list[float]
) -> None:
    """Updates of a row each, noting when each begins."""
    loss = Textbook(model, settings.beta, settings.gamma, settings.alpha).loss
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=settings.lr, weight_decay=0.0, fused=True)
    for pair in zip(forget, retain, strict=True):
        marks.append(wait())
        batches = ({k: v.to(device()) for k, v in collate([row]).items()} for row in pair)
        with torch.autocast(device().type, dtype=torch.bfloat16):
            value = loss(model, *batches)
        value.backward()
        torch.nn.utils.clip_grad_norm_(trained, settings.clip)
        optimizer.step()
        optimizer.zero_grad()


def measure(
    name: str, way: Way, rows: int, updates: int, checkpointing: bool = False
) -> dict[str, Any]:
    """Seconds, tokens/s, MFU (None off a known GPU) and peak memory in GB (None off a GPU).

    Args:
        name: of the shape.
        rows: forget rows an update, each with a retain row; 1 in the textbook.
        updates: how many are timed, after one that is not.
        checkpointing: compute each layer again in the backward pass; `full` does so anyway.
    """
    shape, full, adapter = SHAPES[name], way == "full", "full" if way == "full" else "lora"
    settings = UnlearnSettings(
        epochs=updates + 2,
        batch_size=rows,
        micro_batch_size=1,
        gradient_checkpointing=checkpointing or full,
        optimizer="adamw_8bit" if full else "adamw",
        log_every=NEVER,
        checkpoint_every=NEVER,
    )
    model = with_adapter(random_model(shape).float(), adapter, settings, seed=0)  # type: ignore[arg-type]
    narrow_frozen(model, torch.bfloat16)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    steps = rows * (updates + 1)
    generator, marks = torch.Generator().manual_seed(1), list[float]()
    draw = partial(torch.randint, shape.vocabulary, generator=generator)
    if way == "textbook":
        forget, retain = (draw((steps + 1, shape.tokens)).tolist() for _ in range(2))
        model.train()
        _textbook(model, forget, retain, settings, marks)
    else:
        forget, retain = (draw((rows, shape.tokens)).tolist() for _ in range(2))
        with TemporaryDirectory() as folder, _noting(marks, steps):
            unlearn(model, forget, retain, "npo_klr", adapter, settings, 0, Path(folder))  # type: ignore[arg-type]
    seconds = statistics.median(
        marks[rows * (number + 1)] - marks[rows * number] for number in range(1, updates + 1)
    )
    tokens = 2 * rows * shape.tokens
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    flops = update_flops(shape, way, tokens, trained)
    known = (gpu or "").replace("H200", "H100")  # an H200 is an H100 with other memory
    peak = next((card.flops for card in CARDS if card.name in known), None)
    return {
        "way": way,
        "gradient_checkpointing": settings.gradient_checkpointing,
        "rows": rows,
        "tokens": tokens,
        "seconds": seconds,
        "tokens_a_second": tokens / seconds,
        "model_flops": flops,
        "mfu": flops / seconds / peak if peak else None,
        "peak_gb": torch.cuda.max_memory_allocated() / 1e9 if gpu else None,
    }


def main(
    shape: Literal["7b", "tiny"] = "7b",
    way: Way = "lora",
    rows: int = 1,
    updates: int = 5,
    gradient_checkpointing: bool = False,
) -> None:
    """Make updates and print what they took.

    Args:
        shape: of the model.
        way: which weights are trained, and how.
        rows: forget rows an update, each with a retain row.
        updates: how many are timed, after one that is not.
        gradient_checkpointing: compute each layer again in the backward pass.
    """
    found = measure(shape, way, rows, updates, gradient_checkpointing)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    run_script(main)
