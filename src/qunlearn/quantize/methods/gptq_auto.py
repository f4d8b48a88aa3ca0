"""GPTQ by auto-gptq 0.7.1, the package that the field's model cards name.

It quantizes on CUDA alone, needs transformers 4 and had its last release in March 2024; gptqmodel
is its maintained successor. So it has an environment of its own (`envs/autogptq.yaml`).
Checkpoints are written by transformers 5: whatever transformers 4 would misread is translated here,
and adapters are merged without peft.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qunlearn.quantize.method import Precision
from qunlearn.quantize.methods.gptq import PLAIN, Gptq, examples
from qunlearn.run.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from qunlearn.quantize.calibration import Windows

INSTEAD = "use gptq4, which gptqmodel makes on a CPU as well"


class AutoGptq(Gptq):
    """The same algorithm, settings and packed format as `gptq`, by another package, on CUDA."""

    name = "autogptq"
    form = "autogptq<bits>[g<group>]"
    pattern = f"auto{Gptq.pattern}"
    environment = "autogptq"
    packages = frozenset({"datasets", "peft"})
    library = "auto-gptq"

    def prepare(self, source: Path, base: Path | None, dense: Path) -> PreTrainedTokenizerBase:
        """The checkpoint as transformers 4 reads it.

        Raises:
            InputError: as for `gptq`; without the package or CUDA; or a model whose rotary
                embedding transformers 4 does not know.
        """
        import torch
        from safetensors.torch import save_file

        from qunlearn.run.files import read_json, write_json

        if find_spec("auto_gptq") is None:
            raise InputError(
                "precision 'autogptq': auto-gptq is not installed; use envs/autogptq.yaml, or "
                f"{INSTEAD}"
            )
        if not torch.cuda.device_count():
            raise InputError(
                f"precision 'autogptq': auto-gptq needs CUDA to quantize, not found; {INSTEAD}"
            )
        described = base or source
        write_json(dense / "config.json", older_config(read_json(described / "config.json")))
        save_file(merged_tensors(source, base), dense / "model.safetensors", {"format": "pt"})
        return older_tokenizer(described)

    def run(self, dense: Path, precision: Precision, windows: Windows, packed: Path) -> None:
        """The weights get their usual name of a file."""
        import torch
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
        model.quantize(examples(windows), batch_size=1, use_cuda_fp16=False)
        model.save_quantized(str(packed), use_safetensors=True)


METHODS = (AutoGptq(),)


def older_config(config: dict[str, Any]) -> dict[str, Any]:
    """A model's config as transformers 4 reads it: the rotary base stands by itself there.

    Raises:
        InputError: the rotary embedding is scaled, in whose settings the versions differ.
    """
    rotary = config.get("rope_parameters") or {}
    kind = rotary.get("rope_type", "default")
    if kind != "default" or config.get("rope_scaling"):
        raise InputError(
            f"rope_type '{kind}' cannot be passed to auto-gptq's transformers 4; {INSTEAD}"
        )
    older = {key: value for key, value in config.items() if key not in ("rope_parameters", "dtype")}
    return older | ({"rope_theta": rotary["rope_theta"]} if "rope_theta" in rotary else {})


def older_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a checkpoint, whose class transformers 4 may not know by name."""
    from transformers import PreTrainedTokenizerFast

    from qunlearn.models.checkpoints import load_tokenizer

    file = folder / "tokenizer.json"
    if file.exists():
        return PreTrainedTokenizerFast(tokenizer_file=str(file))
    return load_tokenizer(folder)


def merged_tensors(source: Path, base: Path | None) -> dict[str, Tensor]:
    """All tensors of a checkpoint, or of `base` with the adapter `source` merged, in float32.

    Raises:
        InputError: a checkpoint that is quantized already.
    """
    from qunlearn.models.checkpoints import read_tensors, tensor_files
    from qunlearn.models.updates import updates
    from qunlearn.run.files import read_json

    dense = base or source
    if "quantization_config" in read_json(dense / "config.json"):
        raise InputError(f"{dense}: quantized already; give the dense checkpoint it was made from")
    names = list(tensor_files(dense))
    tensors = {name: value.float() for name, value in read_tensors(dense, names).items()}
    for update in updates(base, source) if base else ():
        tensors[f"{update.name}.weight"] = update.weight + update.delta
    return tensors
