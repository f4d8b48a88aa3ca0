"""The way that every input takes, and what is asked of each refusal.

The same examples come each time (`derandomize`).
"""

import contextlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

from qunlearn import preflight
from qunlearn.experiment import configfiles, inputs
from qunlearn.run.errors import InputError

Json = dict[str, Any]
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


def every(number: int, strategy: SearchStrategy[Any], check: Callable[[Any], object]) -> None:
    """Call `check` with `number` different examples."""
    seen = set()

    @settings(
        # Many come twice, and which depends on the constants of the modules that are loaded.
        max_examples=4 * number,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(example: Any) -> None:
        shown = repr(example)
        if len(seen) < number and shown not in seen:
            check(example)
            seen.add(shown)

    run()
    assert len(seen) == number, f"{len(seen)} examples of {number}, again and again"


def admit(files: Iterable[Path], *, machine: bool = True) -> Json:
    """What Snakefile and scripts do with a configuration before the first job.

    Raises:
        InputError: it is refused.
    """
    full = configfiles.read(list(files))
    inputs.check_given(full)
    if machine:
        results = Path("results") / full["experiment"]
        preflight.preflight(full, results, cluster=False, python=full["python"])
    return full


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
