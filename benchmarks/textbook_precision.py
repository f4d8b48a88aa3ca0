"""One more precision in the textbook way: the baseline of `bench_precision.py`.

A process for each precision, as the peers have it: it reads the base, merges the adapter, writes
the merged model, and reads it back through bitsandbytes. Packages that it does not need are hidden
from it, as from our jobs.
"""

import sys
from pathlib import Path
from typing import Any


def merge_write_reload(base: Path, adapter: Path, merged: Path) -> Any:
    """The model in NF4, ready to be asked."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    PeftModel.from_pretrained(model, str(adapter)).merge_and_unload().save_pretrained(merged)
    return AutoModelForCausalLM.from_pretrained(
        merged,
        dtype=torch.float32,
        quantization_config=BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4"),
    )


if __name__ == "__main__":
    from qunlearn.imports import OPTIONAL, hide

    hide(*(set(OPTIONAL) - {"peft", "bitsandbytes"}))
    merge_write_reload(*map(Path, sys.argv[1:]))
