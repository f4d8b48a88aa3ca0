"""The largest memory at once of a few updates of unlearning, in tensors: what the plan predicts.

torch's profiler reports every allocation and release of the CPU allocator; their running sum is
what `torch.cuda.max_memory_allocated` is on a GPU. The process's resident memory would have the
allocator's fragments in it besides, and libraries that were read meanwhile.

`python benchmarks/peak_probe.py` measures every case of `CASES` and prints a JSON list of bytes.
"""

import gc
import json
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from qunlearn.models.shape import ModelShape
from qunlearn.run.cli import hide_unused
from qunlearn.settings.unlearning import Adapter, UnlearnSettings

UPDATES = 2  # in the second one the moments are there from the start


@dataclass(frozen=True)
class Case:
    """A training to measure."""

    name: str
    shape: ModelShape
    objective: str
    adapter: Adapter
    settings: UnlearnSettings


def _shape(vocabulary: int, hidden: int, layers: int) -> ModelShape:
    heads = hidden // 64
    return ModelShape(vocabulary, hidden, 3 * hidden, layers, heads, heads, 64, False, 2048)


SHAPES: dict[str, tuple[ModelShape, int, int]] = {  # with rows an update and tokens a row
    "large vocabulary": (_shape(32_000, 256, 2), 4, 256),
    "deep": (_shape(2_000, 256, 16), 4, 128),
    "wide": (_shape(2_000, 1024, 2), 4, 128),
}
OBJECTIVES = {"large vocabulary": "npo_klr", "deep": "npo_gdr", "wide": "ga"}
WAYS: list[tuple[Adapter, bool]] = [  # with gradient checkpointing or without
    ("full", False),
    ("full", True),
    ("full_bf16", False),
    ("lora", False),
    ("lora", True),
]
CASES = [
    Case(
        f"{name}, {adapter}{', checkpointing' if checkpointing else ''}",
        shape,
        OBJECTIVES[name],
        adapter,
        UnlearnSettings(
            epochs=UPDATES,
            batch_size=rows,
            micro_batch_size=rows // 2 if checkpointing else 0,
            max_tokens=tokens,
            gradient_checkpointing=checkpointing,
            log_every=UPDATES,
            checkpoint_every=100 * UPDATES,
        ),
    )
    for name, (shape, rows, tokens) in SHAPES.items()
    for adapter, checkpointing in WAYS
]


def measure(case: Case) -> int:
    """Bytes, of a random model from before it is made until it is trained."""
    import torch
    from torch.profiler import ProfilerActivity, profile
    from transformers import LlamaConfig, LlamaForCausalLM

    from qunlearn.training.adapters import narrow_frozen, weight_dtype, with_adapter
    from qunlearn.training.unlearn import unlearn

    gc.collect()
    gc.disable()  # what only a collection frees may still be there when the most is
    shape, settings = case.shape, case.settings
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(
        shape.vocabulary, (2 * settings.batch_size, settings.max_tokens), generator=generator
    ).tolist()
    forget, retain = ids[: settings.batch_size], ids[settings.batch_size :]
    with TemporaryDirectory() as folder, ExitStack() as stack:
        record = stack.enter_context(
            profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=False)
        )
        config = LlamaConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.hidden,
            intermediate_size=shape.mlp,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            max_position_embeddings=shape.context,
            tie_word_embeddings=False,
            dtype=weight_dtype(case.adapter),
        )
        model: Any = LlamaForCausalLM._from_config(config)
        for weight in model.parameters():  # as a checkpoint that was kept in bf16
            weight.data.copy_(weight.data.bfloat16())
        model = with_adapter(model, case.adapter, settings, 0)
        narrow_frozen(model, torch.bfloat16)
        how = case.objective, case.adapter, settings
        unlearn(model, forget, retain, *how, 0, Path(folder))
        stack.close()
        trace = Path(folder) / "trace.json"
        record.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    found = sorted((event for event in events if event["name"] == "[memory]"), key=_time)
    held = most = 0
    for event in found:
        held += event["args"]["Bytes"]
        most = max(most, held)
    return most


def _time(event: dict[str, Any]) -> float:
    return float(event["ts"])


def main() -> None:
    """Measure every case."""
    hide_unused("peft")
    import torch

    torch.set_num_threads(1)
    print(json.dumps([measure(case) for case in CASES]))


if __name__ == "__main__":
    main()
