"""Precisions by name; checkpoints on RTN's grids or bitsandbytes' own; GPTQ's calibration."""

import dataclasses
import hashlib
import random
import shutil
import struct
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from bitsandbytes import functional
from safetensors.torch import load_file
from survival_models import rounded_to, save, small_llama
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from qunlearn.models.updates import quantizable_layers
from qunlearn.quantize.calibration import describe, draw
from qunlearn.quantize.method import Precision, load_for_evaluation, method_of
from qunlearn.run.errors import InputError
from qunlearn.run.files import write_json
from qunlearn.settings.quantization import CalibrationSettings, CalibrationSplit

PROMPT = torch.arange(40).view(2, 20)
NAMES = ("bf16", "int8", "fp4", "nf4", "rtn4", "rtn3g64m", "rtn4a16")


def test_names() -> None:
    for name, label, *expected in (
        ("bf16", "bf16", "bf16", 16, None, False),
        ("int8", "int8", "int8", 8, None, False),
        ("nf4", "NF4", "nf4", 4, None, False),
        ("rtn4", "RTN4", "rtn", 4, None, False),
        ("rtn3g64m", "RTN3 g64 mid-rise", "rtn", 3, 64, True),
        ("rtn4a16", "RTN4 asym g16", "rtna", 4, 16, False),
        ("gptq4", "GPTQ4", "gptq", 4, 128, False),
        ("autogptq8g1024", "AUTOGPTQ8 g1024", "autogptq", 8, 1024, False),
    ):
        precision = Precision.parse(name)
        assert dataclasses.astuple(precision) == (name, *expected)
        assert method_of(name).label(precision) == label
    others = "fp16 nf8 rtn rtn1 rtn9 rtn3g0 rtn3g064 rtn3mg64 nf4m GPTQ4"
    for name in ("", *f"{others} gptq gptq5 gptq4g gptq4g48 gptq4g8 gptq4m".split()):
        with pytest.raises(InputError, match=f"^precision '{name}' .*bf16, .*rtn<bits>"):
            Precision.parse(name)


@pytest.mark.parametrize(
    ("name", "inputs", "outputs", "complaint"),
    [
        ("rtn4g48m", 64, 64, "group 48 .* 64 inputs of x; use rtn4g32, rtn4g64$"),
        ("rtn3a128", 64, 64, "group 128 .*; use rtn3g32, rtn3g64$"),
        ("nf4", 96, 64, "group 64 .* 96 inputs of x; use int8, rtn4$"),  # read back wrong
        ("gptq4", 192, 64, "group 128 .*; use gptq4g32, gptq4g64$"),
        ("gptq4g16", 48, 64, "packs multiples of 32, .* widths of x are not; use nf4 or rtn4$"),
        ("gptq4g16", 64, 80, "widths of x are not"),
    ],
)
def test_layers_that_do_not_fit(name: str, inputs: int, outputs: int, complaint: str) -> None:
    layers = {"x": SimpleNamespace(in_features=inputs, out_features=outputs)}
    with pytest.raises(InputError, match=f"^precision '{name}': .*{complaint}"):
        method_of(name).check(layers, Precision.parse(name))


