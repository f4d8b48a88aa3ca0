"""Quantize a checkpoint, or a LoRA adapter merged into its base, to the precision that ships.

Args:
    source: checkpoint or adapter folder.
    precision: e.g. bf16, nf4, rtn3g64 or gptq4.
    output: folder to write; for a diverged source it says so and holds no weights.
    base: checkpoint before unlearning; needed for an adapter, which is merged into it, and for
        `spare`.
    corpus: folder with raw/; methods such as GPTQ calibrate on its retain texts.
    calibration: which texts to draw from the corpus; its seed also draws the weights of `unmoved`.
    spare: weights that rtn<bits>, rtn<bits>g<group> or bf16 leaves unrounded, to test which
        ones lose the update: moved weights that the grid rounds to 0 (zero_bin), moved weights
        elsewhere (other_bins), or as many as in zero_bin that never moved (unmoved).
"""

from importlib import import_module
from pathlib import Path
from typing import Any

from qunlearn.models.checkpoints import is_adapter, is_diverged
from qunlearn.quantize.method import Precision, method_of
from qunlearn.run.cli import hide_unused, run_script
from qunlearn.run.errors import InputError
from qunlearn.run.files import new_folder
from qunlearn.run.manifest import write_manifest
from qunlearn.settings.fixed import Choice
from qunlearn.settings.quantization import CalibrationSettings


@run_script
def main(
    source: Path,
    precision: str,
    output: Path,
    base: Path | None = None,
    corpus: Path | None = None,
    calibration: CalibrationSettings = CalibrationSettings(),  # noqa: B008
    spare: Choice | None = None,
) -> None:
    if spare and base is None:
        raise InputError("--spare: needs the checkpoint before unlearning; give --base")
    wanted = Precision.parse(precision)
    method = method_of(wanted)
    needed = set(method.packages)
    if is_adapter(source):
        # peft looks at gptqmodel where it is installed, and refuses it without optimum.
        needed |= {"peft", "optimum"} if "gptqmodel" in needed else {"peft"}
    hide_unused(*needed)

    from qunlearn.quantize.calibration import Texts

    texts = Texts(corpus, calibration) if corpus is not None else None
    merged = base if is_adapter(source) else None
    read = {"source": source, "base": merged}
    read |= {"corpus": corpus if method.calibrated else None, "target": base if spare else None}
    facts: dict[str, Any] = {"choice": spare} if spare else {}
    with new_folder(output) as folder:
        if is_diverged(source):
            facts |= {"status": "diverged"}
        elif spare:
            # Imported by name, so that a change of its code runs no other quantization again.
            spared = import_module("qunlearn.quantize.spare").quantize_spared
            facts |= spared(base, source, wanted, spare, calibration.seed, folder)
            facts |= {"status": "ok"}
        else:
            facts |= {"status": "ok", **method.write(source, merged, wanted, folder, texts)}
        seed = calibration.seed if method.calibrated or spare else None
        write_manifest(folder, "quantize", wanted, read, seed, **facts)
