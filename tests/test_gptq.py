"""GPTQ by gptqmodel: as good as the algorithm, repeatable, read back bit for bit."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from gptq_models import (
    CALIBRATION,
    FLAGS,
    drawn,
    gptq,
    leaked,
    make_corpus,
    make_model,
    output_error,
)
from safetensors.torch import load_file, save_file
from small_corpora import run_script
from small_grids import rounded_to
from torch import Tensor

from qunlearn.models.checkpoints import load_model, load_tokenizer, save_model
from qunlearn.models.updates import quantizable_layers
from qunlearn.quantize.calibration import Texts, describe
from qunlearn.quantize.method import Precision, load_for_evaluation, method_of
from qunlearn.quantize.packed import PackedMatrix, read_matrix
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json, sha256, write_json

ATTENTION = "model.layers.0.self_attn"
DOWN = "model.layers.0.mlp.down_proj"
FILES = {
    *("config.json", "generation_config.json", "manifest.json", "model.safetensors"),
    *("quantize_config.json", "tokenizer.json", "tokenizer_config.json"),
}
Made = dict[str, Path]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A corpus, a model, its gptq4 folder as the script wrote it, the script's log; and others."""
    root = tmp_path_factory.mktemp("gptq")
    corpus = make_corpus(root / "corpus")
    source = make_model(root / "source", corpus)
    flags = ("--source", source, "--precision", "gptq4", "--corpus", corpus, *FLAGS)
    place = {"OMP_NUM_THREADS": "1", "HOME": str(root / "home")}
    run = run_script("quantize.py", *flags, "--output", root / "gptq4", folder=root, **place)
    (root / "log").write_text(run.stdout + run.stderr, encoding="utf-8")
    made = {path.name: path for path in root.iterdir()} | {"root": root}
    assert made.keys() == {"corpus", "source", "gptq4", "log", "root"}  # nothing else is left
    for name in ("gptq2", "gptq3g32", "gptq8"):
        made[name] = quantize(made, name, root / name)
    return made


def quantize(made: Made, name: str, output: Path, source: Path | None = None) -> Path:
    output.mkdir()
    base = made["source"] if source is not None else None
    texts = Texts(made["corpus"], CALIBRATION)
    method_of(name).write(source or made["source"], base, Precision.parse(name), output, texts)
    return output


def read(folder: Path, layer: str, name: str = "gptq3g32") -> PackedMatrix:
    return read_matrix(folder, layer, Precision.parse(name))


def hessian_of(made: Made) -> Tensor:
    """X^T X of what layer 0's attention reads on the calibration windows, in float64."""
    model, gathered = load_model(made["source"], torch.float32), []
    query = model.get_submodule(f"{ATTENTION}.q_proj")
    query.register_forward_hook(lambda _, inputs, __: gathered.append(inputs[0].flatten(0, 1)))
    with torch.no_grad():
        model(torch.tensor(drawn(made["corpus"], made["source"])))
    rows = torch.cat(gathered).double()
    return rows.T @ rows


@pytest.mark.parametrize(("name", "tolerance"), [("gptq4", 0.002), ("gptq3g32", 0.02)])
def test_as_good_as_the_published_algorithm_and_better_than_rounding(
    made: Made, name: str, tolerance: float
) -> None:
    """Near enough to tell other settings: damping of 5 % is 0.5 to 1.3 % off.

    Groups below 128 have their scales from the weights at the start of a block of 128 columns,
    not of the group; that is where the other per cent comes from.
    """
    layers = quantizable_layers(load_model(made["source"], torch.float32))
    precision = Precision.parse(name)
    bits, group = precision.bits, precision.group or 0
    hessian = hessian_of(made)
    for part in ("q_proj", "k_proj", "v_proj"):
        weight = layers[f"{ATTENTION}.{part}"].weight.detach()
        ours = output_error(read(made[name], f"{ATTENTION}.{part}", name).dense(), weight, hessian)
        oracle = output_error(gptq(weight, hessian, bits, group), weight, hessian)
        rounded = output_error(rounded_to(f"rtn{bits}g{group}", weight), weight, hessian)
        assert ours == pytest.approx(oracle, rel=tolerance)
        assert ours < 0.75 * rounded


