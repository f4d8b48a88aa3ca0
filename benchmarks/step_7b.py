"""One update of NPO+KLR on a random model of Llama-2-7B's shape: tokens/s, MFU and peak memory.

    python -m benchmarks.step_7b                       # LoRA, on a GPU
    python -m benchmarks.step_7b --mode full           # every weight
    python -m benchmarks.step_7b --shape tiny          # in miniature, on whatever there is

`lora` is held as adapters.narrow_frozen leaves a run: frozen linear weights in bf16, the rest fp32,
bf16 autocast. `full` is `full_bf16`: weights, gradients and AdamW's moments in bf16, 8 bytes a
parameter (54 GB). With fp32 masters, their gradients and AdamW's moments there are 16 bytes a
parameter (108 GB): more than a card has, so unlearn.py shards them (`sharding: fsdp`), or keeps
the moments in 8 bits and the graph of one loss at a time (71 GB by the plan).

Model FLOPs of an update, P being the parameters of all linear layers, P_lora those of the adapter,
and a forward pass of one token through a causal row of T tokens F = 2 P + 2 layers hidden T (PaLM,
appendix B, halved for causal attention):

    full: 3 F a token (backward: once for the activations, once for the weights)
    lora: 2 F + 6 P_lora a token (a frozen weight needs no gradient)

for the tokens of the forget and of the retain rows. What is computed again (gradient
checkpointing, chunked losses) and the reference's head do not count. MFU = model FLOPs / seconds /
the card's dense bf16 peak.
"""

import json
import statistics
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.bench_training import our_loss
from benchmarks.harness import KEPT, machine
from qunlearn.plan import CARDS
from qunlearn.run.cli import run_script
from qunlearn.run.files import write_json
from qunlearn.training.rows import collate

Mode = Literal["lora", "full"]


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


def make_model(shape: Shape, mode: Mode, checkpointing: bool, device: torch.device) -> nn.Module:
    """A random model on `device`, in the dtypes that `mode` trains in."""
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
    config.use_cache = False
    with device:
        model: Any = LlamaForCausalLM._from_config(config, dtype=torch.bfloat16)
    if mode == "lora":
        for module in model.modules():
            if not isinstance(module, nn.Linear):
                for weight in module.parameters(recurse=False):
                    weight.data = weight.data.float()
        adapter = LoraConfig(
            r=16, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        model = get_peft_model(model, adapter)
    if checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
        model.enable_input_require_grads()
    if device.type == "cpu":
        model.set_attn_implementation("eager")  # as training does
    return model.train()


def update_flops(shape: Shape, mode: Mode, tokens: int, adapter: int) -> float:
    """Model FLOPs of an update of `tokens` tokens; `adapter`: its parameters. See above."""
    layer = 4 * shape.hidden**2 + 3 * shape.hidden * shape.mlp
    linear = shape.layers * layer + shape.vocabulary * shape.hidden
    forward = 2 * linear + 2 * shape.layers * shape.hidden * shape.tokens
    if mode == "full":
        return 3.0 * forward * tokens
    return (2.0 * forward + 6.0 * adapter) * tokens


def measure(shape: Shape, mode: Mode, rows: int, checkpointing: bool, updates: int) -> Any:
    """Seconds, tokens/s, MFU (None off a known GPU) and peak memory in GiB (None off a GPU)."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = make_model(shape, mode, checkpointing, device)
    generator = torch.Generator().manual_seed(1)
    size = (2 * rows, shape.tokens)
    ids = torch.randint(shape.vocabulary, size, generator=generator).tolist()
    batches = [
        {name: tensor.to(device) for name, tensor in collate(part).items()}
        for part in (ids[:rows], ids[rows:])
    ]
    autocast = partial(torch.autocast, device.type, dtype=torch.bfloat16, enabled=mode == "lora")
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, weight_decay=0.0, fused=True)
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        loss = our_loss(model, ids[:rows], ids[rows:], Path(folder) / "states", autocast)
        for _ in range(updates + 1):
            start = time.perf_counter()
            with autocast():
                value = loss(*batches)
            value.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            optimizer.zero_grad()
            last = value.item()  # waits for the device
            if device.type == "cuda":
                torch.cuda.synchronize()
            seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds[1:])
    tokens = 2 * rows * shape.tokens
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    adapter = sum(weight.numel() for weight in trained) if mode == "lora" else 0
    flops = update_flops(shape, mode, tokens, adapter)
    peak = next((card.flops for card in CARDS if card.name in name), None)
    memory = torch.cuda.max_memory_allocated() / 2**30 if device.type == "cuda" else None
    return {
        "device": name,
        "mode": mode,
        "gradient_checkpointing": checkpointing,
        "rows": rows,
        "tokens": tokens,
        "loss": last,
        "seconds": median,
        "tokens_a_second": tokens / median,
        "model_flops": flops,
        "mfu": flops / median / peak if peak else None,
        "peak_gib": memory,
    }


def main(
    shape: Literal["7b", "tiny"] = "7b",
    mode: Mode = "lora",
    rows: int = 1,
    gradient_checkpointing: bool = False,
    updates: int = 5,
    output: Path = KEPT,
) -> None:
    """Make updates, print what they took, and keep it in `output`.

    Args:
        shape: of the model.
        mode: which weights are trained.
        rows: forget rows an update, each with a retain row.
        gradient_checkpointing: compute each layer again in the backward pass.
        updates: how many are timed, after one that is not.
        output: folder of the JSON file.
    """
    found = measure(SHAPES[shape], mode, rows, gradient_checkpointing, updates)
    print(json.dumps(found, indent=2))
    write_json(output / f"step_{shape}_{mode}.json", found | {"machine": machine()})


if __name__ == "__main__":
    run_script(main)
