"""Write a checkpoint, or a LoRA adapter merged into its base, in a GPTQ precision."""

from pathlib import Path
from typing import Any

from qunlearn.checkpoints import is_adapter, is_diverged
from qunlearn.cli import run_script
from qunlearn.errors import InputError
from qunlearn.files import new_folder
from qunlearn.imports import OPTIONAL, hide
from qunlearn.precision import Precision
from qunlearn.provenance import Stopwatch, write_manifest
from qunlearn.settings.quantization import CalibrationSettings, GptqBackend

NEEDED = {"gptqmodel": {"gptqmodel"}, "auto-gptq": {"datasets", "peft"}}


def main(
    source: Path,
    precision: str,
    corpus: Path,
    output: Path,
    base: Path | None = None,
    backend: GptqBackend = "gptqmodel",
    calibration: CalibrationSettings = CalibrationSettings(),  # noqa: B008
) -> None:
    """Write a checkpoint, or a LoRA adapter merged into its base, in a GPTQ precision.

    Args:
        source: checkpoint or adapter folder.
        precision: gptq<bits> or gptq<bits>g<group>.
        corpus: folder with raw/, whose retain texts GPTQ calibrates on.
        output: folder to write; of a diverged source it tells so and holds no weights.
        base: checkpoint that the adapter was trained on; needed for an adapter.
        backend: package that quantizes; auto-gptq needs CUDA and envs/autogptq.yaml.
        calibration: what to draw from the corpus.
    """
    stopwatch = Stopwatch()
    wanted = Precision.parse(precision)
    if wanted.method != "gptq":
        raise InputError(f"precision '{precision}' is not GPTQ's; write it with quantize.py")
    adapter = is_adapter(source)
    needed = set(NEEDED[backend])
    if adapter:
        needed |= {"peft", "optimum"}  # peft looks at gptqmodel, and refuses it without optimum
    hide(*(package for package in OPTIONAL if package not in needed))

    inputs = {"source": source, "corpus": corpus}
    if adapter and base is not None:
        inputs["base"] = base
    with new_folder(output) as folder:
        facts: dict[str, Any] = {"status": "diverged"}
        if not is_diverged(source):
            if backend == "gptqmodel":
                from qunlearn.quantize.gptq import quantize_with_gptqmodel as quantize
            else:
                from qunlearn.quantize.autogptq import quantize_with_auto_gptq as quantize
            made = quantize(source, base, wanted, corpus, calibration, folder)
            facts = {"status": "ok", **made}
        write_manifest(
            folder,
            step="quantize",
            settings=wanted,
            inputs=inputs,
            stopwatch=stopwatch,
            seed=calibration.seed,
            **facts,
        )


if __name__ == "__main__":
    run_script(main)
