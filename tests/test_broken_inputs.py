"""Broken corpora and checkpoints: refused in one line before any job, whatever is wrong."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import small_configs
from small_corpora import whole_corpus
from small_fuzz import (
    CHECKPOINT,
    LLAMA,
    NO_FILES,
    NO_JSON,
    TOKENIZER,
    complaint,
    nothing_new,
    spoil,
    write_tree,
)

from qunlearn import preflight
from qunlearn.corpora import layout
from qunlearn.experiment.config import resolve
from qunlearn.experiment.inputs import check_given

TEXT, CARD = "raw/retain1.json", "knowmem/forget_qa.json"
A_CARD = {"question": "q", "answer": "a"}
NO_TEXTS = [None, 1, True, [], {}, "half \ud800"]
BAD_CORPORA: list[tuple[str, Any]] = [
    *((name, "missing") for name in layout.FILES if name != layout.PRETRAIN),
    *((TEXT, kind) for kind in NO_FILES),
    *((".", kind) for kind in NO_FILES if kind != "folder"),
    *((TEXT, content) for content in (*NO_JSON, b"[]", {"items": ["a"]}, b"\xef\xbb\xbf[]")),
    *((TEXT, ["a", value]) for value in NO_TEXTS),
    (TEXT, ["", " \t\u2003\n"]),
    ("privleak/holdout.json", ["a", "\u00a0"]),
    (CARD, [A_CARD, "a"]),
    (CARD, [A_CARD, {"answer": "a"}]),
    *((CARD, [A_CARD, A_CARD | {"question": value}]) for value in [*NO_TEXTS, " "]),
    ("verbmem/forget.json", [{"prompt": "p", "gt": ""}]),
]
INDEX = "model.safetensors.index.json"
BAD_VALUES: dict[str, list[Any]] = {
    "hidden_size": [None, "64", [], 0, -64, 1.5, float("nan"), True, 10**30],
    "vocab_size": [None, "x", 0],
    "model_type": ["gpt2", None, []],
    "architectures": [3, ["BertModel"], {"a": 1}],
    "head_dim": [-1, "x"],
    "quantization_config": [{}, None],
    "auto_map": [{"AutoModelForCausalLM": "model.Evil"}, {}],
}
BAD_VOCABULARIES = [{"a": "x"}, {"a": 400}, {"a": -1}, {"a": 1.5}, {"a": 2**70}, 3, None]
BAD_CHECKPOINTS: list[tuple[str, Any]] = [
    *((name, kind) for name in CHECKPOINT for kind in NO_FILES),
    *((".", kind) for kind in NO_FILES),
    *((name, content) for name in ("config.json", "tokenizer.json") for content in NO_JSON),
    *(("config.json", LLAMA | {k: value}) for k, values in BAD_VALUES.items() for value in values),
    *(("tokenizer.json", TOKENIZER | {"model": {"vocab": v}}) for v in BAD_VOCABULARIES),
    *(("tokenizer.json", TOKENIZER | {"added_tokens": v}) for v in ([1], [{}], 3, [{"id": 999}])),
    ("special_tokens_map.json", b'{"eos_token":'),
    *((INDEX, {"weight_map": value}) for value in (3, [], None, {})),
    *((INDEX, {"weight_map": {"w": shard}}) for shard in ("absent", "", ".", "a\0b", 3, None, {})),
    *((INDEX, {"weight_map": {"w": shard}}) for shard in ("../x.safetensors", "x" * 300)),
]


@pytest.mark.parametrize(("file", "what"), BAD_CORPORA, ids=lambda value: repr(value)[:40])
def test_a_broken_corpus_is_refused_in_one_line(file: str, what: Any, here: Path) -> None:
    whole_corpus(here / "news")
    spoil(here / "news" / file, what)
    with nothing_new(here):
        local = {"corpus": {"source": "local"}, "muse_dir": "."}
        complaint(lambda: look(**local), "muse_dir", file.removeprefix("."))


def look(**changes: Any) -> None:
    """What happens before the first job."""
    full = resolve(small_configs.tiny({"precisions": ["bf16"], **changes}))
    check_given(full)
    list(preflight.check_texts(full, Path("results")))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to be in, with a good checkpoint."""
    monkeypatch.chdir(tmp_path)
    write_tree(tmp_path / "given", CHECKPOINT)
    return tmp_path


@pytest.mark.parametrize(("name", "what"), BAD_CHECKPOINTS, ids=lambda value: repr(value)[:40])
def test_a_broken_checkpoint_is_refused_in_one_line(name: str, what: Any, here: Path) -> None:
    models = {"target": "given", "retrain": "given"}
    look(models=models)
    if name == INDEX:
        (here / "given/model.safetensors").unlink()
    spoil(here / "given" / name, what)
    with nothing_new(here):
        complaint(lambda: look(models=models), "models.", "given")


PATHS = ("x" * 300, "x/" * 3000, "/dev/null", "__main__/x", "os/x", "sys/", ".", "/", "-x")


@pytest.mark.parametrize("key", ["base", "target", "retrain", "tokenizer", "muse_dir"])
@pytest.mark.parametrize("kind", ["", "gguf:"])
def test_paths_to_nothing(key: str, kind: str, here: Path) -> None:
    for name in (*PATHS, *NO_FILES):
        if name in NO_FILES:
            NO_FILES[name](here / name)
        changes: dict[str, Any] = {"corpus": {"source": "local"}, key: kind + name}
        if key != "muse_dir":
            changes = {"models": {"base": "given", "retrain": "given", key: kind + name}}
        with nothing_new(here):
            complaint(partial(look, **changes), key)
