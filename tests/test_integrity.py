"""Damage that a job must not read: by manifest, by a weight file's header, in every script."""

import ast
import importlib.util
import json
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_corpora import SMALL

from qunlearn.checkpoints import check_checkpoint
from qunlearn.cli import run_script
from qunlearn.corpora import layout, local, mini
from qunlearn.errors import InputError
from qunlearn.files import read_json, sha256, write_json
from qunlearn.integrity import THREADS, WRITTEN, check_safetensors, verify
from qunlearn.provenance import MANIFEST, Stopwatch, digest, list_again, write_manifest
from qunlearn.survival.table import read_survival

SCRIPTS = Path(__file__).parents[1] / "workflow/scripts"
FILES = {"config.json": b"{}", "model.safetensors": bytes(1000), "raw/forget.json": b'["a text"]'}


def made(folder: Path) -> Path:
    """A folder as a step of the workflow leaves it."""
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    write_manifest(folder, step="a step", settings={}, inputs={}, stopwatch=Stopwatch())
    return folder


def flip(file: Path) -> None:
    """Change one byte; size and times stay."""
    times = file.stat()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


DAMAGES: list[tuple[Callable[[Path], object], str]] = [
    (Path.unlink, "missing; put it back"),
    (cut, r"\d+ bytes instead of \d+; put it back"),
    (flip, "other content than when it was written"),
]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(("damage", "told"), DAMAGES)
def test_damage_is_named(
    tmp_path: Path, name: str, damage: Callable[[Path], object], told: str
) -> None:
    folder = made(tmp_path / "model")
    verify(folder)
    damage(folder / name)
    with pytest.raises(InputError) as error:
        verify(folder)
    assert re.match(f"{re.escape(str(folder / name))}: {told}", str(error.value))
    assert f"delete {folder} and give the command again" in str(error.value)


def test_sizes_alone_when_contents_are_not_asked_for(tmp_path: Path) -> None:
    folder = made(tmp_path / "model")
    flip(folder / "config.json")
    verify(folder, content=False)
    cut(folder / "config.json")
    with pytest.raises(InputError, match=r"config\.json: 1 bytes instead of 2"):
        verify(folder, content=False)


def test_one_file_of_a_folder(tmp_path: Path) -> None:
    folder = made(tmp_path / "model")
    flip(folder / "config.json")
    verify(folder / "model.safetensors")
    verify(folder / MANIFEST)
    with pytest.raises(InputError, match=r"config\.json: other content"):
        verify(folder / "config.json")


def test_what_may_be_there_besides(tmp_path: Path) -> None:
    folder = made(tmp_path / "model")
    (folder / ".snakemake_timestamp").touch()
    (folder / "README.md").write_text("a card")
    made(folder / "seed0")
    verify(folder)
    for name in ("adapter_config.json", "scal/forget_1.json", "raw/README.md"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
        with pytest.raises(InputError, match=rf"{name}: not listed in .*manifest\.json.*remove it"):
            verify(folder)
        (folder / name).unlink()
    flip(folder / "seed0/config.json")
    verify(folder)
    with pytest.raises(InputError, match="seed0/config"):
        verify(folder / "seed0")


def test_the_users_own_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    folder = made(tmp_path / "model")
    flip(folder / "config.json")
    (folder / MANIFEST).unlink()
    verify(folder)
    known = digest(folder)
    for foreign in ([], {"outputs": ["a"]}, {"outputs": {"config.json": {"size": 1}}}):
        write_json(folder / MANIFEST, foreign)
        verify(folder)
        assert digest(folder) == known
    (folder / MANIFEST).write_text('{"outputs": {"config.js')
    with pytest.raises(InputError, match=r"manifest\.json: not valid JSON"):
        verify(folder)
    verify(tmp_path / "nowhere")


def test_more_files_than_threads(tmp_path: Path) -> None:
    for index in range(5 * THREADS):
        (tmp_path / f"shard{index}").write_bytes(bytes(10_000))
    write_manifest(tmp_path, step="a step", settings={}, inputs={}, stopwatch=Stopwatch())
    verify(tmp_path)
    flip(tmp_path / f"shard{3 * THREADS}")
    with pytest.raises(InputError, match=f"shard{3 * THREADS}: other content"):
        verify(tmp_path)


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = made(tmp_path / "model")

    def fail(file: Path) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("qunlearn.integrity.sha256", fail)
    with pytest.raises(InputError, match=r"config\.json: cannot be read \(Input/output error\)"):
        verify(folder)


def test_a_file_that_is_written_anew_is_listed_anew(tmp_path: Path) -> None:
    folder = made(tmp_path / "model")
    (folder / "config.json").write_text("{ }")
    list_again(folder, "config.json")
    verify(folder)
    assert read_json(folder / MANIFEST)["outputs"]["config.json"] == {
        "sha256": sha256(folder / "config.json"),
        "bytes": 3,
    }


def weights(header: dict[str, Any] | bytes, data: int) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(data)


TENSORS = {
    "__metadata__": {"format": "pt"},
    "a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]},
    "b": {"dtype": "F32", "shape": [1], "data_offsets": [8, 12]},
}


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (weights(TENSORS, 11), r"\d+ bytes instead of \d+; copy it again"),
        (weights(TENSORS, 13), r"\d+ bytes instead of \d+; copy it again"),
        (weights(TENSORS, 0)[:40], "40 bytes, which end within its header; copy it again"),
        (b"PK\x03", "3 bytes, which end within its header"),
        (weights(b"not JSON", 12), "no safetensors file, or one whose header is damaged"),
        (weights(b"[1, 2]", 12), "no safetensors file, or one whose header is damaged"),
        (weights({"a": {"dtype": "F32"}}, 12), "no safetensors file, or one whose header"),
        (b"version https://git-lfs.github.com/spec/v1\n", "43 bytes, which end within"),
    ],
)
def test_a_weight_file_is_as_long_as_its_header_says(
    tmp_path: Path, content: bytes, told: str
) -> None:
    file = tmp_path / "model.safetensors"
    file.write_bytes(weights(TENSORS, 12))
    check_safetensors(file)
    file.write_bytes(content)
    with pytest.raises(InputError, match=rf"model\.safetensors: {told}"):
        check_safetensors(file)


