"""GPTQ by auto-gptq 0.7.1, the package that the field's model cards name.

It quantizes on CUDA alone, needs transformers 4 and had its last release in March 2024; gptqmodel
is its maintained successor and the default. This module runs in an environment of its own
(`envs/autogptq.yaml`). Checkpoints are written by transformers 5, so that whatever transformers 4
would misread is translated here, and adapters are merged without peft.
"""

from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from qunlearn.checkpoints import is_adapter, load_tokenizer
from qunlearn.errors import InputError
from qunlearn.files import read_json, write_json
from qunlearn.precision import Precision
from qunlearn.quantize.calibration import Windows, draw
from qunlearn.quantize.gptq_folder import PLAIN, check_layers, described_by, facts, finish
from qunlearn.settings.quantization import CalibrationSettings
from qunlearn.survival.updates import updates
from qunlearn.weights import read_tensors, tensor_files

PACKAGE = "auto-gptq"
BATCH = 1
INSTEAD = "set quantization.gptq_backend to gptqmodel"


def quantize_with_auto_gptq(
    source: Path,
    base: Path | None,
    precision: Precision,
    corpus: Path,
    settings: CalibrationSettings,
    output_folder: Path,
) -> dict[str, Any]:
    """As `quantize_with_gptqmodel`, on CUDA, without `gptq_loss.csv`.

    Raises:
        InputError: as `quantize_with_gptqmodel`; without CUDA or the package; or a model whose
            rotary embedding transformers 4 does not know.
    """
    _check_surroundings()
    described = described_by(source, base)
    names = check_layers(described, precision)
    config = older_config(read_json(described / "config.json"))
    windows = draw(
        corpus, older_tokenizer(described), config.get("max_position_embeddings"), settings
    )
    with TemporaryDirectory(dir=output_folder) as work:
        dense, packed = Path(work, "dense"), Path(work, "packed")
        write_json(dense / "config.json", config)
        save_file(merged_tensors(source, base), dense / "model.safetensors", {"format": "pt"})
        _quantize(dense, precision, windows, packed)
        finish(packed, described, precision, f"{PACKAGE}:{version(PACKAGE)}", output_folder)
    return facts(output_folder, names, PACKAGE, windows, settings)


def older_config(config: dict[str, Any]) -> dict[str, Any]:
    """A model's config as transformers 4 reads it: the rotary base stands by itself there.

    Raises:
        InputError: the rotary embedding is scaled, in whose settings the versions differ.
    """
    rotary = config.get("rope_parameters") or {}
    kind = rotary.get("rope_type", "default")
    if kind != "default" or config.get("rope_scaling"):
        raise InputError(
            f"rope_type '{kind}' cannot be handed to auto-gptq's transformers 4; {INSTEAD}"
        )
    older = {key: value for key, value in config.items() if key not in ("rope_parameters", "dtype")}
    return older | ({"rope_theta": rotary["rope_theta"]} if "rope_theta" in rotary else {})


def older_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a checkpoint, whose class transformers 4 may not know by name."""
    file = folder / "tokenizer.json"
    if file.exists():
        return PreTrainedTokenizerFast(tokenizer_file=str(file))
    return load_tokenizer(folder)


def merged_tensors(source: Path, base: Path | None) -> dict[str, Tensor]:
    """All tensors of a checkpoint, or of `base` with the adapter `source` merged, in float32.

    Raises:
        InputError: an adapter without its base, or a checkpoint that is quantized already.
    """
    dense = described_by(source, base)
    if "quantization_config" in read_json(dense / "config.json"):
        raise InputError(f"{dense}: quantized already; give the dense checkpoint it was made from")
    tensors = {
        name: value.float()
        for name, value in read_tensors(dense, list(tensor_files(dense))).items()
    }
    if is_adapter(source):
        for update in updates(dense, source):
            tensors[f"{update.name}.weight"] = update.weight + update.delta
    return tensors


def _check_surroundings() -> None:
    try:
        version(PACKAGE)
    except PackageNotFoundError:
        raise InputError(
            f"quantization.gptq_backend: auto-gptq is not installed; use envs/autogptq.yaml, "
            f"or {INSTEAD}"
        ) from None
    if not torch.cuda.is_available():
        raise InputError(
            f"quantization.gptq_backend: auto-gptq quantizes on CUDA only, and there is none; "
            f"{INSTEAD}"
        )


def _quantize(dense: Path, precision: Precision, windows: Windows, packed: Path) -> None:
    """Let auto-gptq write `dense` into `packed`, under the usual name of a weights file."""
    from auto_gptq import (  # type: ignore[import-not-found]
        AutoGPTQForCausalLM,
        BaseQuantizeConfig,
    )

    config = BaseQuantizeConfig(
        bits=precision.bits,
        group_size=precision.group,
        model_file_base_name="model",
        **PLAIN,
    )
    model = AutoGPTQForCausalLM.from_pretrained(
        str(dense), config, torch_dtype=torch.float32, local_files_only=True
    )
    model.quantize(
        [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in windows],
        batch_size=BATCH,
        use_cuda_fp16=False,
    )
    model.save_quantized(str(packed), use_safetensors=True)
