"""GPTQ (Frantar et al. 2023) by gptqmodel, or by auto-gptq, which the field's model cards name.

Plain GPTQ: no reordering of columns, damping of 1 %, symmetric grids, float32 weights. (gptqmodel's
own defaults reorder columns within groups, damp by 5 % and round the weights to bfloat16 first.)
Columns are processed in blocks of 128; a smaller group takes its scale from the weights as they
are at the start of its block, as in AutoGPTQ.

gptqmodel packs codes with its Python code: its native packer gives the same bytes, but is compiled
on first use, which takes 20 s, a compiler and space in the user's home.

auto-gptq 0.7.1 quantizes on CUDA only and needs transformers 4, so it has its own environment.
Our checkpoints are written by transformers 5: what version 4 would misread is translated here, and
adapters are merged without peft.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from qunlearn.quantize.method import Method, Precision
from qunlearn.run.errors import InputError

if TYPE_CHECKING:
    import torch
    from torch import nn
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from qunlearn.quantize.calibration import Texts
    from qunlearn.quantize.packed import PackedMatrix

PLAIN = {"damp_percent": 0.01, "desc_act": False, "sym": True}
"""GPTQ as published: its damping, and no reordering of columns."""
WORD = 32  # bits per packed integer
BATCH = 8
SURROUNDINGS = {
    "GPTQMODEL_CPU_WORKERS": "2",  # its default on two cores is one, with which its loader fails
    "GPTQMODEL_DISABLE_PACK_EXT": "1",
}
CARRIED = ("*token*", "vocab.*", "merges.txt", "chat_template*", "generation_config.json")
INSTEAD = "use gptq4, which gptqmodel makes on a CPU as well"
Examples = list[dict[str, list[int]]]
"""Calibration windows as the packages take them."""


class Gptq(Method):
    """Plain GPTQ, whatever package runs it, in GPTQ's first packed format.

    For evaluation our own code reads that folder, one matrix at a time: importing gptqmodel
    takes seconds, and it computes in 16 bits only.
    """

    name = "gptq"
    form = "gptq<bits>[g<group>]"
    pattern = r"gptq(?P<bits>[2348])(?:g(?P<group>16|32|64|128|256|512|1024))?"
    group = 128
    environment = "gptq"
    packages = frozenset({"gptqmodel"})
    library = "gptqmodel"
    dense = False
    calibrated = True
    scheme = "symmetric, columns in their own order; one scale {span}"
    storage = "GPTQ's first packed format; the rest in float32"
    note = (
        "GPTQ ({library}): damping 1 %, no reordering, {sequences} sequences of {length} tokens of "
        "{split}."
    )
    install = ("gptqmodel",)
    loading = """\
from gptqmodel import GPTQModel
from transformers import AutoTokenizer

folder = "."  # this folder
tokenizer = AutoTokenizer.from_pretrained(folder)
model = GPTQModel.load(folder)
"""
    warnings = ("gptqmodel computes in 16 bits, so not to the last digit what is measured above.",)
    filed_under = "gptqmodel"

    def stored_bits(self, precision: Precision) -> float:
        """The code, and for each group a 16-bit scale and a zero point."""
        assert precision.group is not None  # see `pattern`
        return precision.bits + (16 + precision.bits) / precision.group

    def check(self, layers: Mapping[str, nn.Linear], precision: Precision) -> None:
        """Groups must divide the rows, and the packed format's words both dimensions."""
        super().check(layers, precision)
        for name, layer in layers.items():
            if layer.in_features % WORD or layer.out_features % WORD:
                raise InputError(
                    f"precision '{precision.name}': GPTQ packs multiples of {WORD}, and the widths "
                    f"of {name} are not; use nf4 or rtn{precision.bits}"
                )

    def write(
        self,
        source: Path,
        base: Path | None,
        precision: Precision,
        out: Path,
        texts: Texts | None = None,
    ) -> dict[str, Any]:
        """As in every method, calibrated on texts; an InputError if they are missing or too few.

        The packages write different files beside the weights: times, temporary paths, settings
        of their own. So the folder takes only the weights from them, and everything else from
        the checkpoint that was quantized.
        """
        from qunlearn.corpora import layout
        from qunlearn.models.updates import quantized_layers
        from qunlearn.quantize.calibration import describe, draw
        from qunlearn.run.files import read_json, write_json

        if texts is None:
            raise InputError(f"precision '{precision.name}' calibrates on texts; give --corpus")
        described = base or source
        layers = quantized_layers(described)
        self.check(layers, precision)
        config = read_json(described / "config.json")
        with TemporaryDirectory(dir=out) as work:
            dense, packed = Path(work, "dense"), Path(work, "packed")
            tokenizer = self.prepare(source, base, dense)
            raw = layout.load(texts.corpus).raw[texts.settings.split]
            windows = draw(raw, tokenizer, texts.settings)
            examples = [{"input_ids": ids, "attention_mask": [1] * len(ids)} for ids in windows]
            self.run(dense, precision, examples, packed)
            for path in packed.glob("*.safetensors*"):
                shutil.copyfile(path, out / path.name)  # without its mode, which may be private
        backend = {"name": self.library, "version": version(self.library)}
        quantization = {
            "quant_method": "gptq",
            "bits": precision.bits,
            "group_size": precision.group,
            **PLAIN,
            "checkpoint_format": "gptq",
            "pack_dtype": "int32",
            "lm_head": False,
            "meta": {"quantizer": [":".join(backend.values())]},
        }
        config |= {"dtype": "float32", "quantization_config": quantization}
        write_json(out / "config.json", config)
        write_json(out / "quantize_config.json", quantization)
        for path in (path for pattern in CARRIED for path in described.glob(pattern)):
            shutil.copyfile(path, out / path.name)
        return {
            "quantized_matrices": len(layers),
            "storage": self.storage,
            "backend": backend,
            "calibration": describe(windows, texts.settings),
        }

    def prepare(self, source: Path, base: Path | None, dense: Path) -> PreTrainedTokenizerBase:
        """Write the merged float32 checkpoint into the folder `dense`; returns its tokenizer."""
        from qunlearn.models.checkpoints import load_dense, load_tokenizer, save_model

        tokenizer = load_tokenizer(base or source)
        save_model(load_dense(source, base), tokenizer, dense)
        return tokenizer

    def run(self, dense: Path, precision: Precision, examples: Examples, packed: Path) -> None:
        """Let the package write `dense`, calibrated on `examples`, into `packed`."""
        os.environ |= SURROUNDINGS
        import torch
        from gptqmodel import GPTQModel, QuantizeConfig  # type: ignore[import-untyped]
        from gptqmodel.looper import loop_processor  # type: ignore[import-untyped]

        # It would write its own log of times and progress into ./logs.
        loop_processor._PROJECT_LOG_DIR = dense / "logs"
        config = QuantizeConfig(
            bits=precision.bits,
            group_size=precision.group,
            act_group_aware=False,
            fallback=None,  # the fallback would silently round to nearest where GPTQ fails
            offload_to_disk=False,
            **PLAIN,
        )
        model = GPTQModel.load(str(dense), config, dtype=torch.float32)
        model.quantize(examples, batch_size=BATCH, calibration_data_min_length=1)
        model.save(str(packed))

    def load(
        self, folder: Path, precision: Precision, dtype: torch.dtype, device: torch.device
    ) -> PreTrainedModel:
        """Dequantized, matrix by matrix."""
        from qunlearn.quantize.packed import load_packed

        return load_packed(folder, precision, dtype, device)

    def read_packed(self, folder: Path, name: str, precision: Precision) -> PackedMatrix:
        """Codes and scales as shipped."""
        from qunlearn.quantize.packed import read_matrix

        return read_matrix(folder, name, precision)