def test_a_shard_that_is_cut_short_is_found_before_anything_is_loaded(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {})
    shards = {name: f"model-0000{number}-of-00002.safetensors" for number, name in enumerate("ab")}
    write_json(tmp_path / "model.safetensors.index.json", {"weight_map": shards})
    for shard in shards.values():
        (tmp_path / shard).write_bytes(weights(TENSORS, 12))
    check_checkpoint(tmp_path, tokenizer=False)
    cut(tmp_path / shards["b"])
    with pytest.raises(InputError, match=rf"{shards['b']}: \d+ bytes instead of \d+"):
        check_checkpoint(tmp_path, tokenizer=False)


def test_a_corpus_of_another_experiment_has_hashes(tmp_path: Path) -> None:
    layout.write(tmp_path, mini.generate("news", SMALL))
    local.verify(tmp_path)
    write_manifest(tmp_path, step="corpus", settings={}, inputs={}, stopwatch=Stopwatch())
    texts = read_json(tmp_path / "raw/forget.json")
    write_json(tmp_path / "raw/forget.json", [texts[0].upper(), *texts[1:]])
    with pytest.raises(InputError, match=r"forget\.json: .*delete .*manifest\.json if the change"):
        local.verify(tmp_path)


def test_a_survival_table_is_compared_when_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "nf4.csv").write_text("layer,module\n")
    write_manifest(tmp_path, step="survival", settings={}, inputs={}, stopwatch=Stopwatch())
    flip(tmp_path / "nf4.csv")
    with pytest.raises(InputError, match=r"nf4\.csv: other content"):
        read_survival(tmp_path / "nf4.csv")


def parameters(script: Path) -> dict[str, str]:
    """Name -> annotation of the arguments of a script's `main`."""
    tree = ast.parse(script.read_text(encoding="utf-8"))
    (main,) = (
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main"
    )
    arguments = [*main.args.args, *main.args.kwonlyargs]
    return {each.arg: ast.unparse(each.annotation or ast.Constant(None)) for each in arguments}


READ = {
    (script.name, name)
    for script in sorted(SCRIPTS.glob("*.py"))
    for name, annotation in parameters(script).items()
    if "Path" in annotation and name not in WRITTEN
}
FOLDERS = {
    *(("train_base.py", name) for name in ("corpus",)),
    *(("finetune.py", name) for name in ("base", "corpus")),
    *(("unlearn.py", name) for name in ("target", "corpus")),
    *(("match_norm.py", name) for name in ("target", "corpus", "start", "like")),
    *(("match_lora.py", name) for name in ("adapter", "target", "like")),
    ("scale_lora.py", "adapter"),
    *(("quantize.py", name) for name in ("source", "base")),
    *(("quantize_gptq.py", name) for name in ("source", "base", "corpus")),
    *(("quantize_spared.py", name) for name in ("target", "source")),
    *(("evaluate.py", name) for name in ("model", "corpus")),
    *(("evaluate_in_memory.py", name) for name in ("source", "base", "corpus")),
    *(("measure_survival.py", name) for name in ("target", "model")),
    *(("ask_candidates.py", name) for name in ("models", "corpus", "base")),
    ("split_questions.py", "corpus"),
    ("import_corpus.py", "source"),
}
"""What a script reads whole: any of these that is damaged ends it before its work."""
LISTED = {(name, "retrain") for name in ("evaluate.py", "evaluate_in_memory.py", "rescore.py")}
"""Files that lie in a folder with a manifest."""
BELOW = {
    *((name, "evaluations") for name in ("collect_metrics.py", "summarise.py")),
    *((name, "evaluations") for name in ("test_differences.py", "judge_claims.py")),
    ("measure_survival.py", "quantized"),
    ("take_selected.py", "trainings"),
    ("write_model_cards.py", "results"),
    *((f"plot_{name}.py", "survival") for name in ("reversion", "controls")),
    *((f"plot_update_{name}.py", "survival") for name in ("survival", "over_step")),
    *((name, "survival") for name in ("make_mechanism_tables.py",)),
    ("plot_loss_curves.py", "unlearned"),
}
"""Folders of folders: the script itself verifies, or what it reads with does."""
WITHOUT = {
    "metrics", "summary", "tests", "claims", "published", "selection", "selections", "answers",
    "schema", "config", "configs", "configfile", "tables", "mechanism", "readme", "figure",
    "document", "templates",
}  # fmt: skip
"""Files and folders that have no manifest: tables, answers, and what lies in the repository."""


