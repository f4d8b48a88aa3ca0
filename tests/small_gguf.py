"""A GGUF file of a random Llama of two layers with a byte-level BPE in it."""

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize

HIDDEN, MLP, LAYERS, HEADS, KV_HEADS, CONTEXT = 64, 96, 2, 4, 2, 128
TOKENS = ["<|endoftext|>", "<s>", "</s>", *"abcdefgh", "ab", "cd", "abcd"]
MERGES = ["a b", "c d", "ab cd"]
Weights = dict[str, np.ndarray]


def weights() -> Weights:
    """GGUF's name -> a random matrix, [outputs, inputs]; norms are near one."""
    generator = np.random.default_rng(0)
    kv = HIDDEN // HEADS * KV_HEADS
    shapes: dict[str, tuple[int, ...]] = {"token_embd": (len(TOKENS), HIDDEN)}
    for layer in range(LAYERS):
        shapes |= {
            f"blk.{layer}.attn_q": (HIDDEN, HIDDEN),
            f"blk.{layer}.attn_k": (kv, HIDDEN),
            f"blk.{layer}.attn_v": (kv, HIDDEN),
            f"blk.{layer}.attn_output": (HIDDEN, HIDDEN),
            f"blk.{layer}.ffn_gate": (MLP, HIDDEN),
            f"blk.{layer}.ffn_up": (MLP, HIDDEN),
            f"blk.{layer}.ffn_down": (HIDDEN, MLP),
            f"blk.{layer}.attn_norm": (HIDDEN,),
            f"blk.{layer}.ffn_norm": (HIDDEN,),
        }
    shapes["output_norm"] = (HIDDEN,)
    found = {name: generator.normal(size=shape) for name, shape in shapes.items()}
    return {
        f"{name}.weight": (1 + 0.1 * array if array.ndim == 1 else array).astype(np.float32)
        for name, array in found.items()
    }


def write_gguf(path: Path, arrays: Weights, *, chat: bool = True, tokens: int = 0) -> Path:
    """Matrices in Q4_1, norms in float32; the embedding serves as the head too.

    Args:
        tokens: that the tokenizer has more than the embedding has rows.
    """
    writer = GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_license("mit")
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(HIDDEN)
    writer.add_block_count(LAYERS)
    writer.add_feed_forward_length(MLP)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(KV_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(TOKENS))
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*TOKENS, *(f"<{number}>" for number in range(tokens))])
    writer.add_token_types([3] * 3 + [1] * (len(TOKENS) - 3 + tokens))
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    if chat:
        writer.add_chat_template("{{ messages }}")
    for name, array in arrays.items():
        if array.ndim == 1:
            writer.add_tensor(name, array)
        else:
            kind = GGMLQuantizationType.Q4_1
            writer.add_tensor(name, quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
