"""The auto-gptq backend, with a stand-in for the package, which cannot be installed beside ours."""

import sys
from importlib.machinery import ModuleSpec
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
from qunlearn.quantize.method import Precision, method_of
from qunlearn.quantize.methods import gptq
from qunlearn.quantize.methods.gptq import older_config
from qunlearn.run.errors import InputError
from qunlearn.run.files import read_json

Noted = dict[str, Any]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_corpus(tmp_path_factory.mktemp("autogptq") / "corpus")


@pytest.fixture(scope="module")
def source(corpus: Path) -> Path:
    return make_model(corpus.parent / "source", corpus)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> Noted:
    """A package auto_gptq that notes its arguments; there is CUDA, too."""
    noted: Noted = {}

    class Model:
        def quantize(self, examples: list[dict[str, list[int]]], **options: Any) -> None:
            noted["examples"], noted["options"] = examples, options

        def save_quantized(self, save_dir: str, use_safetensors: bool) -> None:
            folder = Path(save_dir)
            folder.mkdir()
            name = f"{noted['config'].model_file_base_name}.safetensors"
            save_file({"w": torch.ones(2)}, folder / name)
            for other in ("config.json", "quantize_config.json"):
                (folder / other).write_text("the package's own")

    def from_pretrained(folder: str, config: Any, **options: Any) -> Model:
        noted["config"], noted["loading"] = config, options
        noted["tensors"] = load_file(Path(folder) / "model.safetensors")
        noted["model_config"] = read_json(Path(folder) / "config.json")
        noted["files"] = {path.name for path in Path(folder).iterdir()}
        return Model()

    module: Any = ModuleType("auto_gptq")
    module.__spec__ = ModuleSpec("auto_gptq", None)
    module.AutoGPTQForCausalLM = SimpleNamespace(from_pretrained=from_pretrained)
    module.BaseQuantizeConfig = SimpleNamespace
    monkeypatch.setitem(sys.modules, "auto_gptq", module)
    monkeypatch.setattr(gptq, "version", lambda package: "0.7.1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    return noted


def quantize(source: Path, base: Path | None, corpus: Path, output: Path) -> Noted:
    output.mkdir()
    wanted = Precision.parse("autogptq3g64")
    return method_of(wanted).write(source, base, wanted, output, Texts(corpus, CALIBRATION))


def test_what_the_package_gets_and_what_of_it_is_kept(
    corpus: Path, source: Path, tmp_path: Path, installed: Noted
) -> None:
    """A config of transformers 4, the settings as published, and weights merged in float32, with no
    trace of peft; its weights and nothing else."""
    lora = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(load_model(source, torch.float32), lora).save_pretrained(tmp_path / "adapter")
    facts = quantize(tmp_path / "adapter", source, corpus, tmp_path / "out")

    expected = load_dense(tmp_path / "adapter", source).state_dict()
    assert installed["tensors"].keys() == expected.keys()
    for name, value in installed["tensors"].items():
        assert value.dtype == torch.float32
        assert torch.allclose(value, expected[name], rtol=1e-6, atol=1e-7), name
    plain = {"damp_percent": 0.01, "desc_act": False, "sym": True}
    sizes = {"bits": 3, "group_size": 64, "model_file_base_name": "model"}
    assert vars(installed["config"]) == plain | sizes
    assert installed["loading"] == {"torch_dtype": torch.float32, "local_files_only": True}
    assert installed["options"] == {"batch_size": 1, "use_cuda_fp16": False}
    assert installed["examples"] == [
        {"input_ids": window, "attention_mask": [1] * 64} for window in drawn(corpus, source)
    ]
    assert installed["files"] == {"config.json", "model.safetensors"}
    assert facts["backend"] == {"name": "auto-gptq", "version": "0.7.1"}
    config = read_json(source / "config.json")
    expected = config | {"rope_theta": config["rope_parameters"]["rope_theta"]}
    del expected["rope_parameters"], expected["dtype"]
    assert installed["model_config"] == expected

    names = {path.name for path in source.iterdir()} | {"quantize_config.json"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    assert load_file(tmp_path / "out/model.safetensors").keys() == {"w"}
    written = read_json(tmp_path / "out/config.json")
    quantization = written.pop("quantization_config")
    assert written == config
    assert quantization == read_json(tmp_path / "out/quantize_config.json")
    assert (quantization["bits"], quantization["group_size"]) == (3, 64)
    assert quantization["meta"] == {"quantizer": ["auto-gptq:0.7.1"]}


def test_scaled_rotary_embeddings_are_refused() -> None:
    attention = {"_attn_implementation": "flash_attention_2"}
    assert older_config({"rope_theta": 5.0, "x": 1, **attention}) == {"rope_theta": 5.0, "x": 1}
    scaled = {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0}}
    with pytest.raises(InputError, match=r"rope_type 'llama3' .*use gptq4, "):
        older_config(scaled)
    with pytest.raises(InputError, match="rope_type"):
        older_config({"rope_scaling": {"type": "linear", "factor": 2.0}})


def test_without_cuda_or_the_package_it_is_one_line(
    corpus: Path, source: Path, tmp_path: Path, installed: Noted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError, match="CUDA; use gptq4"):
        quantize(source, None, corpus, tmp_path / "out")
    monkeypatch.delitem(sys.modules, "auto_gptq")
    with pytest.raises(InputError, match=r"needs auto-gptq \(envs/autogptq.yaml\) and CUDA"):
        quantize(source, None, corpus, tmp_path / "without")
    assert installed == {} and list((tmp_path / "out").iterdir()) == []
