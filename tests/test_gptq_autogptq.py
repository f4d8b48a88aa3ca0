"""The auto-gptq backend, with a stand-in for the package, which cannot be installed beside ours."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from gptq_models import CALIBRATION, drawn, make_corpus, make_model
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from qunlearn.models.checkpoints import load_dense, load_model
from qunlearn.quantize.calibration import Texts
from qunlearn.quantize.checkpoint import quantize_checkpoint
from qunlearn.quantize.method import Precision
from qunlearn.quantize.methods import gptq, gptq_auto
from qunlearn.quantize.methods.gptq_auto import merged_tensors, older_config, older_tokenizer
from qunlearn.run.errors import InputError


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("autogptq") / "corpus")


@pytest.fixture(scope="module")
def source(corpus: Path) -> Path:
    return make_model(corpus.parent / "source", corpus)


@pytest.fixture(scope="module")
def adapter(source: Path) -> Path:
    torch.manual_seed(0)
    settings = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    folder = source.parent / "adapter"
    get_peft_model(load_model(source, torch.float32), settings).save_pretrained(folder)
    return folder


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """A package auto_gptq that notes what it is told; there is CUDA, too."""
    told: dict[str, Any] = {}

    class Model:
        def quantize(self, examples: list[dict[str, list[int]]], **options: Any) -> None:
            told["examples"], told["options"] = examples, options

        def save_quantized(self, save_dir: str, use_safetensors: bool) -> None:
            folder = Path(save_dir)
            folder.mkdir()
            name = f"{told['config'].model_file_base_name}.safetensors"
            save_file({"w": torch.ones(2)}, folder / name)
            (folder / "config.json").write_text("the package's own")
            (folder / "quantize_config.json").write_text(str(folder))

    def from_pretrained(folder: str, config: Any, **options: Any) -> Model:
        told["config"], told["loading"] = config, options
        told["tensors"] = load_file(Path(folder) / "model.safetensors")
        told["model_config"] = json.loads((Path(folder) / "config.json").read_text())
        told["files"] = sorted(path.name for path in Path(folder).iterdir())
        return Model()

    module = ModuleType("auto_gptq")
    module.AutoGPTQForCausalLM = SimpleNamespace(from_pretrained=from_pretrained)  # type: ignore[attr-defined]
    module.BaseQuantizeConfig = SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "auto_gptq", module)
    for place in (gptq_auto, gptq):
        monkeypatch.setattr(place, "version", lambda package: "0.7.1")
    monkeypatch.setattr(gptq_auto, "has_cuda", lambda: True)
    return told


def quantize(source: Path, base: Path | None, corpus: Path, output: Path) -> dict[str, Any]:
    output.mkdir()
    wanted = Precision.parse("autogptq3g64")
    return quantize_checkpoint(source, base, wanted, output, Texts(corpus, CALIBRATION))


def test_the_right_settings_and_no_texts_are_handed_over(
    corpus: Path, source: Path, tmp_path: Path, installed: dict[str, Any]
) -> None:
    facts = quantize(source, None, corpus, tmp_path / "out")

    assert vars(installed["config"]) == {
        "bits": 3,
        "group_size": 64,
        "damp_percent": 0.01,
        "desc_act": False,
        "sym": True,
        "model_file_base_name": "model",
    }
    assert installed["loading"] == {"torch_dtype": torch.float32, "local_files_only": True}
    assert installed["options"] == {"batch_size": 1, "use_cuda_fp16": False}
    assert installed["examples"] == [
        {"input_ids": window, "attention_mask": [1] * 64} for window in drawn(corpus, source)
    ]
    assert installed["files"] == ["config.json", "model.safetensors"]
    assert facts["backend"] == {"name": "auto-gptq", "version": "0.7.1"}
    assert facts["calibration"]["tokens"] == 24 * 64


def test_folder_has_the_weights_of_the_package_and_the_rest_of_the_source(
    corpus: Path, source: Path, tmp_path: Path, installed: dict[str, Any]
) -> None:
    quantize(source, None, corpus, tmp_path / "out")

    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "quantize_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    config = json.loads((tmp_path / "out/config.json").read_text())
    quantization = config.pop("quantization_config")
    assert config == json.loads((source / "config.json").read_text())
    assert quantization == json.loads((tmp_path / "out/quantize_config.json").read_text())
    assert (quantization["bits"], quantization["group_size"]) == (3, 64)
    assert quantization["meta"] == {"quantizer": ["auto-gptq:0.7.1"]}


def test_config_is_written_as_transformers_4_reads_it(
    corpus: Path, source: Path, tmp_path: Path, installed: dict[str, Any]
) -> None:
    quantize(source, None, corpus, tmp_path / "out")

    ours = json.loads((source / "config.json").read_text())
    theirs = installed["model_config"]
    assert theirs["rope_theta"] == ours["rope_parameters"]["rope_theta"] == 10000.0
    assert not {"rope_parameters", "dtype"} & theirs.keys()
    kept = theirs.keys() & ours.keys()
    assert kept == ours.keys() - {"rope_parameters", "dtype"}
    assert all(theirs[key] == ours[key] for key in kept)


def test_adapter_is_merged_in_float32_without_peft(
    corpus: Path, source: Path, adapter: Path, tmp_path: Path, installed: dict[str, Any]
) -> None:
    quantize(adapter, source, corpus, tmp_path / "out")

    expected = load_dense(adapter, source).state_dict()
    assert installed["tensors"].keys() == expected.keys()
    for name, value in installed["tensors"].items():
        assert value.dtype == torch.float32
        assert torch.allclose(value, expected[name], rtol=1e-6, atol=1e-7), name


def test_adapter_without_its_base_is_refused(adapter: Path) -> None:
    with pytest.raises(InputError, match="a LoRA adapter; give the checkpoint it belongs to"):
        merged_tensors(adapter, None)


def test_scaled_rotary_embeddings_are_refused() -> None:
    assert older_config({"rope_theta": 5.0, "x": 1}) == {"rope_theta": 5.0, "x": 1}
    scaled = {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0}}
    with pytest.raises(InputError, match=r"rope_type 'llama3' .*use gptq4, "):
        older_config(scaled)
    with pytest.raises(InputError, match="cannot be handed"):
        older_config({"rope_scaling": {"type": "linear", "factor": 2.0}})


def test_tokenizer_is_read_without_the_name_of_its_class(source: Path) -> None:
    from qunlearn.models.checkpoints import load_tokenizer

    text = "Wörld, and some more of it."
    assert older_tokenizer(source)(text).input_ids == load_tokenizer(source)(text).input_ids


def test_without_cuda_it_is_one_line(
    corpus: Path,
    source: Path,
    tmp_path: Path,
    installed: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gptq_auto, "has_cuda", lambda: False)

    with pytest.raises(
        InputError,
        match=r"^precision 'autogptq': auto-gptq quantizes on CUDA only, and there is none; use",
    ):
        quantize(source, None, corpus, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