def test_every_path_that_a_script_reads_is_looked_at() -> None:
    """A new argument belongs to one of the lists above."""
    known = FOLDERS | LISTED | BELOW
    rest = {(script, name) for script, name in READ - known if name not in WITHOUT}
    others = {("write_provenance.py", "results"), ("fill_readme.py", "results")}
    others |= {("fill_mechanism.py", "results"), ("select_candidate.py", "target")}
    others |= {("select_candidate.py", "retrain")}
    others |= {("compare_runs.py", name) for name in ("first", "second")}
    assert rest == others  # manifests alone, finished tables, answers; runs that are to be compared
    assert known <= READ


CHECKS = {"evaluations": "check_evaluations(", "survival": "check_measurements("}


@pytest.mark.parametrize(("script", "name"), sorted(BELOW - {("plot_loss_curves.py", "unlearned")}))
def test_scripts_that_read_folders_of_folders_say_so(script: str, name: str) -> None:
    assert CHECKS.get(name, "verify(") in (SCRIPTS / script).read_text(encoding="utf-8")


def arguments(script: str, damaged: str, folder: Path) -> list[str]:
    """A command line on which nothing is wrong but that `damaged` is."""
    given = {
        "precision": "gptq4" if script == "quantize_gptq.py" else "bf16",
        "precisions": "bf16",
        "splits": "forget",
        "objective": "npo_gdr",
        "adapter": "lora",
        "choice": "unmoved",
        "factor": "2",
        "share": "0.5",
        "seed": "0",
    }
    line = []
    for name, annotation in parameters(SCRIPTS / script).items():
        if "Path" in annotation:
            if name == damaged:
                value = "damaged"
            elif "None" in annotation:
                continue
            else:
                value = "output" if name in WRITTEN else "whole"
            given[name] = str(folder / value)
        if name in given:
            line += [f"--{name.replace('_', '-')}", given[name]]
    return line


@pytest.mark.parametrize(("script", "name"), sorted(FOLDERS))
def test_no_script_works_on_a_damaged_folder(
    script: str,
    name: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made(tmp_path / "whole")
    flip(made(tmp_path / "damaged") / "raw/forget.json")
    spec = importlib.util.spec_from_file_location("script", SCRIPTS / script)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "argv", [script, *arguments(script, name, tmp_path)])
    for function in ("unwind_when_asked", "end_with_starter"):  # not for the tests' own process
        monkeypatch.setattr(f"qunlearn.signals.{function}", lambda: None)
    with pytest.raises(SystemExit) as ended:
        run_script(module.main)
    told = capsys.readouterr().err
    assert told.startswith(f"error: {tmp_path}/damaged/raw/forget.json: other content"), told
    assert told.count("\n") == 1
    assert ended.value.code == 2
    assert not (tmp_path / "output").exists()


def test_a_script_that_takes_the_chosen_candidate_looks_at_it(tmp_path: Path) -> None:
    selection = {"chosen": "r4/epoch5", "corpus": "news", "objective": "npo_gdr"}
    selection |= {"adapter": "lora", "rule": "fixed", "questions": "test"}
    scores = {"knowmem": 1.0, "utility": 1.0, "nll_forget": 1.0}
    write_json(
        tmp_path / "selection.json",
        selection
        | {"asked": {"forget": 1, "retain": 1}, "target": scores, "retrain": scores}
        | {"candidates": [], "reason": "", "caveat": ""},
    )
    shutil.move(made(tmp_path / "x"), tmp_path / "r4/epoch5")
    cut(tmp_path / "r4/epoch5/model.safetensors")
    command = [sys.executable, str(SCRIPTS / "take_selected.py"), "--selection", "selection.json"]
    command += ["--trainings", ".", "--output", "taken"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: r4/epoch5/model.safetensors: 999 bytes instead of 1000")
    assert not (tmp_path / "taken").exists()