def write(source: Path, folder: Path, name: str) -> dict[str, Any]:
    return method_of(name).write(source, None, Precision.parse(name), folder)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(small_llama(64), tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def quantized(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Precision -> folder that was written."""
    root = tmp_path_factory.mktemp("quantized")
    for name in NAMES:
        facts = write(source, root / name, name)
        assert facts["quantized_matrices"] == (0 if name == "bf16" else 2 * 7)
    return {name: root / name for name in NAMES}


def test_bf16_is_rounded_and_evaluated_exactly(quantized: dict[str, Path]) -> None:
    model, tokenizer = load_for_evaluation(quantized["bf16"], "bf16")

    stored = load_file(quantized["bf16"] / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.bfloat16}
    for name, weight in small_llama(64).state_dict().items():
        assert torch.equal(model.state_dict()[name].cpu().float(), weight.bfloat16().float()), name
    assert tokenizer.decode(tokenizer("wörld").input_ids) == "wörld"
    assert not model.training


@pytest.mark.parametrize("name", ["int8", "nf4", "rtn3g64m"])
def test_embeddings_norms_and_head_are_bit_identical(quantized: dict[str, Path], name: str) -> None:
    stored, kept = load_file(quantized[name] / "model.safetensors"), 0
    for key, value in small_llama(64).state_dict().items():
        if any(word in key for word in ("embed_tokens", "norm", "lm_head")):
            assert torch.equal(stored[key], value)
            kept += 1
    assert kept == 1 + 1 + 1 + 2 * 2


@pytest.mark.parametrize("name", ["fp4", "nf4", "rtn4", "rtn3g64m", "rtn4a16"])
def test_what_is_evaluated_lies_on_the_grid(quantized: dict[str, Path], name: str) -> None:
    """Also after a forward pass, which would repack live 4-bit layers in place."""
    model, _ = load_for_evaluation(quantized[name], name)
    with torch.no_grad():
        model(PROMPT.to(model.device))

    assert not hasattr(model.config, "quantization_config")
    for path, layer in quantizable_layers(small_llama(64)).items():
        loaded = model.get_submodule(path)
        assert type(loaded) is torch.nn.Linear
        assert torch.equal(loaded.weight.cpu(), rounded_to(name, layer.weight.detach()))


def test_int8_equals_bitsandbytes_and_is_evaluated_live(quantized: dict[str, Path]) -> None:
    stored = load_file(quantized["int8"] / "model.safetensors")
    for path, layer in quantizable_layers(small_llama(64)).items():
        integers, row_maxima, _ = functional.int8_vectorwise_quant(layer.weight.detach().half())
        assert torch.equal(stored[f"{path}.weight"], integers)
        assert torch.equal(stored[f"{path}.SCB"], row_maxima)

    model, _ = load_for_evaluation(quantized["int8"], "int8")
    dense = small_llama(64).to(model.device)
    with torch.no_grad():
        logits, exact = (m(PROMPT.to(m.device)).logits.float() for m in (model, dense))
    assert type(model.model.layers[0].mlp.up_proj).__name__ == "Linear8bitLt"
    assert 1e-5 < float((logits - exact).norm() / exact.norm()) < 0.05


@pytest.mark.parametrize("name", ["bf16", "nf4", "int8", "rtn4"])
def test_tied_embeddings_stay_tied(tmp_path: Path, name: str) -> None:
    save(small_llama(64, tied=True), tmp_path / "source")
    write(tmp_path / "source", tmp_path / name, name)
    model, _ = load_for_evaluation(tmp_path / name, name)
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_misfits_are_refused(source: Path, quantized: dict[str, Path], tmp_path: Path) -> None:
    folder = Path(shutil.copytree(quantized["rtn4"], tmp_path / "rtn4"))
    write_json(folder / "manifest.json", {"step": "quantize", "settings": {"name": "rtn4"}})
    load_for_evaluation(folder, "rtn4")
    for where, held in ((folder, "rtn4"), (source, "dense weights")):
        with pytest.raises(InputError, match=f"holds {held}, not nf4"):
            load_for_evaluation(where, "nf4")
    with pytest.raises(InputError, match="quantized already"):
        write(quantized["nf4"], tmp_path / "out", "rtn4")
    with pytest.raises(InputError, match="group 128 does not divide"):
        write(source, tmp_path / "out", "rtn4g128")
    assert not (tmp_path / "out").exists()


RAW = [*(letter * 20 for letter in "abcdef"), " "]


def letters() -> PreTrainedTokenizerFast:
    """A token a byte, so that windows can be read."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=bpe, model_max_length=16)


# --- The calibration sample ---------------------------------------------------------------------


def test_windows_of_the_joined_texts_by_hand() -> None:
    """Drawn without replacement from texts in the order that the seed gives."""
    tokenizer, order, rows = letters(), random.Random(5), RAW[:-1]
    order.shuffle(rows)
    windows = [row + "\n\n" for row in rows][:5]  # the last text lacks the blank line after it
    expected = [windows[index] for index in order.sample(range(5), 3)]
    for seed in (5, 1):
        settings = CalibrationSettings(sequences=3, length=22, seed=seed)
        found = [tokenizer.decode(window) for window in draw(RAW, tokenizer, settings)]
        assert (found == expected) == (seed == 5)
    assert get_args(CalibrationSplit) == ("retain1", "retain2")  # no other texts can be drawn


def test_windows_are_text_alone() -> None:
    settings = CalibrationSettings(sequences=3, length=22, seed=5)
    around = letters()
    around.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>"})
    around.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 256), ("</s>", 257)]
    )
    assert around("a").input_ids[0] == 256
    assert draw(RAW, around, settings) == draw(RAW, letters(), settings)


def test_description_has_the_hash_of_the_tokens_and_nothing_of_them() -> None:
    settings = CalibrationSettings(sequences=2, length=3, seed=7)
    assert describe([[1, 2, 300], [4, 5, 70000]], settings) == {
        "split": "retain1",
        "sequences": 2,
        "length": 3,
        "seed": 7,
        "tokens": 6,
        "sha256": hashlib.sha256(struct.pack("<6i", 1, 2, 300, 4, 5, 70000)).hexdigest(),
    }
