"""Quantized checkpoints: RTN's lie on its grids, bitsandbytes' equal its own functions."""

import json
from pathlib import Path

import pytest
import torch
from bitsandbytes import functional
from safetensors.torch import load_file
from small_grids import rounded_to
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from qunlearn.models.checkpoints import save_model
from qunlearn.models.layers import quantizable_layers
from qunlearn.quantize.checkpoint import load_for_evaluation, quantize_checkpoint
from qunlearn.quantize.method import Precision, check_group
from qunlearn.run.errors import InputError

PROMPT = torch.arange(40).view(2, 20)


def tiny_model(*, tied: bool = False, seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        vocab_size=320,
        max_position_embeddings=64,
        initializer_range=0.1,
        tie_word_embeddings=tied,
    )
    return LlamaForCausalLM(config).eval()


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: index for index, letter in enumerate(alphabet)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    save_model(tiny_model(), tiny_tokenizer(), folder)
    return folder


@pytest.fixture(scope="module")
def quantized(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Precision -> folder that `quantize_checkpoint` wrote."""
    root = tmp_path_factory.mktemp("quantized")
    names = ("bf16", "int8", "fp4", "nf4", "rtn4", "rtn3g64", "rtn3g64m")
    for name in names:
        quantize_checkpoint(source, None, Precision.parse(name), root / name)
    return {name: root / name for name in names}


def kept_tensors(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    kept = ("embed_tokens", "norm", "lm_head")
    return {name: value for name, value in state.items() if any(word in name for word in kept)}


@pytest.mark.parametrize(
    ("name", "advice"), [("rtn4g48m", "rtn4g32, rtn4g64"), ("rtn3g48", "rtn3g32, rtn3g64")]
)
def test_group_that_does_not_fit_names_the_layer_and_those_that_do(name: str, advice: str) -> None:
    layers = quantizable_layers(tiny_model())

    check_group(layers, Precision.parse("rtn4g64"))
    check_group(layers, Precision.parse("rtn4"))
    with pytest.raises(InputError, match=rf"group 48 .* 64 inputs of .*q_proj; use {advice}$"):
        check_group(layers, Precision.parse(name))


def test_bad_group_leaves_the_folder_empty(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="group 128 does not divide"):
        quantize_checkpoint(source, None, Precision.parse("rtn4g128"), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_quantizable_layers_leave_out_the_head() -> None:
    names = list(quantizable_layers(tiny_model()))

    assert len(names) == 2 * 7
    assert not any("lm_head" in name or "embed" in name for name in names)


def test_facts(source: Path, tmp_path: Path) -> None:
    facts = quantize_checkpoint(source, None, Precision.parse("nf4"), tmp_path)

    assert facts["quantized_matrices"] == 14
    assert facts["weight_bytes"] == (tmp_path / "model.safetensors").stat().st_size
    assert facts["weight_bytes"] < 0.6 * (source / "model.safetensors").stat().st_size


def test_bf16_is_rounded_and_evaluated_exactly(quantized: dict[str, Path]) -> None:
    model, tokenizer = load_for_evaluation(quantized["bf16"], "bf16")

    stored = load_file(quantized["bf16"] / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.bfloat16}
    for name, weight in tiny_model().state_dict().items():
        assert torch.equal(model.state_dict()[name].cpu().float(), weight.bfloat16().float()), name
    assert tokenizer.decode(tokenizer("wörld").input_ids) == "wörld"
    assert not model.training


@pytest.mark.parametrize("name", ["int8", "fp4", "nf4", "rtn4", "rtn3g64m"])
def test_embeddings_norms_and_head_are_bit_identical(quantized: dict[str, Path], name: str) -> None:
    expected = kept_tensors(tiny_model().state_dict())
    stored = kept_tensors(load_file(quantized[name] / "model.safetensors"))

    assert stored.keys() == expected.keys()
    assert all(torch.equal(stored[key], expected[key]) for key in expected)


@pytest.mark.parametrize("name", ["rtn4", "rtn3g64", "rtn3g64m"])
def test_rtn_checkpoint_lies_on_the_grid(quantized: dict[str, Path], name: str) -> None:
    model, _ = load_for_evaluation(quantized[name], name)

    for path, layer in quantizable_layers(tiny_model()).items():
        expected = rounded_to(name, layer.weight.detach())
        assert torch.equal(model.get_submodule(path).weight.cpu(), expected)


@pytest.mark.parametrize("name", ["fp4", "nf4"])
def test_four_bit_equals_bitsandbytes_functions(quantized: dict[str, Path], name: str) -> None:
    stored = load_file(quantized[name] / "model.safetensors")
    model, _ = load_for_evaluation(quantized[name], name)

    for path, layer in quantizable_layers(tiny_model()).items():
        packed, state = functional.quantize_4bit(
            layer.weight.detach(), blocksize=64, quant_type=name
        )
        assert torch.equal(stored[f"{path}.weight"], packed)
        assert torch.equal(stored[f"{path}.weight.absmax"], state.absmax)
        loaded = model.get_submodule(path)
        assert type(loaded) is torch.nn.Linear
        assert torch.equal(loaded.weight.cpu(), functional.dequantize_4bit(packed, state))


def test_four_bit_survives_a_forward_pass(quantized: dict[str, Path]) -> None:
    """A pass repacks live 4-bit layers in place; ours are dense by then and must not change."""
    model, _ = load_for_evaluation(quantized["nf4"], "nf4")
    before = {name: value.clone() for name, value in model.state_dict().items()}

    with torch.no_grad():
        model(PROMPT.to(model.device))

    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not hasattr(model.config, "quantization_config")


def test_int8_equals_bitsandbytes_functions(quantized: dict[str, Path]) -> None:
    stored = load_file(quantized["int8"] / "model.safetensors")

    for path, layer in quantizable_layers(tiny_model()).items():
        integers, row_maxima, _ = functional.int8_vectorwise_quant(layer.weight.detach().half())
        assert torch.equal(stored[f"{path}.weight"], integers)
        assert torch.equal(stored[f"{path}.SCB"], row_maxima)


def test_int8_is_evaluated_live(quantized: dict[str, Path]) -> None:
    model, _ = load_for_evaluation(quantized["int8"], "int8")
    dense = tiny_model().to(model.device)

    with torch.no_grad():
        logits, exact = (m(PROMPT.to(m.device)).logits.float() for m in (model, dense))

    assert type(model.model.layers[0].mlp.up_proj).__name__ == "Linear8bitLt"
    error = float((logits - exact).norm() / exact.norm())
    assert 1e-5 < error < 0.05


@pytest.mark.parametrize("name", ["int8", "fp4", "nf4"])
def test_same_files_as_transformers_writes(
    source: Path, quantized: dict[str, Path], tmp_path: Path, name: str
) -> None:
    """Quantizing in memory gives what `from_pretrained(quantization_config=...)` gives."""
    config = (
        BitsAndBytesConfig(load_in_8bit=True)
        if name == "int8"
        else BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=name)
    )
    model = AutoModelForCausalLM.from_pretrained(
        source, quantization_config=config, dtype=torch.float32, device_map={"": "cpu"}
    )
    model.save_pretrained(tmp_path)

    ours = load_file(quantized[name] / "model.safetensors")
    theirs = load_file(tmp_path / "model.safetensors")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


@pytest.mark.parametrize("name", ["bf16", "nf4", "int8", "rtn4"])
def test_tied_embeddings_stay_tied(tmp_path: Path, name: str) -> None:
    save_model(tiny_model(tied=True), tiny_tokenizer(), tmp_path / "source")

    quantize_checkpoint(tmp_path / "source", None, Precision.parse(name), tmp_path / name)
    model, _ = load_for_evaluation(tmp_path / name, name)

    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_other_precision_than_the_folders_is_refused(
    quantized: dict[str, Path], tmp_path: Path
) -> None:
    folder = tmp_path / "rtn4"
    folder.mkdir()
    for path in quantized["rtn4"].iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "manifest.json").write_text(
        json.dumps({"step": "quantize", "settings": {"name": "rtn4"}})
    )

    load_for_evaluation(folder, "rtn4")
    with pytest.raises(InputError, match="holds rtn4, not nf4"):
        load_for_evaluation(folder, "nf4")


def test_dense_weights_are_not_taken_for_packed_ones(source: Path) -> None:
    with pytest.raises(InputError, match="the weights are dense, so they are not nf4"):
        load_for_evaluation(source, "nf4")


def test_quantized_source_is_refused(quantized: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="quantized already"):
        quantize_checkpoint(quantized["nf4"], None, Precision.parse("rtn4"), tmp_path)


@pytest.mark.parametrize("name", ["fp4", "nf4"])
def test_rows_that_do_not_fill_blocks_of_four_bits_are_refused(tmp_path: Path, name: str) -> None:
    """bitsandbytes stores them well and reads them back wrong."""
    config = tiny_model().config
    config.intermediate_size = 96
    save_model(LlamaForCausalLM(config), tiny_tokenizer(), tmp_path / "source")

    with pytest.raises(InputError, match=r"blocks of 64 .* 96 inputs of .*down_proj; use int8"):
        quantize_checkpoint(tmp_path / "source", None, Precision.parse(name), tmp_path / "out")
    assert not (tmp_path / "out").exists()
