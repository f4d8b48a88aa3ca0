"""Constants of the jobs; the plan uses the same numbers."""

from typing import Literal

WHOLE = 2**22
"""Logits up to which a loss takes all at once: 16 MiB in fp32, and a few times over."""
CHUNK = 2**24
"""Logits beyond it that a loss multiplies at once: 32 MiB in bf16, which become their gradients."""
PIECE = 2**20
"""Logits of a chunk that a loss's formula takes at once, in several forms, which caches hold."""
MOST_LOGITS = 2**31
"""Maximum bytes of an evaluation batch's logits at all positions, which the likelihood needs."""
INT8_ROWS = 8
"""Rows of an int8 evaluation batch if `batch_size` is `auto`. LLM.int8() looks for outliers among
the activations of a whole batch: its output depends on the batch, so the batch must not depend on
a machine's free memory."""
Choice = Literal["zero_bin", "other_bins", "unmoved"]
"""Which weights a control leaves unrounded: see quantize/spare.py."""
NORM_TOLERANCE, NORM_RUNS = 0.05, 12
"""How close the norm of `full_matched` must be to LoRA's, and how many training runs may search."""
LORA_LAYERS = {"qv": ["q_proj", "v_proj"], "odu": ["o_proj", "down_proj", "up_proj"]}
"""The paper's smaller sets of layers with LoRA, by their names in Llama-like models."""
