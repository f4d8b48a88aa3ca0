"""Updates read from safetensors: of checkpoints whole and in shards, and of adapters."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from survival_models import nudge, save, small_llama
from tiny_models import tiny_tokenizer, wake

from qunlearn.models.checkpoints import load_dense
from qunlearn.models.updates import Update, quantizable_layers, update_norm, updates
from qunlearn.run.errors import InputError

SIZE = 0.01


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(small_llama(), tmp_path_factory.mktemp("target"))


@pytest.fixture(scope="module")
def unlearned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(nudge(small_llama(), SIZE), tmp_path_factory.mktemp("unlearned"))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """On the MLPs alone: attention is untouched."""
    folder = tmp_path_factory.mktemp("adapter")
    config = LoraConfig(r=4, lora_alpha=6, target_modules=["up_proj", "gate_proj", "down_proj"])
    adapted = get_peft_model(small_llama(), config)
    wake(adapted)
    adapted.save_pretrained(folder)
    return folder


def test_weights_updates_and_their_norm(target: Path, unlearned: Path) -> None:
    before = quantizable_layers(small_llama())
    after = quantizable_layers(nudge(small_llama(), SIZE))
    found = list(updates(target, unlearned))
    assert [update.name for update in found] == list(before)
    for update in found:
        weight, changed = before[update.name].weight, after[update.name].weight
        assert torch.equal(update.weight, weight)
        assert torch.equal(update.delta, changed - weight)
        assert torch.allclose(update.weight + update.delta, changed, rtol=1e-6)
    assert (found[7].layer, found[7].module) == (1, "q_proj")
    whole = torch.cat([update.delta.double().view(-1) for update in found])
    assert update_norm(target, unlearned) == pytest.approx(float(whole.norm()))
    assert update_norm(target, target) == 0


def test_shards_and_bf16_are_read_alike(target: Path, tmp_path: Path) -> None:
    model = nudge(small_llama(), SIZE).bfloat16()
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    tiny_tokenizer().save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    for update in updates(target, tmp_path):
        rounded = model.get_submodule(update.name).weight
        assert torch.equal(update.delta, rounded.float() - update.weight)


def test_adapter_is_what_merging_adds(target: Path, adapter: Path) -> None:
    merged = quantizable_layers(load_dense(adapter, target))

    for update in updates(target, adapter):
        assert torch.equal(update.weight + update.delta, merged[update.name].weight)
        assert bool(update.delta.any()) == ("mlp" in update.name)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"use_rslora": True}, "use_rslora is not supported"),
        ({"rank_pattern": {"up_proj": 8}}, "rank_pattern is not supported"),
        ({"peft_type": "LOHA"}, "peft_type is not LORA"),
    ],
)
def test_other_adapters_are_refused(
    target: Path, adapter: Path, tmp_path: Path, change: dict[str, object], complaint: str
) -> None:
    copy = Path(shutil.copytree(adapter, tmp_path / "copy"))
    config = json.loads((copy / "adapter_config.json").read_text())
    (copy / "adapter_config.json").write_text(json.dumps(config | change))
    with pytest.raises(InputError, match=complaint):
        updates(target, copy)


def test_adapter_of_another_model_is_refused(target: Path, adapter: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(adapter, tmp_path / "copy"))
    weights = copy / "adapter_model.safetensors"
    tensors = load_file(weights)
    save_file({name.replace("mlp", "ffn"): tensor for name, tensor in tensors.items()}, weights)
    with pytest.raises(InputError, match="touches no matrix of the target"):
        updates(target, copy)
    save_file({name: tensor[..., :5].contiguous() for name, tensor in tensors.items()}, weights)
    with pytest.raises(InputError, match=r"gate_proj is \[64, 5\], the target's is \[64, 32\]"):
        update_norm(target, copy)


KEY = "model.layers.1.mlp.up_proj.weight"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda tensors: tensors.pop(KEY), rf"no tensor {KEY}"),
        (lambda tensors: tensors.update({KEY: tensors[KEY][:7]}), r"up_proj is \[7, 32\], the tar"),
        (lambda tensors: tensors.update({KEY: tensors[KEY].to(torch.int8)}), "quantized already"),
    ],
)
def test_bad_checkpoints_are_named_when_their_matrix_is_read(
    target: Path, unlearned: Path, tmp_path: Path, change: Callable[[Any], Any], complaint: str
) -> None:
    copy = Path(shutil.copytree(unlearned, tmp_path / "copy"))
    tensors = load_file(copy / "model.safetensors")
    change(tensors)
    save_file(tensors, copy / "model.safetensors")
    found = updates(target, copy)
    assert isinstance(next(found), Update)  # of the first layer, before the fault is met
    with pytest.raises(InputError, match=complaint):
        list(found)
