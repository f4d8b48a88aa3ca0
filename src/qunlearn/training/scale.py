"""The same trained LoRA update, longer or shorter: what its size does, apart from its rank."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import load_file, save_file

from qunlearn.models.checkpoints import is_adapter, is_diverged
from qunlearn.run.errors import InputError
from qunlearn.run.files import new_folder
from qunlearn.run.manifest import write_manifest

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def keep_scaled(
    adapter: Path,
    factor: float | None,
    output: Path,
    inputs: Mapping[str, Path],
) -> None:
    """Write the adapter whose update is `factor` times that of `adapter`, and its manifest.

    The B matrices are multiplied, in float32; settings and A matrices stay as they are.

    Args:
        factor: None where the update that it comes from diverged; there are no weights then.
        inputs: what the factor was made from, for the manifest.

    Raises:
        InputError: `adapter` is not an adapter.
    """
    diverged = is_diverged(adapter)
    if not diverged and not is_adapter(adapter):
        raise InputError(f"{adapter}: not a LoRA adapter; give the folder of a trained one")
    with new_folder(output) as folder:
        if factor is not None and not diverged:
            scaled = load_file(adapter / WEIGHTS)
            for name in scaled:
                scaled[name] *= factor if ".lora_B." in name else 1.0
            save_file(scaled, folder / WEIGHTS, {"format": "pt"})
            shutil.copy(adapter / CONFIG, folder / CONFIG)
        write_manifest(
            folder,
            step="scale",
            settings={"factor": factor},
            inputs={"adapter": adapter, **inputs},
            status="diverged" if factor is None or diverged else "ok",
        )
