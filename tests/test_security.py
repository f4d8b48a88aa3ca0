"""What nobody's file may do: run code, fill the memory, choose its rights; and no token is kept."""

import json
import os
import stat
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, SECRET, snakemake_command
from fake_hub import COMMIT, FakeHub, Fault, running
from small_corpora import NEWS, corpus, repository, tables, whole_corpus
from small_fuzz import as_bytes, complaint, write_tree
from small_gguf import weights, write_gguf
from small_workflow import tiny

from qunlearn.models.checkpoints import check_checkpoint, load_model, load_tokenizer

# --- A stranger's checkpoint -----------------------------------------------------------------

EVIL = b"from pathlib import Path\nPath('marker').touch()\n"
AUTO_MAPS = {
    "tokenizer_config.json": {"AutoTokenizer": ["tokenization_llama.T", None]},
    "config.json": {"AutoModelForCausalLM": "modeling_llama.M"},
}


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A real checkpoint with Python files beside its weights, in a folder to be in."""
    from small_runs import make_start

    monkeypatch.chdir(tmp_path)
    target, _ = make_start(tmp_path)
    for name in ("modeling_llama.py", "tokenization_llama.py", "custom_generate/generate.py"):
        write_tree(target, {name: EVIL})
    return target


def test_code_beside_the_weights_is_not_run(checkpoint: Path, tmp_path: Path) -> None:
    import torch

    # A chat template is a program too; questions here are plain text.
    (checkpoint / "chat_template.jinja").write_text("{{ cycler.__init__.__globals__.os }}{% for %}")
    load_model(checkpoint, torch.float32)
    assert load_tokenizer(checkpoint)("some text")["input_ids"]
    for name, auto_map in AUTO_MAPS.items():
        file = checkpoint / name
        file.write_bytes(as_bytes(json.loads(file.read_text()) | {"auto_map": auto_map}))
        complaint(lambda: check_checkpoint(checkpoint), name, "auto_map")
    complaint(lambda: load_model(checkpoint, torch.float32), "config.json", "auto_map")
    assert not (tmp_path / "marker").exists()


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
        "    try: gguf.model_config(Path(file))\n"
        "    except InputError as error: print('refused', error)\n"
    )
    command = [sys.executable, "-c", program, *map(str, sorted(tmp_path.glob("*.gguf")))]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout[-200:] + done.stderr[-2000:]
    assert done.stdout.count("not a whole GGUF file") > 20


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o027])
def test_files_have_the_rights_that_the_user_wants(mask: int, tmp_path: Path) -> None:
    before = os.umask(mask)
    try:
        whole_corpus(tmp_path / "made")
    finally:
        os.umask(before)
    for path in [tmp_path / "made", *(tmp_path / "made").rglob("*")]:
        rights = stat.S_IMODE(path.stat().st_mode)
        assert rights == (0o777 if path.is_dir() else 0o666) & ~mask, path


# --- A token, planted wherever a user may have one, is nowhere in what a run leaves behind -----

Done = subprocess.CompletedProcess[str]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder to run in, with a configuration whose corpus is downloaded."""
    source = {"source": "hub", "hub": {"news": NEWS}, "excerpt": {"texts": 3}}
    config = tiny({"corpus": source, "revisions": {NEWS: COMMIT}})
    write_tree(tmp_path / "run", {"hub.yaml": yaml.safe_dump(config).encode()})
    return tmp_path / "run"


def run(folder: Path, *arguments: str, **more: str) -> Done:
    """The workflow where a token or a password could come from all places."""
    home = folder.parent / "home"
    write_tree(home, {"token": SECRET.encode()})
    environment = os.environ | dict.fromkeys(("HOME", "HF_HOME"), str(home))
    environment |= dict.fromkeys(("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"), SECRET)
    environment |= {"HTTPS_PROXY": f"http://user:{SECRET}@127.0.0.1:9", "NO_PROXY": "127.0.0.1"}
    command = snakemake_command(*arguments, "--printshellcmds", "--verbose", "--show-failed-logs")
    environment |= more
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


def places(folder: Path, needle: str) -> list[Path]:
    """The files below a folder, hidden ones too, that have the text in their content or name."""

    def has(path: Path) -> bool:
        plain = path.is_file() and not path.is_symlink()
        return needle in path.name or (plain and needle.encode() in path.read_bytes())

    return [path for path in folder.rglob("*") if has(path)]


def check_nowhere(folder: Path, word: str, *done: Done) -> None:
    assert not [one for one in done if word in one.stdout + one.stderr]
    assert not places(folder, word)


@contextmanager
def hub(*faults: Fault) -> Iterator[FakeHub]:
    served = FakeHub({f"datasets:{NEWS}": repository(tables(corpus()))}, list(faults))
    with running(served):
        yield served


SLOW = [pytest.param(status, marks=pytest.mark.slow) for status in (401, 404, 500)]


@pytest.mark.parametrize("status", [200, 403, *SLOW])
def test_a_download_leaves_no_token(status: int, folder: Path) -> None:
    path = "/cdn/" if status != 401 else ""  # after its address was signed, or at once
    with hub(*([Fault(path, status, times=99)] if status != 200 else [])) as served:
        # The address of a mirror may have a password; the line about it has the rest.
        mirror = f"http://user:{SECRET}@" if status == 404 else "http://"
        address = served.url.replace("http://", mirror)
        goal = ("results/tiny/data/news", "--configfile", "hub.yaml")
        done = run(folder, *goal, HF_ENDPOINT=address)
    assert (done.returncode == 0) == (status == 200), done.stderr[-3000:]
    log = (folder / "results/tiny/logs/data/news.log").read_text(encoding="utf-8")
    assert ("error: " in log) == (status != 200)
    sent = [head.get("authorization") for _, _, head in served.requests]
    assert status == 404 or f"Bearer {SECRET}" in sent, "else the test would prove nothing"
    check_nowhere(folder, SECRET, done)
    check_nowhere(folder, "Signature=", done)


def test_a_whole_run_has_no_token(tiny_run: Path) -> None:
    """With it in the environment, as in that of all tests."""
    assert not places(tiny_run, SECRET)
    assert places(tiny_run, "npo_klr"), "it would be found"
