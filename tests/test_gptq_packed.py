"""Packed matrices: as gptqmodel dequantizes them, bit for bit; others are refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from gptq_models import CALIBRATION, make_corpus, make_model
from safetensors.torch import load_file, save_file
from torch import Tensor

from qunlearn.quantize.calibration import Texts
from qunlearn.quantize.checkpoint import load_for_evaluation, quantize_checkpoint
from qunlearn.quantize.method import Precision
from qunlearn.quantize.packed import read_matrix
from qunlearn.run.errors import InputError

NAMES = ("gptq2", "gptq3g64", "gptq4g32", "gptq8")
LAYER = "model.layers.0.mlp.down_proj"


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Precision -> folder."""
    root = tmp_path_factory.mktemp("packed")
    corpus = make_corpus(root / "corpus")
    source = make_model(root / "source", corpus)
    for name in NAMES:
        (root / name).mkdir()
        wanted = Precision.parse(name)
        quantize_checkpoint(source, None, wanted, root / name, Texts(corpus, CALIBRATION))
    return {name: root / name for name in NAMES}


@pytest.fixture
def copy(packed: dict[str, Path], tmp_path: Path) -> Path:
    """A folder that a test may spoil."""
    return Path(shutil.copytree(packed["gptq4g32"], tmp_path / "copy"))


def spoil(folder: Path, part: str, value: Tensor) -> None:
    file = folder / "model.safetensors"
    save_file(load_file(file) | {f"{LAYER}.{part}": value}, file, {"format": "pt"})


@pytest.mark.parametrize("name", NAMES)
def test_dense_equals_gptqmodels_own(packed: dict[str, Path], name: str, tmp_path: Path) -> None:
    from gptqmodel.utils.model_dequant import dequantize_model

    dequantize_model(packed[name], tmp_path / "dense", target_dtype=torch.float32, device="cpu")
    theirs = load_file(tmp_path / "dense/model.safetensors")
    stored = load_file(packed[name] / "model.safetensors")
    layers = [key.removesuffix(".qweight") for key in stored if key.endswith(".qweight")]
    assert len(layers) == 7
    for layer in layers:
        matrix, bits = read_matrix(packed[name], layer), Precision.parse(name).bits
        assert torch.equal(matrix.dense(), theirs[f"{layer}.weight"])
        assert torch.equal(matrix.scales, stored[f"{layer}.scales"].T.float())
        assert matrix.codes.dtype == torch.int16
        assert matrix.group == Precision.parse(name).group
        used = set(matrix.codes.unique().tolist())
        assert min(used) == -(2 ** (bits - 1)) and max(used) == 2 ** (bits - 1) - 1
    model, _ = load_for_evaluation(packed[name], name)
    assert all(torch.equal(value.cpu(), theirs[key]) for key, value in model.state_dict().items())


def test_words_by_hand(tmp_path: Path) -> None:
    """32 codes of 3 bits in three words: the 11th and the 22nd code lie across two of them."""
    codes = [(3 * place + 1) % 8 for place in range(32)]
    stream = sum(code << 3 * place for place, code in enumerate(codes))
    words = [(stream >> 32 * word) & 0xFFFFFFFF for word in range(3)]
    signed = [word - 2**32 if word >= 2**31 else word for word in words]
    threes = [0b11011011011011011011011011011011, 0b10110110110110110110110110110110]
    threes.append(0b01101101101101101101101101101101)  # 32 times zero point 4, stored less 1
    zeros = [word - 2**32 if word >= 2**31 else word for word in threes]
    save_file(
        {
            "x.qweight": torch.tensor(signed, dtype=torch.int32)[:, None].repeat(1, 32),
            "x.qzeros": torch.tensor([zeros], dtype=torch.int32),
            "x.scales": torch.full((1, 32), 0.5, dtype=torch.float16),
            "x.g_idx": torch.zeros(32, dtype=torch.int32),
        },
        tmp_path / "model.safetensors",
    )
    quantization = {"quant_method": "gptq", "bits": 3, "checkpoint_format": "gptq"}
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": quantization}))

    matrix = read_matrix(tmp_path, "x")

    assert matrix.codes.tolist() == [[code - 4 for code in codes]] * 32
    assert matrix.dense()[0].tolist() == [(code - 4) / 2 for code in codes]
    assert (matrix.group, matrix.scales.shape) == (32, (32, 1))


def test_shards_are_read_through_their_index(copy: Path) -> None:
    whole = read_matrix(copy, LAYER)
    tensors = load_file(copy / "model.safetensors")
    (copy / "model.safetensors").unlink()
    shards = [{}, {}]
    for index, (name, value) in enumerate(sorted(tensors.items())):
        shards[index % 2][name] = value
    places = {}
    for index, shard in enumerate(shards):
        save_file(shard, copy / f"part{index}.safetensors", {"format": "pt"})
        places |= dict.fromkeys(shard, f"part{index}.safetensors")
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))

    assert torch.equal(read_matrix(copy, LAYER).dense(), whole.dense())
    model, _ = load_for_evaluation(copy, "gptq4g32")
    assert torch.equal(model.get_submodule(LAYER).weight.cpu(), whole.dense())


def test_other_order_of_inputs_is_refused(copy: Path) -> None:
    order = torch.arange(256, dtype=torch.int32) // 32
    spoil(copy, "g_idx", order.flip(0))
    with pytest.raises(InputError, match=f"{LAYER} has its inputs reordered"):
        read_matrix(copy, LAYER)


def test_asymmetric_grid_is_refused(copy: Path) -> None:
    zeros = load_file(copy / "model.safetensors")[f"{LAYER}.qzeros"]
    zeros[3, 5] ^= 1
    spoil(copy, "qzeros", zeros)
    with pytest.raises(InputError, match=f"{LAYER} is asymmetric"):
        read_matrix(copy, LAYER)


@pytest.mark.parametrize("form", ["gptq_v2", "gptq_p"])
def test_other_formats_are_refused(copy: Path, form: str) -> None:
    config = json.loads((copy / "config.json").read_text())
    config["quantization_config"]["checkpoint_format"] = form
    (copy / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=f"in the format {form}, not GPTQ's first format"):
        read_matrix(copy, LAYER)


def test_missing_layer_and_damaged_file_are_named(copy: Path) -> None:
    with pytest.raises(InputError, match=r"no tensor model\.layers\.9\.qweight in it"):
        read_matrix(copy, "model.layers.9")
    (copy / "model.safetensors").write_bytes(b"\0" * 64)
    with pytest.raises(InputError, match="damaged safetensors file"):
        read_matrix(copy, LAYER)


def test_other_bits_than_the_names_are_refused(copy: Path) -> None:
    with pytest.raises(InputError, match="the weights have 4 bits, so they are not gptq3g32"):
        load_for_evaluation(copy, "gptq3g32")


def test_generates_with_the_settings_of_the_folder(copy: Path) -> None:
    """Without its generation_config.json a model trained without a cache would generate so too."""
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"use_cache": False}))
    settings = {"use_cache": True, "eos_token_id": 7, "pad_token_id": 3}
    (copy / "generation_config.json").write_text(json.dumps(settings))

    loaded = load_for_evaluation(copy, "gptq4g32")[0].generation_config

    assert loaded is not None
    assert (loaded.use_cache, loaded.eos_token_id, loaded.pad_token_id) == (True, 7, 3)