def test_two_runs_write_the_same_bytes_in_another_place_and_process(
    made: Made, tmp_path: Path
) -> None:
    again = quantize(made, "gptq4", tmp_path / "again")
    assert {path.name for path in made["gptq4"].iterdir()} == FILES
    for path in again.iterdir():
        assert sha256(path) == sha256(made["gptq4"] / path.name), path.name


def test_nothing_of_the_calibration_or_the_place_is_in_the_folder_or_the_log(made: Made) -> None:
    windows = drawn(made["corpus"], made["source"])
    raw = (made["corpus"] / "raw/retain1.json").read_bytes()
    assert len(leaked(raw, made["source"], windows)) > 100  # it would be found
    assert leaked(json.dumps(windows, indent=1).encode(), made["source"], windows)

    for path in [made["log"], *made["gptq4"].iterdir()]:
        assert leaked(path.read_bytes(), made["source"], windows) == [], path.name
    for path in made["gptq4"].iterdir():
        assert str(made["root"]).encode() not in path.read_bytes(), path.name
        assert b"/tmp" not in path.read_bytes(), path.name
    manifest = read_json(made["gptq4"] / "manifest.json")
    assert manifest["calibration"] == describe(windows, CALIBRATION)
    assert manifest["backend"] == {"name": "gptqmodel", "version": "7.6.0"}
    assert manifest["inputs"].keys() == {"source", "corpus"}


@pytest.mark.parametrize("name", ["gptq2", "gptq3g32", "gptq4", "gptq8"])
def test_evaluated_weights_equal_gptqmodels_own(made: Made, name: str, tmp_path: Path) -> None:
    from gptqmodel.utils.model_dequant import dequantize_model

    dequantize_model(made[name], tmp_path / "dense", target_dtype=torch.float32, device="cpu")
    theirs = load_file(tmp_path / "dense/model.safetensors")
    model, _ = load_for_evaluation(made[name], name)
    source = load_model(made["source"], torch.float32)
    quantized = {f"{layer}.weight" for layer in quantizable_layers(source)}
    assert len(quantized) == 7
    for key, value in model.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value.cpu(), theirs[key])
        assert torch.equal(value.cpu(), source.state_dict()[key]) == (key not in quantized)
    codes, half = read(made[name], DOWN, name).codes, 2 ** (Precision.parse(name).bits - 1)
    assert (int(codes.min()), int(codes.max())) == (-half, half - 1)
    assert not hasattr(model.config, "quantization_config")


