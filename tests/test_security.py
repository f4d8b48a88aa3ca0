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
import yaml
from conftest import ROOT
from small_corpora import run_script, whole_corpus
from small_fuzz import CHECKPOINT, as_bytes, complaint, write_tree
from small_gguf import weights, write_gguf

from qunlearn.experiment.configfiles import _Strict
from qunlearn.models.checkpoints import check_checkpoint, load_model, load_tokenizer

CODE = sorted(
    path for folder in ("src", "workflow", "envs") for path in (ROOT / folder).rglob("*.py")
)
NODES = [
    (f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}", node)
    for path in CODE
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
]
CALLS = [(where, ast.unparse(node.func), node) for where, node in NODES if type(node) is ast.Call]


def keyword(call: ast.Call, name: str) -> str | None:
    """A keyword's value as it is written."""
    return next((ast.unparse(word.value) for word in call.keywords if word.arg == name), None)


def test_nothing_that_runs_code_from_data_is_called() -> None:
    forbidden = {"eval", "exec", "__import__", "os.system", "os.popen", "input", "torch.load"}
    forbidden |= {"tempfile.mktemp", "np.load", "numpy.load", "os.umask", "os.chmod"}
    forbidden |= {"yaml.unsafe_load", "yaml.full_load"}
    ends = (".apply_chat_template", ".load_adapter", ".chmod", ".read_pickle", ".extractall")
    for where, name, call in CALLS:
        assert name not in forbidden and not name.endswith(ends), where
        assert keyword(call, "shell") in (None, "False"), where
        assert keyword(call, "trust_remote_code") in (None, "False"), where
        assert keyword(call, "allow_pickle") is None, where
        assert name != "yaml.load" or keyword(call, "Loader") == "_Strict", where
        if name in ("subprocess.run", "subprocess.Popen"):  # from lists, which no shell takes apart
            assert isinstance(call.args[0], ast.List | ast.Name), where
    modules = {"pickle", "marshal", "shelve", "dill", "joblib", "cloudpickle", "imp"}
    for where, node in NODES:
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not modules & {name.partition(".")[0] for name in names}, where
    with pytest.raises(yaml.YAMLError):
        yaml.load("!!python/object/apply:os.system ['touch marker']", Loader=_Strict)


def test_models_and_tokenizers_are_read_from_this_machine_and_as_safetensors() -> None:
    """Downloads go through models.hub alone, which asks for a commit and compares hashes."""
    reads = [one for one in CALLS if one[1].endswith(".from_pretrained")]
    assert len(reads) >= 8
    for where, name, call in reads:
        in_memory = "state_dict" in {word.arg for word in call.keywords}
        assert keyword(call, "local_files_only") == "True" or in_memory, where
        if "ModelForCausalLM" in name and not in_memory:
            is_gguf = keyword(call, "gguf_file") is not None
            assert keyword(call, "use_safetensors") == "True" or is_gguf, where
    hub_calls = ("snapshot_download", "hf_hub_download", "HfApi", "hf_hub_url", "urlopen")
    for where, name, _ in CALLS:
        assert name.rpartition(".")[2] not in hub_calls or "/hub.py:" in where, where


def test_bandit_finds_nothing_that_is_not_explained() -> None:
    reasons = "B101,B311,B404,B603,B607,B615"  # each explained in docs/security.md
    command = [sys.executable, "-m", "bandit", "-q", "-r", "src", "workflow/scripts", "-s", reasons]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    told = (ROOT / "docs/security.md").read_text(encoding="utf-8")
    assert all(f"`{reason}`" in told for reason in reasons.split(","))


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


def test_pickled_weights_are_not_read(checkpoint: Path) -> None:
    """Not even where transformers would fall back on them."""
    import torch

    (checkpoint / "model.safetensors").rename(checkpoint / "pytorch_model.bin")
    complaint(lambda: load_model(checkpoint, torch.float32), "convert them to safetensors")
    index = {"weight_map": {"model.norm.weight": "pytorch_model.bin"}}
    (checkpoint / "model.safetensors.index.json").write_bytes(as_bytes(index))
    complaint(lambda: load_model(checkpoint, torch.float32), "pytorch_model.bin", "shard")


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


def test_an_index_names_nothing_outside_of_its_folder(tmp_path: Path) -> None:
    write_tree(tmp_path, {"outside.safetensors": CHECKPOINT["model.safetensors"]})
    for shard in ("../outside.safetensors", str(tmp_path / "outside.safetensors")):
        index = {"model.safetensors.index.json": as_bytes({"weight_map": {"w": shard}})}
        write_tree(tmp_path / "given", CHECKPOINT | index)
        complaint(lambda: check_checkpoint(tmp_path / "given"), "outside", "shard")


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
        "    try: gguf.describe(path), gguf.model_config(path)\n"
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
        run_script("import_corpus.py", "--source", "news", "--output", "made", folder=tmp_path)
    finally:
        os.umask(before)
    for path in [tmp_path / "made", *(tmp_path / "made").rglob("*")]:
        rights = stat.S_IMODE(path.stat().st_mode)
        assert rights == (0o777 if path.is_dir() else 0o666) & ~mask, path
