"""What nobody's file may do: run code, fill the memory, choose where it is written."""

import ast
import json
import os
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from small_corpora import run_script, whole_corpus
from small_fuzz import CHECKPOINT, as_bytes, complaint, write_tree
from small_gguf import weights, write_gguf

from qunlearn.models.checkpoints import check_checkpoint, load_model, load_tokenizer

CALLS = [
    (f"{path.relative_to(ROOT)}:{node.lineno}", ast.unparse(node.func), node)
    for path in sorted((ROOT / "src").rglob("*.py"))
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.Call)
]


def test_models_and_tokenizers_are_read_from_this_machine_and_as_safetensors() -> None:
    """Downloads go through models.hub alone; the rest of what runs code `make check` finds."""
    hub_calls = ("snapshot_download", "hf_hub_download", "HfApi", "hf_hub_url", "urlopen")
    reads = 0
    for where, name, call in CALLS:
        words = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert words.get("trust_remote_code", "False") == "False", where
        assert not name.endswith((".apply_chat_template", ".load_adapter")), where
        assert name.rpartition(".")[2] not in hub_calls or "/hub.py:" in where, where
        if name.endswith(".from_pretrained") and "state_dict" not in words:
            reads += 1
            assert words["local_files_only"] == "True", where
            if "ModelForCausalLM" in name and "gguf_file" not in words:
                assert words["use_safetensors"] == "True", where
    assert reads >= 5


# --- A stranger's checkpoint -----------------------------------------------------------------

EVIL = b"from pathlib import Path\nPath('marker').touch()\n"


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A real checkpoint with Python files beside its weights, in a folder to be in."""
    from small_runs import make_start

    monkeypatch.chdir(tmp_path)
    target, _ = make_start(tmp_path)
    for name in ("modeling_llama.py", "tokenization_llama.py", "custom_generate/generate.py"):
        write_tree(target, {name: EVIL})
    return target


def change(file: Path, **values: object) -> None:
    file.write_bytes(as_bytes(json.loads(file.read_text(encoding="utf-8")) | values))


def test_code_beside_the_weights_is_not_run(checkpoint: Path, tmp_path: Path) -> None:
    import torch

    # A chat template is a program too; questions here are plain text.
    (checkpoint / "chat_template.jinja").write_text("{{ cycler.__init__.__globals__.os }}{% for %}")
    load_model(checkpoint, torch.float32)
    assert load_tokenizer(checkpoint)("some text")["input_ids"]
    auto_map = {"AutoTokenizer": ["tokenization_llama.T", None]}
    change(checkpoint / "tokenizer_config.json", auto_map=auto_map)
    complaint(lambda: check_checkpoint(checkpoint), "tokenizer_config.json", "auto_map")
    change(checkpoint / "config.json", auto_map={"AutoModelForCausalLM": "modeling_llama.M"})
    complaint(lambda: check_checkpoint(checkpoint), "config.json", "auto_map", "none of a checkpoi")
    complaint(lambda: load_model(checkpoint, torch.float32), "config.json", "auto_map")
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize(
    "header",
    [
        *(size.to_bytes(8, "little") + b"{}" for size in (2**63, 2**40, 100)),
        (2).to_bytes(8, "little") + b"[]",
        (10**5).to_bytes(8, "little") + b"[" * 10**5,
        (2).to_bytes(8, "little") + b"{}" + b"more",
    ],
)
def test_headers_of_safetensors_are_bounded(header: bytes, tmp_path: Path) -> None:
    write_tree(tmp_path / "given", CHECKPOINT | {"model.safetensors": header})
    complaint(lambda: check_checkpoint(tmp_path / "given"), "model.safetensors")


def test_counts_of_a_gguf_header_are_bounded(tmp_path: Path) -> None:
    """The header's counts and first lengths, byte by byte, made huge: refused, and at once."""
    whole = write_gguf(tmp_path / "whole", weights()).read_bytes()
    for place in range(4, 80):
        content = bytearray(whole)
        content[place] ^= 0xFE
        (tmp_path / f"{place}.gguf").write_bytes(content)
    start = b"GGUF" + struct.pack("<IQQ", 3, 0, 1)
    endless = struct.pack("<QsIIQ", 1, b"a", 9, 0, 2**40) + b"\0" * 64  # an array of bytes
    (tmp_path / "endless.gguf").write_bytes(start + endless)
    (tmp_path / "long.gguf").write_bytes(start + struct.pack("<QsIQ", 1, b"a", 8, 2**62))  # a text
    program = (
        "import resource, signal, sys; from pathlib import Path\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**32, 2**32))\n"
        "from qunlearn.models import gguf; from qunlearn.run.errors import InputError\n"
        "for file in sys.argv[1:]:\n"
        "    signal.alarm(60)\n"
        "    print(file, flush=True)\n"
        "    path = Path(file)\n"
        "    try: gguf.model_config(path)\n"
        "    except InputError as error: print('refused', error)\n"
    )
    command = [sys.executable, "-c", program, *map(str, sorted(tmp_path.glob("*.gguf")))]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr[-2000:]
    assert done.stdout.count("not a whole GGUF file") > 20


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o027])
def test_files_have_the_rights_that_the_user_wants(mask: int, tmp_path: Path) -> None:
    whole_corpus(tmp_path / "news")
    before = os.umask(mask)
    try:
        place = ("--source", "news", "--output", "made", "excerpt")
        run_script("make_corpus.py", *place, folder=tmp_path)
    finally:
        os.umask(before)
    for path in [tmp_path / "made", *(tmp_path / "made").rglob("*")]:
        rights = stat.S_IMODE(path.stat().st_mode)
        assert rights == (0o777 if path.is_dir() else 0o666) & ~mask, path
