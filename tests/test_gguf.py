"""GGUF files: the weights in them, what is said of them, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from small_gguf import CONTEXT, HEADS, HIDDEN, KV_HEADS, LAYERS, MLP, TOKENS, weights, write_gguf
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from qunlearn.models import gguf
from qunlearn.models.checkpoints import check_checkpoint, load_model, load_tokenizer
from qunlearn.models.fetching import fetch, read_shape
from qunlearn.models.sources import Source
from qunlearn.run.errors import InputError


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.Q4_1.gguf", weights())


@pytest.fixture(scope="module")
def fetched(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fetched") / "base"
    fetch(Source("gguf", str(file)), folder)
    return folder


def q4_1(array: np.ndarray) -> np.ndarray:
    """Blocks of 32: sixteen points from the block's minimum to its maximum, scales in float16."""
    blocks = array.reshape(-1, 32)
    low = blocks.min(axis=1, keepdims=True)
    step = (blocks.max(axis=1, keepdims=True) - low) / np.float32(15)
    codes = np.clip(np.trunc((blocks - low) / step + np.float32(0.5)), 0, 15)
    scale, least = (part.astype(np.float16).astype(np.float32) for part in (step, low))
    return (codes * scale + least).reshape(array.shape)


def interleaved(array: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp rotates pairs of neighbours, transformers the two halves: a row's new place."""
    halves = array.reshape(heads, array.shape[0] // heads // 2, 2, *array.shape[1:])
    return halves.swapaxes(1, 2).reshape(array.shape)


def test_weights_are_those_of_the_file(fetched: Path) -> None:
    state = load_model(fetched, torch.float32).state_dict()
    arrays = weights()
    for ours, theirs, heads in (
        ("model.layers.1.mlp.down_proj", "blk.1.ffn_down", 0),
        ("model.layers.0.self_attn.v_proj", "blk.0.attn_v", 0),
        ("model.layers.0.self_attn.q_proj", "blk.0.attn_q", HEADS),
        ("model.layers.1.self_attn.k_proj", "blk.1.attn_k", KV_HEADS),
        ("model.embed_tokens", "token_embd", 0),
    ):
        expected = q4_1(arrays[f"{theirs}.weight"])
        if heads:
            expected = interleaved(expected, heads)
        found = state[f"{ours}.weight"].numpy()
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, atol=1e-6, rtol=0, err_msg=ours)
        assert not np.allclose(found, arrays[f"{theirs}.weight"], atol=1e-3)  # it was quantized
    np.testing.assert_array_equal(state["model.norm.weight"], arrays["output_norm.weight"])
    assert torch.equal(state["lm_head.weight"], state["model.embed_tokens.weight"])
    weight = state["model.layers.0.mlp.up_proj.weight"]  # which would not survive bf16
    assert not torch.equal(weight.bfloat16().float(), weight)


def test_the_folder_is_an_ordinary_checkpoint(fetched: Path, file: Path) -> None:
    check_checkpoint(fetched)
    config = json.loads((fetched / "config.json").read_text(encoding="utf-8"))
    assert (config["num_hidden_layers"], config["intermediate_size"]) == (LAYERS, MLP)
    assert "quantization_config" not in config
    tokenizer = load_tokenizer(fetched)
    assert tokenizer.convert_ids_to_tokens(tokenizer.encode("abcdab")) == ["abcd", "ab"]
    manifest = json.loads((fetched / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["settings"]["source"] == f"gguf:{file.name}"
    assert str(file.parent) not in json.dumps(manifest)
    shape = read_shape(Source("gguf", str(file)))  # known without the weights
    assert shape == read_shape(Source("folder", str(fetched)))
    assert (shape.hidden, shape.kv_heads, shape.context) == (HIDDEN, KV_HEADS, CONTEXT)
    assert (shape.vocabulary, shape.tied) == (len(TOKENS), True)


def test_nothing_of_a_tokenizer_that_is_replaced_stays(file: Path, tmp_path: Path) -> None:
    words = Tokenizer(models.WordLevel({"one": 0, "two": 1}, unk_token="one"))
    PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(tmp_path / "words")
    tokenizer = Source("folder", str(tmp_path / "words"))
    fetch(Source("gguf", str(file)), tmp_path / "base", tokenizer)
    assert load_tokenizer(tmp_path / "base").encode("two") == [1]
    assert not (tmp_path / "base/chat_template.jinja").exists()


@pytest.mark.parametrize("name", ["blk.0.attn_q.bias", "rope_freqs.weight"])
def test_a_tensor_that_transformers_leaves_out_is_refused(tmp_path: Path, name: str) -> None:
    arrays = weights() | {name: np.ones(HIDDEN, np.float32)}
    file = write_gguf(tmp_path / "more.gguf", arrays)
    with pytest.raises(InputError, match=rf"more\.gguf: {name} is not in both"):
        gguf.dequantize(file, tmp_path)


def test_a_weight_that_is_not_finite(tmp_path: Path) -> None:
    arrays = weights()
    arrays["output_norm.weight"][3] = np.nan
    file = write_gguf(tmp_path / "nan.gguf", arrays)
    with pytest.raises(InputError, match=f"^gguf:{file}: model.norm.weight has weights that are"):
        fetch(Source("gguf", str(file)), tmp_path / "base")
    assert not (tmp_path / "base").exists()
