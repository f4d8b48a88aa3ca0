"""Broken files, and what is asked of each refusal."""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from qunlearn.run.errors import InputError

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
TOKENIZER = {
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
    "added_tokens": [
        {"id": 2, "content": "<s>", "special": True}
        | dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    ],
}
CHECKPOINT = {
    "config.json": json.dumps(LLAMA).encode(),
    "model.safetensors": (2).to_bytes(8, "little") + b"{}",
    "tokenizer.json": json.dumps(TOKENIZER).encode(),
}
"""Files of a checkpoint that passes all checks before weights are read."""
NO_FILES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "dangling": lambda path: path.symlink_to("nowhere"),
    "loop": lambda path: path.symlink_to(path.name),
    "unreadable": lambda path: path.symlink_to("/proc/self/mem"),  # root reads all other files
    "endless": lambda path: path.symlink_to("/dev/zero"),
}
NO_JSON = (b"", b"null", b"3", b'"a"', b"{", b"[" * 100_000, b'{"a": \xff}', b"\0" * 64, b"[,]")


def complaint(call: Callable[[], object], *words: str) -> str:
    """The line that `call` is refused with; any other exception is the caller's failure."""
    try:
        call()
    except InputError as error:
        line = str(error)
    else:
        raise AssertionError("it was taken")
    assert line.isprintable() and 10 < len(line) < 2100, line
    assert "Traceback" not in line and "Error(" not in line, line
    for word in words:
        assert word in line, f"{word!r} is not in: {line}"
    return line


def write_tree(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def spoil(path: Path, what: Any) -> None:
    """Put a JSON value, bytes or something out of `NO_FILES` in the place of a file or folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    if isinstance(what, str) and what in NO_FILES:
        NO_FILES[what](path)
    else:
        path.write_bytes(what if isinstance(what, bytes) else as_bytes(what))


def as_bytes(value: Any) -> bytes:
    return json.dumps(value).encode()


@contextlib.contextmanager
def nothing_new(folder: Path) -> Iterator[None]:
    """Complain if a file or folder appeared in `folder`."""
    before = sorted(folder.iterdir())
    yield
    assert sorted(folder.iterdir()) == before, "something was left behind"
