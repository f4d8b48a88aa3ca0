"""An update of NPO+KLR, ours and the textbook's: seconds and peak memory, full and under LoRA.

Same model, rows, optimizer and dtypes (fp32 weights, bf16 autocast), rows of equal length; the
losses of the first updates are asserted to agree. Seconds are CPU seconds of one thread. A batch's
reference is cached before the first update in ours, as in a run, where it is made once for all
epochs.
"""

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.harness import Comparison, in_fresh_process, interleaved, keep
from benchmarks.textbook import Textbook
from qunlearn.settings.unlearning import UnlearnSettings
from qunlearn.training.adapters import narrow_frozen
from qunlearn.training.losses import (
    Autocast,
    head_weight,
    hidden_states,
)
from qunlearn.training.reference import cached_states, row_nll
from qunlearn.training.rows import Batch, collate
from qunlearn.training.terms.klr import mean_kl
from qunlearn.training.terms.npo import npo
from qunlearn.training.unlearn import see

Adapter = Literal["full", "lora"]
Update = Callable[[], float]  # makes an update, returns its loss

AUTOCAST = partial(torch.autocast, "cpu", dtype=torch.bfloat16)
BETA, GAMMA, ALPHA = 0.1, 1.0, 1.0
SETTINGS = UnlearnSettings(beta=BETA)
RATES = {"full": 1e-5, "lora": 1e-4}
CHECKED = 2  # updates whose losses must agree
TOLERANCE = (
    0.02  # of a loss; bf16 rounds a product by up to 0.004, and Adam's first steps are signs
)
SPEED_GOALS = {"full": 1.5, "lora": 1.7}
MEMORY_GOAL = 0.55
WAYS = ("ours", "textbook")
BOUND_BY = (
    "Small model: the products of the layers are three fifths of an update. In units of a forward "
    "pass over a batch ours makes 6 (full: two terms, forward 1, backward 2) and the textbook 9; "
    "under LoRA, whose frozen weights need no gradient, 4 and 7. So 1.5 and 1.75 are about what "
    "leaving out work can give. Of its peak memory the activations of the passes are most: of two "
    "passes in ours, of three in the textbook's. That bounds the share at about 0.67; a backward "
    "pass after each term would halve ours again, but sums the terms' gradients in another order, "
    "and the default experiment keeps its numbers. Large vocabulary: logits bound the textbook, "
    "in time (copies in float32 that no cache holds) and in memory; ours holds 32 MiB of them in "
    "bf16, and makes KLR's gradients of them at once; NPO's logits it makes again in the backward "
    "pass, since a row's weight is known only after its last token. Half a head: the head is as "
    "large as all layers. Weights, moments and gradients, which both need, are 900 MiB: with the "
    "activations of two passes ours cannot reach 0.55 of the textbook's peak. Memory is counted "
    "above what the imports took."
)


@dataclass(frozen=True)
class Shape:
    """A Llama and a batch: `rows` forget rows and as many retain rows, all of `tokens` tokens."""

    vocabulary: int
    rows: int
    tokens: int
    timed: int  # updates of a timed round
    hidden: int = 256
    mlp: int = 768
    layers: int = 4
    heads: int = 4


SHAPES = {
    "mini": Shape(vocabulary=1024, rows=8, tokens=60, timed=3),
    "large vocabulary": Shape(vocabulary=32_000, rows=2, tokens=512, timed=1),
    # SmolLM2-135M's vocabulary and width, with as many weights in the head as in the layers.
    "half a head": Shape(
        49_152, rows=2, tokens=256, timed=1, hidden=576, mlp=1536, layers=8, heads=9
    ),
}
WARM_UP = Shape(vocabulary=64, rows=1, tokens=8, timed=1, hidden=32, mlp=64, layers=1, heads=2)