class AutoGptq(Gptq):
    """The algorithm, settings and packed format of `gptq`, by another package, on CUDA."""

    name = "autogptq"
    form = "autogptq<bits>[g<group>]"
    pattern = f"auto{Gptq.pattern}"
    environment = "autogptq"
    packages = frozenset({"datasets", "peft"})
    library = "auto-gptq"

    def prepare(self, source: Path, base: Path | None, dense: Path) -> PreTrainedTokenizerBase:
        """The checkpoint as transformers 4 reads it.

        Raises:
            InputError: as for `gptq`; no auto-gptq or no CUDA; or a rotary embedding that
                transformers 4 does not know.
        """
        import torch
        from safetensors.torch import save_file
        from transformers import PreTrainedTokenizerFast

        from qunlearn.models.checkpoints import load_tokenizer, read_tensors, tensor_files
        from qunlearn.models.updates import updates
        from qunlearn.run.files import read_json, write_json

        if find_spec("auto_gptq") is None or not torch.cuda.device_count():
            raise InputError(
                f"precision 'autogptq': needs auto-gptq (envs/autogptq.yaml) and CUDA; {INSTEAD}"
            )
        described = base or source
        write_json(dense / "config.json", older_config(read_json(described / "config.json")))
        stored = read_tensors(described, list(tensor_files(described)))
        tensors = {name: value.float() for name, value in stored.items()}
        for update in updates(base, source) if base else ():
            tensors[f"{update.name}.weight"] = update.weight + update.delta
        save_file(tensors, dense / "model.safetensors", {"format": "pt"})
        file = described / "tokenizer.json"  # transformers 4 may not know the name of its class
        if file.exists():
            return PreTrainedTokenizerFast(tokenizer_file=str(file))
        return load_tokenizer(described)

    def run(self, dense: Path, precision: Precision, examples: Examples, packed: Path) -> None:
        """Let auto-gptq write them, under the usual file name."""
        import torch
        from auto_gptq import (  # type: ignore[import-not-found]
            AutoGPTQForCausalLM,
            BaseQuantizeConfig,
        )

        sizes = {"bits": precision.bits, "group_size": precision.group}
        config = BaseQuantizeConfig(**sizes, **PLAIN, model_file_base_name="model")
        model = AutoGPTQForCausalLM.from_pretrained(
            str(dense), config, torch_dtype=torch.float32, local_files_only=True
        )
        model.quantize(examples, batch_size=1, use_cuda_fp16=False)
        model.save_quantized(str(packed), use_safetensors=True)


METHODS = (Gptq(), AutoGptq())


def older_config(config: dict[str, Any]) -> dict[str, Any]:
    """A model's config as transformers 4 reads it, with the rotary base as a key of its own.

    The wish for another attention is left out. An InputError where the rotary embedding is scaled:
    the versions differ in its settings.
    """
    rotary = config.get("rope_parameters") or {}
    kind = rotary.get("rope_type", "default")
    if kind != "default" or config.get("rope_scaling"):
        raise InputError(
            f"rope_type '{kind}' cannot be passed to auto-gptq's transformers 4; {INSTEAD}"
        )
    other = ("rope_parameters", "dtype", "_attn_implementation", "attn_implementation")
    older = {key: value for key, value in config.items() if key not in other}
    return older | ({"rope_theta": rotary["rope_theta"]} if "rope_theta" in rotary else {})
