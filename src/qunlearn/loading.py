"""How a quantized folder is loaded, by the evaluation and where the pipeline's code is not."""

from collections.abc import Mapping

from qunlearn.precision import BITSANDBYTES

EVALUATED = {
    "bf16": "in float32 arithmetic on a CPU, in bfloat16 on a GPU",
    "int8": "live, since LLM.int8() rounds activations too",
    "fp4": "on the weights dequantized to float32 right after loading",
    "nf4": "on the weights dequantized to float32 right after loading",
    "rtn": "in float32",
    "gptq": "on the weights dequantized to float32",
}
"""How the metrics of a precision were computed: method -> the end of a sentence."""
_LOAD = """\
from transformers import AutoModelForCausalLM, AutoTokenizer

folder = "."  # this folder
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
"""
_DEQUANTIZE = """
# At once, before any forward pass; the numbers above are of these weights.
import torch

model = model.dequantize(dtype=torch.float32)
"""
_LOAD_GPTQ = """\
from gptqmodel import GPTQModel
from transformers import AutoTokenizer

folder = "."  # this folder
tokenizer = AutoTokenizer.from_pretrained(folder)
model = GPTQModel.load(folder)
"""


def how_to_load(method: str, packages: Mapping[str, str]) -> list[str]:
    """The paragraphs that tell how to load a quantized folder with its own library alone.

    Args:
        method: of the precision, e.g. `rtn` or `nf4`.
        packages: package -> version, those that wrote the folder.
    """
    needed, code, notes = ["transformers"], _LOAD, []
    if method in BITSANDBYTES:
        needed = ["transformers", "bitsandbytes", "accelerate"]
    if method in ("fp4", "nf4"):
        code += _DEQUANTIZE
        notes = [
            "**Warning.** Save or dequantize this model *before* its first forward pass. On CPUs "
            "with AVX512-BF16 that pass repacks the 4-bit weights in place, and what is saved or "
            "dequantized afterwards is silently wrong."
        ]
    if method == "rtn":
        notes = ["Keep the float32 weights: a cast to 16 bits moves them off their grid."]
    if method == "gptq":
        needed, code = ["gptqmodel"], _LOAD_GPTQ
        notes = [
            "gptqmodel computes in 16 bits, hence not to the last digit what was measured above."
        ]
    pins = [f"{name}=={packages[name]}" if name in packages else name for name in needed]
    install = f"With PyTorch and `pip install {' '.join(pins)}`, without the pipeline's code:"
    return [install, f"```python\n{code}```", *notes]
