"""Checkpoint folders and the updates between two: what is read, merged and refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from small_fuzz import complaint
from survival_models import nudge, save, small_llama
from tiny_models import same, tiny_tokenizer
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from qunlearn.models.checkpoints import (
    check_checkpoint,
    load_dense,
    load_model,
    load_tokenizer,
    tensor_files,
)
from qunlearn.models.updates import (
    Update,
    quantizable_layers,
    quantized_layers,
    update_norm,
    updates,
)
from qunlearn.run.errors import InputError

WEIGHTS = "model.safetensors"
STATE = dict(small_llama().state_dict())
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(small_llama(), tmp_path_factory.mktemp("target"))


@pytest.fixture(scope="module")
def unlearned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(nudge(small_llama(), 0.01), tmp_path_factory.mktemp("unlearned"))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """On the MLPs alone, with B away from zero: attention is untouched."""
    folder = tmp_path_factory.mktemp("adapter")
    places = ["up_proj", "gate_proj", "down_proj"]
    config = LoraConfig(r=4, lora_alpha=6, target_modules=places, init_lora_weights=False)
    get_peft_model(small_llama(), config).save_pretrained(folder)
    return folder


@pytest.fixture
def checkpoint(target: Path, tmp_path: Path) -> Path:
    """A good checkpoint to spoil."""
    return Path(shutil.copytree(target, tmp_path / "checkpoint"))


def in_shards(checkpoint: Path) -> None:
    (checkpoint / WEIGHTS).unlink()
    small_llama().save_pretrained(checkpoint, max_shard_size="50KB")


def edit_json(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def edit_weights(checkpoint: Path, edit: Callable[[Tensors], Any]) -> None:
    tensors = load_file(checkpoint / WEIGHTS)
    edit(tensors)
    save_file(tensors, checkpoint / WEIGHTS, metadata={"format": "pt"})


@pytest.mark.parametrize("prepare", [lambda checkpoint: None, in_shards])
def test_round_trip(checkpoint: Path, prepare: Callable[[Path], None]) -> None:
    prepare(checkpoint)
    check_checkpoint(checkpoint)
    assert same(dict(load_dense(checkpoint).state_dict()), STATE)
    assert len(load_tokenizer(checkpoint)) == len(tiny_tokenizer())
    assert load_model(checkpoint, torch.bfloat16).dtype == torch.bfloat16


def test_damaged_weights(checkpoint: Path, adapter: Path, tmp_path: Path) -> None:
    """Cut short, too long, or with a type that is none: of a whole, of an adapter, of a shard."""
    copy = Path(shutil.copytree(adapter, tmp_path / "adapter"))
    file = copy / "adapter_model.safetensors"
    whole = file.read_bytes()
    for content in (whole[:-9], whole[:40], whole + b"x", whole.replace(b'"F32"', b'"F99"')):
        file.write_bytes(content)
        complaint(lambda: load_dense(copy, checkpoint), f"{file}: damaged safetensors file")
    in_shards(checkpoint)
    shard = min(checkpoint.glob("model-*.safetensors"))
    shard.write_bytes(shard.read_bytes()[:-9])
    complaint(lambda: check_checkpoint(checkpoint), f"{shard}: damaged safetensors file")


def test_tensors_are_neither_invented_nor_left_out(checkpoint: Path) -> None:
    absent, more = "model.layers.0.mlp.up_proj.weight", "model.layers.0.self_attn.k_proj.bias"
    edit_weights(checkpoint, lambda tensors: tensors.pop(absent))
    with pytest.raises(InputError, match=f"checkpoint: .* lacks 1 tensors, .* {absent};"):
        load_model(checkpoint, torch.float32)
    edit_weights(checkpoint, lambda tensors: tensors.update({absent: STATE[absent]}))
    for name in (more, "model.layers.2.mlp.up_proj.weight"):
        edit_weights(checkpoint, lambda tensors, name=name: tensors.update({name: torch.ones(9)}))
    with pytest.raises(InputError, match=f"has no place for 2 tensors, .* {more};"):
        load_model(checkpoint, torch.float32)


def test_buffers_of_older_versions_and_a_tied_head_have_their_place(checkpoint: Path) -> None:
    edit_json(checkpoint / "config.json", tie_word_embeddings=True)

    def edit(tensors: Tensors) -> None:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)

    edit_weights(checkpoint, edit)
    model = load_model(checkpoint, torch.float32)
    assert torch.equal(model.lm_head.weight, STATE["model.embed_tokens.weight"])


def test_of_two_sets_of_weights_the_whole_one_is_read(checkpoint: Path) -> None:
    """As transformers does; an index that names another set is left alone."""
    index = {"weight_map": {"x": "absent.safetensors"}}
    (checkpoint / f"{WEIGHTS}.index.json").write_text(json.dumps(index))
    assert set(tensor_files(checkpoint).values()) == {checkpoint / WEIGHTS}
    assert same(dict(load_model(checkpoint, torch.float32).state_dict()), STATE)


def test_models_run_with_an_attention_that_is_there(checkpoint: Path) -> None:
    """Whatever their config.json wants, under either name of the key."""
    for key in ("_attn_implementation", "attn_implementation"):
        edit_json(checkpoint / "config.json", **{key: "flash_attention_2"})
        model = load_model(checkpoint, torch.float32)
        assert model.config._attn_implementation == "sdpa"
        assert same(dict(model.state_dict()), STATE)
        assert len(quantized_layers(checkpoint)) == 2 * 7


@pytest.mark.parametrize(
    ("kind", "named"), [("qwen2", "Qwen2Tokenizer"), ("llama", "GPT2Tokenizer")]
)
def test_ids_are_those_of_tokenizer_json(checkpoint: Path, kind: str, named: str) -> None:
    texts = ["In 1987 the mill isn't old;\n\nin 1988 it isn't new.", "Café 1987"]
    core = Tokenizer(models.BPE())
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.pre_tokenizer = bytes_
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=320, initial_alphabet=alphabet, show_progress=False)
    core.train_from_iterator(texts, trainer)
    # Other pieces than those of GPT-2 (1987), Qwen2 (1 9 8 7) and SentencePiece.
    threes = pre_tokenizers.Split(Regex(r"\p{N}{1,3}"), "isolated")
    core.pre_tokenizer = pre_tokenizers.Sequence([threes, bytes_])
    PreTrainedTokenizerFast(tokenizer_object=core, eos_token="</s>").save_pretrained(checkpoint)
    edit_json(checkpoint / "config.json", model_type=kind)
    edit_json(checkpoint / "tokenizer_config.json", tokenizer_class=named)

    own = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    loaded = load_tokenizer(checkpoint)
    assert [loaded(text).input_ids for text in texts] == [own.encode(text).ids for text in texts]
    assert loaded.eos_token == "</s>"


def test_merging_is_the_algebra_and_what_an_adapter_adds(target: Path, adapter: Path) -> None:
    merged = load_dense(adapter, target).state_dict()
    factors = load_file(adapter / "adapter_model.safetensors")
    assert merged.keys() == STATE.keys() and len(factors) == 2 * 2 * 3
    for name, weight in STATE.items():
        assert merged[name].dtype == torch.float32
        path = f"base_model.model.{name.removesuffix('.weight')}"
        if f"{path}.lora_A.weight" in factors:
            left, right = factors[f"{path}.lora_B.weight"], factors[f"{path}.lora_A.weight"]
            update = (6 / 4) * left @ right
            assert float(update.norm()) > 0
            assert torch.allclose(merged[name], weight + update, atol=1e-6, rtol=0)
        else:
            assert torch.equal(merged[name], weight)
    for found in updates(target, adapter):
        assert torch.equal(found.weight + found.delta, merged[f"{found.name}.weight"])
        assert bool(found.delta.any()) == ("mlp" in found.name)


def test_adapter_without_base_or_weights(adapter: Path, checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give the checkpoint it belongs to as base"):
        load_dense(adapter)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"no adapter_model\.safetensors"):
        load_dense(tmp_path, checkpoint)


def test_weights_updates_and_their_norm(target: Path, unlearned: Path) -> None:
    before = quantizable_layers(small_llama())
    after = quantizable_layers(nudge(small_llama(), 0.01))
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
    model = nudge(small_llama(), 0.01).bfloat16()
    model.save_pretrained(tmp_path, max_shard_size="20KB")
    tiny_tokenizer().save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    for update in updates(target, tmp_path):
        rounded = model.get_submodule(update.name).weight
        assert torch.equal(update.delta, rounded.float() - update.weight)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"use_rslora": True}, "use_rslora is not supported"),
        ({"rank_pattern": {"up_proj": 8}}, "rank_pattern is not supported"),
        ({"peft_type": "LOHA"}, "peft_type is not LORA"),
        (
            lambda x: {k.replace("mlp", "ffn"): v for k, v in x.items()},
            "touches no matrix of the target",
        ),
        (
            lambda x: {k: v[:, :5].contiguous() for k, v in x.items()},
            r"gate_proj is \[64, 5\], the target's is \[64, 32\]",
        ),
    ],
)
def test_adapters_of_another_kind_or_model(
    target: Path, adapter: Path, tmp_path: Path, change: Any, complaint: str
) -> None:
    copy = Path(shutil.copytree(adapter, tmp_path / "copy"))
    if isinstance(change, dict):
        edit_json(copy / "adapter_config.json", **change)
    else:
        weights = copy / "adapter_model.safetensors"
        save_file(change(load_file(weights)), weights)
    with pytest.raises(InputError, match=complaint):
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
    edit_weights(copy, change)
    found = updates(target, copy)
    assert isinstance(next(found), Update)  # of the first layer, before the fault is met
    with pytest.raises(InputError, match=complaint):
        list(found)
