"""One more precision of an unlearned model: in memory, against merge, write, reload in a process.

Asking the model is the same work in both ways and is not part of it. Seconds are CPU seconds of the
process and of the ones it starts, which have one thread each (OMP_NUM_THREADS=1).
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from qunlearn.quantize.in_memory import in_precision
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

from benchmarks import textbook_precision
from benchmarks.harness import Comparison, childrens_cpu, interleaved, keep
from qunlearn.checkpoints import load_dense, save_model
from qunlearn.quantize.layers import quantizable_layers
from qunlearn.quantize.method import Precision
from qunlearn.settings.models import ModelSettings
from qunlearn.training.scratch import train_tokenizer

SCRIPT = Path(textbook_precision.__file__)
NF4 = Precision.parse("nf4")
GOAL = 0.3
BOUND_BY = (
    "Ours copies the model in memory and quantizes the copy: by the profile at 48 million "
    "parameters two thirds of it is a torch.bucketize within bitsandbytes' own quantization, and a "
    "tenth the copy. The textbook's process is mostly the start of Python with its packages; of "
    "what it does after, the same quantization is most. It also writes a merged model to disk for "
    "each precision, 13.5 GB in bf16 at 7 billion parameters; ours writes none, and holds two "
    "models in float32 in the host's memory."
)


@dataclass(frozen=True)
class Shape:
    """A Llama of `layers` layers."""

    name: str
    vocabulary: int
    hidden: int
    mlp: int
    layers: int
    heads: int


SHAPES = (
    Shape("4M", vocabulary=1024, hidden=256, mlp=768, layers=4, heads=4),
    Shape("48M", vocabulary=8192, hidden=512, mlp=1536, layers=12, heads=8),
)


def main() -> None:
    """Time both ways at each size."""
    logging.disable_progress_bar()
    comparisons: list[Comparison] = []
    sizes = {}
    with tempfile.TemporaryDirectory() as place:
        for shape in SHAPES:
            folder = Path(place) / shape.name
            base, adapter, merged = (folder / name for name in ("base", "adapter", "merged"))
            sizes[shape.name] = _write(shape, base, adapter)
            dense = load_dense(adapter, base)
            ours = _ours(dense)
            theirs = textbook_precision.merge_write_reload(base, adapter, merged)
            _check(ours(), theirs.dequantize(dtype=torch.float32))
            seconds = interleaved(
                {
                    "ours": ours,
                    "process": _process(base, adapter, merged),
                    "call": lambda: textbook_precision.merge_write_reload(base, adapter, merged),  # noqa: B023
                },
                clock=lambda: time.process_time() + childrens_cpu(),
                warm_up=False,  # the check was one
            )
            what = f"NF4 of a merged LoRA, {shape.name} parameters"
            comparisons += [
                Comparison(what, "s", seconds["ours"], seconds["process"], "share", GOAL),
                Comparison(
                    f"{what}, against a process that runs already",
                    "s",
                    seconds["ours"],
                    seconds["call"],
                    "share",
                ),
            ]
    keep("precision", comparisons, BOUND_BY, parameters=sizes)


def _write(shape: Shape, base: Path, adapter: Path) -> int:
    """Write a random model and an adapter of rank 16 on all its linear layers; count parameters."""
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=shape.vocabulary,
            hidden_size=shape.hidden,
            intermediate_size=shape.mlp,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            tie_word_embeddings=False,
        )
    )
    save_model(model, train_tokenizer(["a text"], ModelSettings(vocabulary=300)), base)
    count = sum(weight.numel() for weight in model.parameters())
    settings = LoraConfig(r=16, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(model, settings).save_pretrained(adapter)
    return count


def _ours(dense: Any) -> Callable[[], Any]:
    return lambda: in_precision(dense, NF4)


def _process(base: Path, adapter: Path, merged: Path) -> Callable[[], object]:
    command = [sys.executable, str(SCRIPT), str(base), str(adapter), str(merged)]
    return lambda: subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


def _check(ours: Any, theirs: Any) -> None:
    for name, layer in quantizable_layers(ours).items():
        same = torch.equal(layer.weight, theirs.get_submodule(name).weight)
        assert same, f"the two ways do not give the same weights of {name}"


if __name__ == "__main__":
    main()
