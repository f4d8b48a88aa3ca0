"""A checkpoint in a precision: written into a folder of its library's format, and read back."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from qunlearn.models.checkpoints import load_tokenizer
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
    """Write `source` in `precision`, with its tokenizer, into the folder `out`.

    Args:
        source: a dense checkpoint, or a LoRA adapter, which is merged into `base` in float32.
        base: the checkpoint that the adapter was trained on; otherwise unused.
        out: made where it is absent.
        texts: what methods calibrate on that fit their rounding to texts; unused by others.

    Returns:
        Facts for the manifest: `quantized_matrices`, `storage` (what the tensors in the files
        are), `weight_bytes` (the size of the files), and the method's own.

    Raises:
        InputError: a bad checkpoint, a group size that does not fit the model, or no texts for a
            method that needs some.
    """
    method = method_of(precision)
    if method.calibrated and texts is None:
        raise InputError(f"precision '{precision.name}' calibrates on texts; give --corpus")
    facts = method.write(source, base, precision, texts if method.calibrated else None, out)
    return facts | {"weight_bytes": sum(p.stat().st_size for p in out.glob("*.safetensors"))}


def load_for_evaluation(
    folder: Path, precision: str
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Read a quantized checkpoint, ready to be evaluated: on the GPU if there is one.

    Raises:
        InputError: a bad checkpoint, an unknown precision, or not the folder's own.
    """
    parsed = Precision.parse(precision)
    manifest = read_json(folder / MANIFEST) if (folder / MANIFEST).exists() else {}
    if manifest.get("step") == "quantize" and manifest["settings"]["name"] != precision:
        stored = manifest["settings"]["name"]
        raise InputError(f"{folder}: holds {stored}, not {precision}; name its own precision")
    packed = "quantization_config" in read_json(folder / "config.json")
    method = method_of(parsed)
    if packed != (method.library != "torch"):
        held = "quantized by a library" if packed else "dense"
        raise InputError(f"{folder}: the weights are {held}, so they are not {precision}")
    return method.load(folder, parsed).eval(), load_tokenizer(folder)
