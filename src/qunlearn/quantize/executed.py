"""Proof that a model was quantized: what its library reads back differs from what went in.

A quantizer that falls back without a word (no kernel, an unknown layer type, a skipped module)
leaves weights as they were. Its model then forgets and remembers like the unquantized one, and an
audit of it would say that all is well.
"""

from pathlib import Path
from typing import Any, NamedTuple

from qunlearn.models.updates import updates
from qunlearn.quantize.method import Precision, method_of
from qunlearn.run.errors import InputError
from qunlearn.run.manifest import digest, read_manifest


class Executed(NamedTuple):
    """What was found in a quantized folder."""

    precision: str
    library: str  # that made it, with its version
    differing: float  # share of weights that are not what they were, over all quantized matrices
    fewest: float  # the same of the matrix in which fewest differ
    sha256: str  # of the folder, as `manifest.digest`: evaluations name their model by it


def executed(folder: Path, precision: str, source: Path, base: Path | None) -> Executed:
    """Compare a quantized model with its source, in float32, matrix by matrix.

    Args:
        folder: output of quantize.py.
        source: the dense checkpoint, or LoRA adapter of `base`, that was quantized.

    Raises:
        InputError: no weight differs, or a folder cannot be read or has no manifest.
    """
    import torch

    if (made := read_manifest(folder)) is None:
        raise InputError(f"{folder}: no manifest; give an output of quantize.py")
    parsed = Precision.parse(precision)
    method = method_of(parsed)
    model: Any = method.load(folder, parsed, torch.float32, torch.device("cpu"))
    if method.live:
        model = model.dequantize(dtype=torch.float32)
    shares, weights, changed = [], 0, 0
    for update in updates(base or source, source):
        stored = model.get_submodule(update.name).weight
        count = int((stored != update.weight + update.delta).sum())
        shares.append(count / stored.numel())
        weights, changed = weights + stored.numel(), changed + count
    if not changed and parsed.bits < 16:
        raise InputError(
            f"{folder}: no weight differs from {source}, so that nothing was quantized to "
            f"{precision}, or the source lay on this very grid; audit the checkpoint that was "
            "there before it"
        )
    library = f"{method.library} {made['packages'][method.library]}"
    return Executed(precision, library, changed / weights, min(shares), digest(folder))