def make_model(shape: Shape, adapter: Adapter) -> nn.Module:
    """A random model whose weights bf16 holds exactly, as it holds a released checkpoint's."""
    torch.manual_seed(0)
    model: Any = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.hidden,
            intermediate_size=shape.mlp,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            max_position_embeddings=shape.tokens,
            initializer_range=0.05,
            tie_word_embeddings=False,
        )
    )
    model = model.bfloat16().float()
    if adapter == "lora":
        config = LoraConfig(r=16, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")
        model = get_peft_model(model, config)
    model.set_attn_implementation("eager")  # as training does on a CPU
    return model.train()


def make_rows(shape: Shape) -> tuple[list[list[int]], list[list[int]]]:
    """Forget rows and retain rows of random tokens."""
    generator = torch.Generator().manual_seed(1)
    size = (2 * shape.rows, shape.tokens)
    rows = torch.randint(shape.vocabulary, size, generator=generator).tolist()
    return rows[: shape.rows], rows[shape.rows :]


def our_loss(
    model: nn.Module,
    forget: list[list[int]],
    retain: list[list[int]],
    file: Path,
    autocast: Autocast,
) -> Callable[[Batch, Batch], Tensor]:
    """What training.unlearn does in an update, for one fixed pair of batches."""
    before, _ = row_nll(model, forget, len(forget), autocast)
    reference = cached_states(model, retain, len(retain), autocast, file)
    indices = range(len(retain))

    def loss(forget: Batch, retain: Batch) -> Tensor:
        head = head_weight(model)
        lost = see(hidden_states(model, forget), head, forget, (before,))
        kept = see(hidden_states(model, retain), head, retain, reference(indices))
        return GAMMA * npo(lost, SETTINGS) + ALPHA * mean_kl(kept, SETTINGS)

    return loss


def updates(shape: Shape, adapter: Adapter, way: str, file: Path) -> Update:
    """A model, its optimizer and its rows, as a function that makes one update."""
    model = make_model(shape, adapter)
    forget, retain = make_rows(shape)
    batches = collate(forget), collate(retain)
    if way == "ours":
        narrow_frozen(model, torch.bfloat16)
        loss = our_loss(model, forget, retain, file, AUTOCAST)
    else:
        loss = partial(Textbook(model, BETA, GAMMA, ALPHA).loss, model)
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATES[adapter], weight_decay=0.0, fused=True)

    def update() -> float:
        with AUTOCAST():
            value = loss(*batches)
        value.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        return value.item()

    return update


def peak_memory(shape: Shape, adapter: Adapter, way: str) -> float:
    """MiB that model, optimizer, caches and activations of two updates take in this process.

    The process's peak beyond its peak after the imports and an update of a model of a few
    kilobytes, which loads all code.
    """
    with tempfile.TemporaryDirectory() as folder:
        updates(WARM_UP, adapter, way, Path(folder) / "warm")()
        before = peak_resident()
        update = updates(shape, adapter, way, Path(folder) / "states")
        for _ in range(2):
            update()
        return peak_resident() - before


def peak_resident() -> float:
    """MiB, of this process alone, as Linux knows it; getrusage's has the parent's peak in it."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


def compare(name: str, adapter: Adapter) -> list[Comparison]:
    """Seconds and peak memory of both ways on one shape.

    Raises:
        AssertionError: the losses of the two ways differ.
    """
    shape = SHAPES[name]
    with tempfile.TemporaryDirectory() as folder:
        ways = {way: updates(shape, adapter, way, Path(folder) / way) for way in WAYS}
        for number in range(CHECKED):
            ours, theirs = (ways[way]() for way in WAYS)
            assert abs(ours - theirs) <= TOLERANCE * abs(theirs), (name, adapter, number)
        repeated = {
            way: partial(lambda update: [update() for _ in range(shape.timed)], update)
            for way, update in ways.items()
        }
        seconds = interleaved(repeated, clock=time.process_time, warm_up=False)
    peaks = {way: [in_fresh_process(Path(__file__), name, adapter, way)] for way in WAYS}
    return [
        Comparison(
            f"NPO+KLR, {adapter}, {name}: an update",
            "CPU s",
            *([value / shape.timed for value in seconds[way]] for way in WAYS),
            sense="speed-up",
            goal=SPEED_GOALS[adapter],
        ),
        Comparison(
            f"NPO+KLR, {adapter}, {name}: peak memory",
            "MiB",
            *(peaks[way] for way in WAYS),
            sense="share",
            goal=MEMORY_GOAL,
        ),
    ]


def main() -> None:
    """Measure all shapes and keep the numbers; with arguments, print the peak of one process."""
    if len(sys.argv) > 1:
        name, adapter, way = sys.argv[1:]
        print(json.dumps(round(peak_memory(SHAPES[name], adapter, way), 1)))  # type: ignore[arg-type]
        return
    comparisons = [
        one
        for name in SHAPES
        for adapter in RATES
        for one in compare(name, adapter)  # type: ignore[arg-type]
    ]
    keep(
        "training",
        comparisons,
        BOUND_BY,
        shapes={name: asdict(shape) for name, shape in SHAPES.items()},
        updates_a_second={
            one.what: round(1 / statistics.median(one.ours), 2)
            for one in comparisons
            if one.unit == "CPU s"
        },
    )


if __name__ == "__main__":
    main()
