"""A GGUF file of a random Llama of two layers with a byte-level BPE in it."""

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize

HIDDEN, MLP, LAYERS, HEADS, KV_HEADS, CONTEXT = 64, 96, 2, 4, 2, 128
TOKENS = ["<|endoftext|>", "<s>", "</s>", *"abcdefgh", "ab", "cd", "abcd"]


def weights() -> dict[str, np.ndarray]:
    """GGUF's name -> a random matrix, [outputs, inputs]; norms are near one."""
    generator = np.random.default_rng(0)
    kv = HIDDEN // HEADS * KV_HEADS
    layer: dict[str, tuple[int, ...]] = dict.fromkeys(("attn_q", "attn_output"), (HIDDEN, HIDDEN))
    layer |= {"attn_k": (kv, HIDDEN), "attn_v": (kv, HIDDEN), "ffn_down": (HIDDEN, MLP)}
    layer |= {"ffn_gate": (MLP, HIDDEN), "ffn_up": (MLP, HIDDEN)}
    layer |= {"attn_norm": (HIDDEN,), "ffn_norm": (HIDDEN,)}
    shapes = {"token_embd": (len(TOKENS), HIDDEN), "output_norm": (HIDDEN,)} | {
        f"blk.{number}.{name}": shape for number in range(LAYERS) for name, shape in layer.items()
    }
    spread = {1: (1, 0.1), 2: (0, 1)}
    return {
        f"{name}.weight": generator.normal(*spread[len(shape)], size=shape).astype(np.float32)
        for name, shape in shapes.items()
    }


def write_gguf(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    """Matrices in Q4_1, norms in float32; the embedding serves as the head too."""
    writer = GGUFWriter(path, "llama")
    given = {
        "name": "tiny",
        "license": "mit",
        "context_length": CONTEXT,
        "embedding_length": HIDDEN,
        "block_count": LAYERS,
        "feed_forward_length": MLP,
        "head_count": HEADS,
        "head_count_kv": KV_HEADS,
        "layer_norm_rms_eps": 1e-5,
        "rope_freq_base": 10000.0,
        "vocab_size": len(TOKENS),
        "tokenizer_model": "gpt2",
        "token_list": TOKENS,
        "token_types": [3] * 3 + [1] * (len(TOKENS) - 3),
        "token_merges": ["a b", "c d", "ab cd"],
        "bos_token_id": 1,
        "eos_token_id": 2,
        "unk_token_id": 0,
        "chat_template": "{{ messages }}",
    }
    for name, value in given.items():
        getattr(writer, f"add_{name}")(value)
    kind = GGMLQuantizationType.Q4_1
    for name, array in arrays.items():
        if array.ndim == 1:
            writer.add_tensor(name, array)
        else:
            writer.add_tensor(name, quantize(array, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
