"""Updates read from safetensors: of checkpoints whole and in shards, and of adapters."""

import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from survival_models import nudge, save, small_llama
from tiny_models import tiny_tokenizer, wake
from torch import Tensor
from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

from qunlearn.models.checkpoints import load_dense, save_model
from qunlearn.models.layers import quantizable_layers
from qunlearn.models.updates import Update, update_norm, updates
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


def deltas(target: Path, model: Path) -> dict[str, Tensor]:
    return {update.name: update.delta for update in updates(target, model)}


def edited(folder: Path, copy: Path, **changes: object) -> Path:
    """A copy of an adapter with some keys of its configuration changed."""
    copy.mkdir()
    config = json.loads((folder / "adapter_config.json").read_text())
    (copy / "adapter_config.json").write_text(json.dumps(config | changes))
    name = "adapter_model.safetensors"
    (copy / name).write_bytes((folder / name).read_bytes())
    return copy


def test_weights_and_update_of_a_checkpoint(target: Path, unlearned: Path) -> None:
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


def test_norm_is_of_all_matrices_together(target: Path, unlearned: Path) -> None:
    after = quantizable_layers(nudge(small_llama(), SIZE))
    differences = [
        (after[name].weight - layer.weight).detach().double().view(-1)
        for name, layer in quantizable_layers(small_llama()).items()
    ]
    assert update_norm(target, unlearned) == pytest.approx(float(torch.cat(differences).norm()))
    assert update_norm(target, target) == 0


def test_shards_and_bf16_are_read_alike(target: Path, tmp_path: Path) -> None:
    model = nudge(small_llama(), SIZE).bfloat16()
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    tiny_tokenizer().save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 2

    found = list(updates(target, tmp_path))

    for update in found:
        rounded = model.get_submodule(update.name).weight
        assert torch.equal(update.delta, rounded.float() - update.weight)
        assert update.delta.dtype == torch.float32


def test_adapter_is_what_merging_adds(target: Path, adapter: Path) -> None:
    merged = quantizable_layers(load_dense(adapter, target))

    for update in updates(target, adapter):
        assert torch.equal(update.weight + update.delta, merged[update.name].weight)
        assert bool(update.delta.any()) == ("mlp" in update.name)


def test_names_come_from_the_model(tmp_path: Path) -> None:
    """Nothing here is called as in a Llama, and layers stand under another path."""
    torch.manual_seed(0)
    config = GPTNeoXConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        vocab_size=320,
    )
    save_model(GPTNeoXForCausalLM(config), tiny_tokenizer(), tmp_path)

    found = [(update.layer, update.module) for update in updates(tmp_path, tmp_path)]

    modules = ("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h")
    assert found == [(layer, module) for layer in (0, 1) for module in modules]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"use_rslora": True}, "use_rslora is not supported"),
        ({"use_dora": True}, "use_dora is not supported"),
        ({"rank_pattern": {"up_proj": 8}}, "rank_pattern is not supported"),
        ({"alpha_pattern": {"up_proj": 8}}, "alpha_pattern is not supported"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save is not supported"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out is not supported"),
        ({"peft_type": "LOHA"}, "peft_type is not LORA"),
        ({"r": None}, "r or lora_alpha is not a number"),
    ],
)
def test_other_adapters_are_refused(
    target: Path, adapter: Path, tmp_path: Path, changes: dict[str, object], complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        updates(target, edited(adapter, tmp_path / "copy", **changes))


def test_adapter_of_another_model_is_refused(target: Path, adapter: Path, tmp_path: Path) -> None:
    copy = edited(adapter, tmp_path / "copy")
    weights = copy / "adapter_model.safetensors"
    tensors = load_file(weights)
    save_file({name.replace("mlp", "ffn"): tensor for name, tensor in tensors.items()}, weights)
    with pytest.raises(InputError, match="touches no matrix of the target"):
        updates(target, copy)

    cut = {name: tensor[..., :5].contiguous() for name, tensor in tensors.items()}
    save_file(cut, weights)
    with pytest.raises(InputError, match=r"gate_proj is \[64, 5\], the target's is \[64, 32\]"):
        update_norm(target, copy)

    weights.unlink()
    with pytest.raises(InputError, match="adapter without adapter_model"):
        updates(target, copy)


def broken(change: str, source: Path, folder: Path) -> Path:
    folder.mkdir()
    for path in source.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    weights = folder / "model.safetensors"
    tensors = load_file(weights)
    key = "model.layers.1.mlp.up_proj.weight"
    if change == "absent":
        del tensors[key]
    elif change == "shape":
        tensors[key] = tensors[key][:7]
    elif change == "codes":
        tensors[key] = tensors[key].to(torch.int8)
    save_file(tensors, weights)
    if change == "cut":
        weights.write_bytes(weights.read_bytes()[:100])
    return folder


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("absent", r"no tensor model\.layers\.1\.mlp\.up_proj\.weight"),
        ("shape", r"up_proj is \[7, 32\], the target's is \[64, 32\]"),
        ("codes", "up_proj.weight is quantized already"),
        ("cut", "100 bytes, which end within its header; copy it again"),
    ],
)
def test_bad_checkpoints_are_told(
    target: Path, unlearned: Path, tmp_path: Path, change: str, complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        update_norm(target, broken(change, unlearned, tmp_path / "copy"))


def test_only_the_asked_matrix_is_read(target: Path, unlearned: Path, tmp_path: Path) -> None:
    """The first updates come before a fault in the second layer is met."""
    found = updates(target, broken("absent", unlearned, tmp_path / "copy"))
    assert isinstance(next(found), Update)