def test_adapter_is_merged_before(made: Made, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    model = load_model(made["source"], torch.float32)
    torch.manual_seed(0)
    adapted = get_peft_model(
        model, LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    )
    adapted.save_pretrained(tmp_path / "adapter")
    save_model(adapted.merge_and_unload(), load_tokenizer(made["source"]), tmp_path / "merged")

    through = quantize(made, "gptq4", tmp_path / "through", tmp_path / "adapter")
    merged = dict(made, source=tmp_path / "merged")
    alone = quantize(merged, "gptq4", tmp_path / "alone")
    assert sha256(through / "model.safetensors") == sha256(alone / "model.safetensors")
    assert sha256(through / "model.safetensors") != sha256(made["gptq4"] / "model.safetensors")


def test_words_by_hand(tmp_path: Path) -> None:
    """32 codes of 3 bits in three words: the 11th and the 22nd code lie across two of them."""
    codes = [(3 * place + 1) % 8 for place in range(32)]

    def words(numbers: list[int]) -> Tensor:
        stream = sum(number << 3 * place for place, number in enumerate(numbers))
        unsigned = [(stream >> 32 * word) & 0xFFFFFFFF for word in range(3)]
        return torch.tensor([word - 2**32 * (word >= 2**31) for word in unsigned]).int()

    save_file(
        {
            "x.qweight": words(codes)[:, None].repeat(1, 32),
            "x.qzeros": words([3] * 32)[None],  # zero point 4, stored less 1
            "x.scales": torch.full((1, 32), 0.5, dtype=torch.float16),
            "x.g_idx": torch.zeros(32, dtype=torch.int32),
        },
        tmp_path / "model.safetensors",
    )
    quantization = {"quant_method": "gptq", "bits": 3, "checkpoint_format": "gptq"}
    write_json(tmp_path / "config.json", {"quantization_config": quantization})

    matrix = read(tmp_path, "x")

    assert matrix.codes.tolist() == [[code - 4 for code in codes]] * 32
    assert matrix.dense()[0].tolist() == [(code - 4) / 2 for code in codes]


@pytest.fixture
def copy(made: Made, tmp_path: Path) -> Path:
    """A folder that a test may spoil."""
    return Path(shutil.copytree(made["gptq3g32"], tmp_path / "copy"))


@pytest.mark.parametrize("part", ["g_idx", "qzeros"])
def test_other_packings_are_refused(copy: Path, part: str) -> None:
    tensors = load_file(copy / "model.safetensors")
    tensors[f"{DOWN}.{part}"] = tensors[f"{DOWN}.{part}"].flip(0) ^ 1
    save_file(tensors, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(InputError, match=f"{DOWN} is asymmetric or reordered"):
        read(copy, DOWN)


@pytest.mark.parametrize("name", ["gptq4g32", "gptq3g64"])
def test_other_precisions_are_refused(made: Made, name: str) -> None:
    with pytest.raises(InputError, match=f"3 bits in groups of 32; quantize to {name}"):
        read(made["gptq3g32"], DOWN, name)


def test_generates_with_the_settings_of_the_folder(copy: Path) -> None:
    """Without its generation_config.json a model trained without a cache would generate so too."""
    write_json(copy / "config.json", read_json(copy / "config.json") | {"use_cache": False})
    settings = {"use_cache": True, "eos_token_id": 7, "pad_token_id": 3}
    write_json(copy / "generation_config.json", settings)
    loaded = load_for_evaluation(copy, "gptq3g32")[0].generation_config
    assert loaded is not None
    assert {name: getattr(loaded, name) for name in settings} == settings


def test_runs_with_an_attention_that_is_there(copy: Path) -> None:
    """Whatever config.json wants, which is that of the checkpoint that was quantized."""
    wanted = {"_attn_implementation": "flash_attention_2"}
    write_json(copy / "config.json", read_json(copy / "config.json") | wanted)
    assert load_for_evaluation(copy, "gptq3g32")[0].config._attn_implementation == "sdpa"


def test_the_script_refuses_in_a_line_and_leaves_nothing(made: Made, tmp_path: Path) -> None:
    place = ("--source", made["source"], "--output", tmp_path / "out")
    told = run_script("quantize.py", *place, "--precision", "gptq4", code=2).stderr
    assert told == "error: precision 'gptq4' calibrates on texts; give --corpus\n"
    assert list(tmp_path.iterdir()) == []


def test_diverged_source_has_nothing_to_quantize(made: Made, tmp_path: Path) -> None:
    write_json(tmp_path / "source/manifest.json", {"status": "diverged", "outputs": {}})
    place = ("--source", tmp_path / "source", "--output", tmp_path / "out")
    run_script("quantize.py", *place, "--precision", "gptq4", "--corpus", made["corpus"])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["manifest.json"]
    manifest = read_json(tmp_path / "out/manifest.json")
    assert (manifest["status"], manifest["settings"]["name"]) == ("diverged", "gptq4")
