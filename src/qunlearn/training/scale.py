"""The same trained LoRA update, longer or shorter: what its size does, apart from its rank."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import save_file

from qunlearn.models.checkpoints import is_diverged
from qunlearn.run.errors import InputError
from qunlearn.run.files import new_folder
from qunlearn.run.manifest import Stopwatch, write_manifest

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def keep_scaled(
    adapter: Path,
    factor: float | None,
    output: Path,
    inputs: Mapping[str, Path],
    stopwatch: Stopwatch,
) -> None:
    """Write the scaled adapter and its manifest; without weights where there are none to scale.

    Args:
        factor: None where the update that it comes from diverged.
        inputs: what the factor was made from, for the manifest.
    """
    status = "diverged" if factor is None or is_diverged(adapter) else "ok"
    with new_folder(output) as folder:
        if factor is not None and status == "ok":
            scale_adapter(adapter, factor, folder)
        write_manifest(
            folder,
            step="scale",
            settings={"factor": factor},
            inputs={"adapter": adapter, **inputs},
            stopwatch=stopwatch,
            status=status,
        )


def scale_adapter(adapter: Path, factor: float, folder: Path) -> None:
    """Write the adapter whose update is `factor` times that of `adapter` into `folder`.

    The B matrices are multiplied, in float32; settings and A matrices stay as they are.

    Raises:
        InputError: `adapter` holds no LoRA weights.
    """
    if not (adapter / WEIGHTS).exists():
        raise InputError(f"{adapter}: no {WEIGHTS}; give the folder of a trained LoRA adapter")
    with safe_open(adapter / WEIGHTS, framework="pt") as file:
        scaled = {
            name: file.get_tensor(name) * (factor if ".lora_B." in name else 1.0)
            for name in file.keys()  # noqa: SIM118 - the handle is no mapping
        }
        metadata = file.metadata()
    if not any(".lora_B." in name for name in scaled):
        raise InputError(f"{adapter / WEIGHTS}: no LoRA matrices in it; give a LoRA adapter")
    save_file(scaled, folder / WEIGHTS, metadata)
    shutil.copy(adapter / CONFIG, folder / CONFIG)
