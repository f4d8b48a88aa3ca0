"""Broken checkpoints at random: refused in one line that names the file."""

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small_configs
from hypothesis import strategies as st
from small_fuzz import as_bytes, complaint, every, nothing_new, write_tree
from test_fuzz_corpus import Damage, apply, no_files, remove

from qunlearn import preflight
from qunlearn.experiment import config, inputs

LLAMA = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
}
NUMBERS = [key for key, value in LLAMA.items() if isinstance(value, int)]
NO_SIZES = [None, "64", "x", [], {}, [64], 0, -64, 1.5, float("nan"), float("inf"), True, 10**30]
TOKENIZER = {
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
    "added_tokens": [
        {"id": 2, "content": "<s>", "special": True}
        | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    ],
}
CHECKPOINT = {
    "config.json": as_bytes(LLAMA),
    "model.safetensors": (2).to_bytes(8, "little") + b"{}",
    "tokenizer.json": as_bytes(TOKENIZER),
}
BAD_JSON = [b"", b"[]", b"null", b"3", b'"a"', b"{", b"[" * 100_000, b'{"a": \xff}', b"{,}"]


@st.composite
def bad_configs(draw: st.DrawFn) -> Damage:
    """A config.json without a size, with one that is none, or of something else than a Llama."""
    changes = draw(
        st.one_of(
            st.tuples(st.sampled_from(NUMBERS), st.sampled_from(NO_SIZES)).filter(
                lambda change: change != ("num_key_value_heads", None)  # as many as heads
            ),
            st.tuples(st.just("model_type"), st.sampled_from(["gpt2", None, 3, [], {}, "llama\n"])),
            st.tuples(st.just("architectures"), st.sampled_from([3, "x", ["Bert"], {"a": 1}, [1]])),
            st.tuples(st.just("head_dim"), st.sampled_from([-1, "x", [], 1.5, 10**30])),
            st.tuples(st.just("quantization_config"), st.sampled_from([{}, None, 1])),
            st.tuples(
                st.just("auto_map"),
                st.sampled_from([{"AutoModelForCausalLM": "model.Evil"}, {}, "x", ["a/b--c.D"]]),
            ),
        )
    )
    return "config.json", as_bytes({**LLAMA, changes[0]: changes[1]})


@st.composite
def bad_tokenizers(draw: st.DrawFn) -> Damage:
    """A tokenizer.json of another form, or with ids that have no embedding."""
    part = draw(st.sampled_from(["model", "added_tokens", "ids"]))
    changed: dict[str, Any] = json.loads(as_bytes(TOKENIZER))
    if part == "model":
        vocabularies = [{"a": "x"}, {"a": None}, {"a": 400}, {"a": -1}, {"a": 1.5}, 3, "x", None]
        value = draw(st.sampled_from([None, [], 3, "x", *({"vocab": v} for v in vocabularies)]))
        changed["model"] = value
    elif part == "added_tokens":
        tokens = [[1], [{}], [{"id": "x"}], [{"id": None}], {"id": 1}, 3, "x", [[]], [{"id": 999}]]
        changed["added_tokens"] = draw(st.sampled_from(tokens))
    else:
        changed["model"]["vocab"]["c"] = draw(st.integers(320, 2**70))
    return "tokenizer.json", as_bytes(changed)


@st.composite
def bad_indices(draw: st.DrawFn) -> Damage:
    """An index of shards that names what it may not."""
    shards = ["../../secret", "/etc/passwd", "absent", "", ".", "a\0b", "x" * 300, 3, None, [], {}]
    maps: list[Any] = [{"w": shard} for shard in shards] + [3, "x", [], None, {}]
    value = draw(st.sampled_from([*({"weight_map": one} for one in maps), {}, [], 3]))
    return "model.safetensors.index.json", as_bytes(value)


def bad_files() -> st.SearchStrategy[Damage]:
    names = st.sampled_from(["config.json", "tokenizer.json"])
    broken = st.tuples(names, st.sampled_from(BAD_JSON))
    return st.one_of(broken, no_files(["config.json", "tokenizer.json", "model.safetensors", "."]))


CHECKPOINTS = {
    "configs": (bad_configs(), 70),
    "tokenizers": (bad_tokenizers(), 30),
    "indices": (bad_indices(), 16),
    "files": (bad_files(), 40),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_a_broken_checkpoint_is_refused_in_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "given"
    models = {"target": "given", "retrain": "given"}
    full = config.resolve(small_configs.tiny({"models": models, "precisions": ["bf16"]}))

    def look() -> None:
        inputs.check_given(full, [])
        list(preflight.check_texts(full, tmp_path / "results"))

    write_tree(folder, CHECKPOINT)
    look()

    def refused(damage: Damage) -> None:
        remove(folder)
        write_tree(folder, CHECKPOINT)
        apply(folder, damage)
        with nothing_new(tmp_path):
            complaint(look, "models.", "given")

    every(CHECKPOINTS[name][1], CHECKPOINTS[name][0], refused)


PATHS = {
    "a file": lambda path: path.write_bytes(b"x"),
    "an empty folder": lambda path: path.mkdir(),
    "a pipe": os.mkfifo,
    "a dangling link": lambda path: path.symlink_to("nowhere"),
    "a loop of links": lambda path: path.symlink_to(path.name),
    "nothing": lambda path: None,
}


@pytest.mark.parametrize("key", ["base", "target", "retrain", "tokenizer", "muse_dir"])
@pytest.mark.parametrize("kind", ["", "gguf:"])
def test_paths_to_nothing(
    key: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_tree(tmp_path / "given", CHECKPOINT)
    names: dict[str, Callable[[Path], object]] = {
        **{name: lambda path: None for name in ("x" * 300, "x/" * 3000, "../" * 900, "/dev/null")},
        **{name: lambda path: None for name in ("__main__/x", "os/x", "sys/", "", ".", "/", "-x")},
        **{what.replace(" ", "-"): make for what, make in PATHS.items()},
    }
    for name, make in names.items():
        make(tmp_path / name)
        changes: dict[str, Any] = (
            {"corpus": {"source": "local"}, "muse_dir": f"{kind}{name}"}
            if key == "muse_dir"
            else {"models": {"base": "given", "retrain": "given", key: f"{kind}{name}"}}
        )
        with nothing_new(tmp_path):
            complaint(
                functools.partial(_given, small_configs.tiny(changes)),
                key if key == "muse_dir" else f"models.{key}",
            )


def _given(changes: dict[str, Any]) -> None:
    full = config.resolve(changes)
    inputs.check_given(full, [])
    list(preflight.check_texts(full, Path("results")))
