"""A checkpoint in a precision: written into a folder of its library's format, and read back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qunlearn.models.checkpoints import is_adapter, load_tokenizer
from qunlearn.quantize.method import Precision, method_of
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json
from qunlearn.run.manifest import MANIFEST

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from qunlearn.quantize.calibration import Texts


def quantize_checkpoint(
    source: Path, base: Path | None, precision: Precision, out: Path, texts: Texts | None = None
) -> dict[str, Any]:
    """Write `source` in `precision`, with its tokenizer, into the folder `out`; see `Method.write`.

    Args:
        base: the checkpoint that an adapter was trained on; not used otherwise.

    Returns:
        Facts for the manifest: `quantized_matrices`, `storage` (what the tensors in the files
        are), and the method's own.

    Raises:
        InputError: a bad checkpoint, a group size that does not fit the model, or no texts for a
            method that needs some.
    """
    method = method_of(precision)
    facts = method.write(source, base if is_adapter(source) else None, precision, texts, out)
    return {"storage": method.storage, **facts}


def load_for_evaluation(
    folder: Path, precision: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Read a quantized checkpoint, ready to be evaluated: on the GPU if there is one.

    Raises:
        InputError: a bad checkpoint, an unknown precision, or not the folder's own.
    """
    method = method_of(precision)
    manifest = read_json(folder / MANIFEST) if (folder / MANIFEST).exists() else {}
    stored = manifest["settings"]["name"] if manifest.get("step") == "quantize" else precision
    if stored != precision:
        raise InputError(f"{folder}: holds {stored}, not {precision}; name its own precision")
    packed = "quantization_config" in read_json(folder / "config.json")
    if packed != (method.library != "torch"):
        held = "quantized by a library" if packed else "dense"
        raise InputError(f"{folder}: the weights are {held}, so they are not {precision}")
    return method.load(folder, Precision.parse(precision)).eval(), load_tokenizer(folder)
