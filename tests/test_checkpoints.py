"""Checkpoint folders: what is refused, and that a merged adapter is what the algebra says."""

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
from tiny_models import same, tiny_llama, tiny_tokenizer
from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from qunlearn.models.checkpoints import (
    check_checkpoint,
    load_dense,
    load_model,
    load_tokenizer,
    save_model,
    tensor_files,
)
from qunlearn.models.updates import quantized_layers
from qunlearn.run.errors import InputError

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
STATE = dict(tiny_llama().state_dict())


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("saved")
    save_model(tiny_llama(), tiny_tokenizer(), folder)
    return folder


@pytest.fixture
def checkpoint(saved: Path, tmp_path: Path) -> Path:
    """A good checkpoint to spoil."""
    return Path(shutil.copytree(saved, tmp_path / "checkpoint"))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """LoRA of rank 4, alpha 8, with B away from zero."""
    folder = tmp_path_factory.mktemp("adapter")
    settings = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False)
    get_peft_model(tiny_llama(), settings).save_pretrained(folder)
    return folder


def in_shards(checkpoint: Path) -> None:
    (checkpoint / WEIGHTS).unlink()
    tiny_llama().save_pretrained(checkpoint, max_shard_size="50KB")


def change(file: Path, **values: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def change_weights(checkpoint: Path, edit: Callable[[dict[str, torch.Tensor]], Any]) -> None:
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
    change_weights(checkpoint, lambda tensors: tensors.pop(absent))
    with pytest.raises(InputError, match=f"checkpoint: .* lacks 1 tensors, .* {absent};"):
        load_model(checkpoint, torch.float32)
    change_weights(checkpoint, lambda tensors: tensors.update({absent: STATE[absent]}))
    for name in (more, "model.layers.2.mlp.up_proj.weight"):
        change_weights(checkpoint, lambda tensors, name=name: tensors.update({name: torch.ones(9)}))
    with pytest.raises(InputError, match=f"has no place for 2 tensors, .* {more};"):
        load_model(checkpoint, torch.float32)


def test_buffers_of_older_versions_and_a_tied_head_have_their_place(checkpoint: Path) -> None:
    change(checkpoint / "config.json", tie_word_embeddings=True)

    def edit(tensors: dict[str, torch.Tensor]) -> None:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()
        tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)

    change_weights(checkpoint, edit)
    model = load_model(checkpoint, torch.float32)
    assert torch.equal(model.lm_head.weight, STATE["model.embed_tokens.weight"])


def test_of_two_sets_of_weights_the_whole_one_is_read(checkpoint: Path) -> None:
    """As transformers does; an index that names another set is left alone."""
    (checkpoint / INDEX).write_text(json.dumps({"weight_map": {"x": "absent.safetensors"}}))
    check_checkpoint(checkpoint)
    assert set(tensor_files(checkpoint).values()) == {checkpoint / WEIGHTS}
    assert same(dict(load_model(checkpoint, torch.float32).state_dict()), STATE)


def test_models_run_with_an_attention_that_is_there(checkpoint: Path) -> None:
    """Whatever their config.json wants, under either name of the key."""
    for key in ("_attn_implementation", "attn_implementation"):
        change(checkpoint / "config.json", **{key: "flash_attention_2"})
        model = load_model(checkpoint, torch.float32)
        assert model.config._attn_implementation == "sdpa"
        assert same(dict(model.state_dict()), STATE)
        assert len(quantized_layers(checkpoint)) == 2 * 7


@pytest.mark.parametrize(
    ("kind", "named"),
    [("qwen2", "Qwen2Tokenizer"), ("llama", "GPT2Tokenizer")],
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
    change(checkpoint / "config.json", model_type=kind)
    change(checkpoint / "tokenizer_config.json", tokenizer_class=named)

    own = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    loaded = load_tokenizer(checkpoint)
    assert [loaded(text).input_ids for text in texts] == [own.encode(text).ids for text in texts]
    assert loaded.eos_token == "</s>"


def test_merge_is_the_algebra_in_float32(checkpoint: Path, adapter: Path) -> None:
    merged = load_dense(adapter, checkpoint).state_dict()
    factors = load_file(adapter / "adapter_model.safetensors")
    assert merged.keys() == STATE.keys()
    for name, weight in STATE.items():
        path = f"base_model.model.{name.removesuffix('.weight')}"
        if f"{path}.lora_A.weight" in factors:
            left, right = factors[f"{path}.lora_B.weight"], factors[f"{path}.lora_A.weight"]
            update = (8 / 4) * left @ right
            assert float(update.norm()) > 0
            assert torch.allclose(merged[name], weight + update, atol=1e-6, rtol=0)
        else:
            assert torch.equal(merged[name], weight)
    assert len(factors) == 2 * 2 * 7
    assert {value.dtype for value in merged.values()} == {torch.float32}


def test_adapter_without_base_or_weights(adapter: Path, checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="give the checkpoint it belongs to as base"):
        load_dense(adapter)
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"no adapter_model\.safetensors"):
        load_dense(tmp_path, checkpoint)
