"""Constants of the jobs that no setting changes; the plan uses the same numbers."""

from typing import Literal

CHUNK = 2**22
"""Logits that a loss holds at once, and a few times over: 16 MiB in fp32."""
MOST_LOGITS = 2**31
"""Bytes of the logits of all positions of an evaluation's batch, which the likelihood needs."""
INT8_ROWS = 8
"""Rows of an evaluation's batch of int8 where `batch_size` is `auto`. LLM.int8() looks for outliers
among the activations of a whole batch: its output depends on the batch, which must not depend on
what memory a machine has free."""
Choice = Literal["zero_bin", "other_bins", "unmoved"]
"""Which weights a control leaves unrounded: see quantize/spare.py."""
LORA_LAYERS = {"qv": ["q_proj", "v_proj"], "odu": ["o_proj", "down_proj", "up_proj"]}
"""The paper's smaller sets of layers under LoRA, by the names that Llama and its kin have."""
