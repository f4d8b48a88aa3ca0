"""`qunlearn forecast` on random pairs: CPU time and memory, and that memory keeps to one matrix."""

import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
from safetensors.torch import save_file

from benchmarks.harness import ROOT, Comparison, keep
from qunlearn.models.updates import quantized_layers
from qunlearn.run.files import write_json

FORMATS = (
    *("int8", "nf4", "fp4", "rtn4", "rtn3g64", "rtn4g64", "rtn4a64"),
    *("q8_0", "q4_0", "iq4_nl", "mxfp4", "nvfp4"),
)
"""All that fit rows of 576 weights; K-quants need multiples of 256."""
LR, STEPS, SPREAD = 1e-5, 10, 0.02
SMALL = {"hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9}
SMALL |= {"num_key_value_heads": 3, "num_hidden_layers": 30}  # SmolLM2-135M
WIDE = {"hidden_size": 2048, "intermediate_size": 8192, "num_attention_heads": 32}
WIDE |= {"num_key_value_heads": 8}  # Llama-3.2-1B, which has 16 layers
COPIES = 5  # of a matrix in float32 at once, at most: both models', the update and the next reading
MINUTES, CORES, MEMORY = 2, 2, 1536  # what it may take at 135M: on so many cores; MiB


class Cost(NamedTuple):
    """What a run of the command took."""

    weights: int
    seconds: float  # of the processor
    mib: float  # largest resident memory


def write_pair(shape: dict[str, int], folder: Path) -> tuple[Path, Path, int]:
    """Two bf16 checkpoints without embeddings: normal weights, and those after ten steps of size LR
    in bf16, each weight in a direction of its own; and how many weights."""
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 32}
    before, after = folder / "before", folder / "after"
    for one in (before, after):
        write_json(one / "config.json", config | shape)
        write_json(one / "tokenizer.json", {})
        save_file({}, one / "model.safetensors")
    generator, weights = torch.Generator().manual_seed(0), 0
    index: dict[str, str] = {}
    for number, (name, layer) in enumerate(quantized_layers(before).items()):
        size, file = layer.weight.shape, f"part{number}.safetensors"
        weight = (SPREAD * torch.randn(size, generator=generator)).bfloat16()
        save_file({f"{name}.weight": weight}, before / file)
        step = LR * (2 * torch.randint(2, size, generator=generator) - 1).bfloat16()
        for _ in range(STEPS):
            weight += step
        save_file({f"{name}.weight": weight}, after / file)
        index[f"{name}.weight"] = file
        weights += weight.numel()
    for one in (before, after):
        (one / "model.safetensors").unlink()
        write_json(one / "model.safetensors.index.json", {"weight_map": index})
    return before, after, weights


def cost(shape: dict[str, int], formats: tuple[str, ...]) -> Cost:
    """Of the command in a process of its own."""
    with TemporaryDirectory() as work:
        before, after, weights = write_pair(shape, Path(work))
        command = [sys.executable, "-m", "qunlearn", "forecast", str(before), str(after)]
        command += ["--output", f"{work}/out", "--formats", *formats]
        surroundings = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
        process = subprocess.Popen(command, env=surroundings, stdout=subprocess.DEVNULL)
        _, status, used = os.wait4(process.pid, 0)
        if status:
            sys.exit(f"error: {' '.join(command)}: failed")
        return Cost(weights, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)


def planned(small: Cost, many: Cost) -> dict[str, float]:
    """A pair of Llama-2-7B's shape in 12 formats, by weights and by the largest matrix."""
    hidden, mlp, layers = 4096, 11008, 32
    weights = layers * (4 * hidden**2 + 3 * hidden * mlp)
    larger = hidden * mlp - WIDE["hidden_size"] * WIDE["intermediate_size"]
    hours = small.seconds / small.weights * weights / 3600
    gib = (many.mib + COPIES * 4 * larger / 2**20) / 1024
    return {"CPU hours": round(hours, 1), "GiB": round(gib, 1)}


def report(small: Cost, few: Cost, many: Cost) -> None:
    """Keep what was measured."""
    budget = 60.0 * MINUTES * CORES
    keep(
        "forecast",
        [
            Comparison("135M, 12 formats: CPU time", "s", [small.seconds], [budget], "share", 1),
            Comparison("135M: peak memory", "MiB", [small.mib], [MEMORY], "share", 1),
            Comparison("1B wide, 6 layers: memory", "MiB", [many.mib], [few.mib], "share", 1.1),
        ],
        f"`baseline` is the budget: {MINUTES} minutes on {CORES} cores, {MEMORY} MiB; and for the "
        "last row the peak of two such layers. Rounding bounds the time, most of all IQ4_NL's; "
        "torch's libraries bound the memory at 135M, and above it the largest matrix.",
        formats=", ".join(FORMATS),
        weights={"135M": small.weights, "2 layers": few.weights, "6 layers": many.weights},
        planned_for_7B=planned(small, many),
    )


if __name__ == "__main__":
    report(
        cost(SMALL, FORMATS),
        *(cost(WIDE | {"num_hidden_layers": n}, ("fp4", "q4_0")) for n in (2, 6)),
    )
