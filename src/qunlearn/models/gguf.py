"""GGUF files made into checkpoints that can be trained: dequantized, in float32.

GGUF (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md) is llama.cpp's format; its types
such as Q4_1 hold blocks of 32 weights as integers with a scale and a minimum a block. The weights
stay in float32 after that, since scale times integer plus minimum is in general no bf16 number.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qunlearn.run.errors import InputError

if TYPE_CHECKING:
    from gguf import GGUFReader

SIZES = {
    "hidden_size": "embedding_length",
    "intermediate_size": "feed_forward_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "max_position_embeddings": "context_length",
}
"""transformers' name -> GGUF's, behind that of the architecture."""


def dequantize(file: Path, folder: Path) -> None:
    """Write the model and the tokenizer of a GGUF file into `folder` as an ordinary checkpoint.
    An InputError where the file is damaged, or transformers does not read all of this model.
    """
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils.quantization_config import GgufConfig

    from qunlearn.models.checkpoints import save_model

    try:
        model = AutoModelForCausalLM.from_pretrained(
            file.parent,
            gguf_file=file.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.float32,
            local_files_only=True,
        )
    except ValueError as error:
        raise InputError(f"{file}: transformers cannot read this model ({error})") from error
    _check_all_read(file, [name for name, _ in model.named_parameters()])
    save_model(model, load_tokenizer(file), folder)


def load_tokenizer(file: Path) -> Any:
    """The tokenizer of a GGUF file; an InputError where it is damaged or has none."""
    if _open(file).get_field("tokenizer.ggml.tokens") is None:
        raise InputError(f"{file}: a GGUF file without a tokenizer; set models.tokenizer")
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, local_files_only=True)


def model_config(file: Path) -> dict[str, Any]:
    """The model's shape in the words of config.json; an InputError where the file is damaged."""
    reader = _open(file)
    kind = _value(reader, "general.architecture")
    found = {name: _value(reader, f"{kind}.{key}") for name, key in SIZES.items()}
    rows = {tensor.name: int(tensor.shape[-1]) for tensor in reader.tensors}
    found |= {
        "model_type": kind,
        "vocab_size": rows.get("token_embd.weight"),
        "tie_word_embeddings": "output.weight" not in rows,
    }
    return {name: value for name, value in found.items() if value is not None}


@cache
def _open(file: Path) -> "GGUFReader":
    from gguf import GGUFReader

    class Bounded(GGUFReader):
        """gguf 0.19 takes what is not there for empty: a count of 2**40 would never end."""

        def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
            found = super()._get(offset, dtype, count, override_order)
            if len(found) < count:
                raise ValueError(f"it ends before byte {offset + int(count)}")
            return found

    try:
        return Bounded(file)
    except (ValueError, IndexError, KeyError, TypeError, ArithmeticError, OSError) as error:
        raise InputError(f"{file}: not a whole GGUF file ({error}); get it again") from error


def _value(reader: "GGUFReader", key: str) -> Any:
    try:
        return None if (field := reader.get_field(key)) is None else field.contents()
    except (ValueError, IndexError) as error:  # text that is not UTF-8, or is not there
        raise InputError(f"a GGUF file whose {key} cannot be read; get it again") from error


def _check_all_read(file: Path, parameters: Iterable[str]) -> None:
    """Complain about tensors that transformers leaves out (biases, `rope_freqs`) or makes up."""
    from gguf import MODEL_ARCH_NAMES, get_tensor_name_map

    reader = _open(file)
    kind = _value(reader, "general.architecture")
    architecture = next(key for key, name in MODEL_ARCH_NAMES.items() if name == kind)
    names = get_tensor_name_map(architecture, _value(reader, f"{kind}.block_count"))
    made = {names.get_name(name, try_suffixes=(".weight", ".bias")) or name for name in parameters}
    if unlike := sorted(made ^ {tensor.name for tensor in reader.tensors}):
        raise InputError(
            f"{file}: {unlike[0]} is not in both file and model; give the model as safetensors"
        )
