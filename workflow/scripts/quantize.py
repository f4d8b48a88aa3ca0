"""Write a checkpoint, or a LoRA adapter merged into its base, in the precision to be shipped."""

from pathlib import Path
from typing import Any

from qunlearn.checkpoints import is_adapter, is_diverged
from qunlearn.cli import run_script
from qunlearn.files import new_folder
from qunlearn.imports import OPTIONAL, hide
from qunlearn.precision import BITSANDBYTES, Precision
from qunlearn.provenance import Stopwatch, write_manifest


def main(source: Path, precision: str, output: Path, base: Path | None = None) -> None:
    """Write a checkpoint, or a LoRA adapter merged into its base, in the precision to be shipped.

    Args:
        source: checkpoint or adapter folder.
        precision: bf16, int8, fp4, nf4, rtn<bits> or rtn<bits>g<group>.
        output: folder to write; of a diverged source it tells so and holds no weights.
        base: checkpoint that the adapter was trained on; needed for an adapter.
    """
    stopwatch = Stopwatch()
    wanted = Precision.parse(precision)
    adapter = is_adapter(source)
    needed = {"peft"} if adapter else set()
    if wanted.method in BITSANDBYTES:
        needed.add("bitsandbytes")
    hide(*(package for package in OPTIONAL if package not in needed))

    from qunlearn.quantize import quantize_checkpoint

    inputs = {"source": source}
    if adapter and base is not None:
        inputs["base"] = base
    with new_folder(output) as folder:
        facts: dict[str, Any] = {"status": "diverged"}
        if not is_diverged(source):
            facts = {"status": "ok", **quantize_checkpoint(source, base, wanted, folder)}
        write_manifest(
            folder, step="quantize", settings=wanted, inputs=inputs, stopwatch=stopwatch, **facts
        )


if __name__ == "__main__":
    run_script(main)
