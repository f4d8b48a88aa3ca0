"""Every script looks at what it reads, and ends before its work where that is damaged."""

import ast
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_manifest import cut, flip, made

from qunlearn.run.cli import run_script
from qunlearn.run.files import write_json
from qunlearn.run.manifest import WRITTEN

SCRIPTS = Path(__file__).parents[1] / "workflow/scripts"


def parameters(script: Path) -> dict[str, str]:
    """Name -> annotation of the arguments of a script's `main`."""
    tree = ast.parse(script.read_text(encoding="utf-8"))
    (main,) = (
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "main"
    )
    arguments = [*main.args.args, *main.args.kwonlyargs]
    return {each.arg: ast.unparse(each.annotation or ast.Constant(None)) for each in arguments}


FOLDERS = {
    *(("train_base.py", name) for name in ("corpus",)),
    *(("finetune.py", name) for name in ("base", "corpus")),
    *(("unlearn.py", name) for name in ("target", "corpus")),
    *(("match_norm.py", name) for name in ("target", "corpus", "start", "like")),
    *(("match_lora.py", name) for name in ("adapter", "target", "like")),
    ("scale_lora.py", "adapter"),
    *(("quantize.py", name) for name in ("source", "base", "corpus")),
    *(("quantize_spared.py", name) for name in ("target", "source")),
    *(("evaluate.py", name) for name in ("model", "corpus")),
    *(("measure_survival.py", name) for name in ("target", "model")),
    *(("ask_candidates.py", name) for name in ("models", "corpus", "base")),
    ("split_questions.py", "corpus"),
    ("import_corpus.py", "source"),
}
"""What a script reads whole: any of these that is damaged ends it before its work."""


def arguments(script: str, damaged: str, folder: Path) -> list[str]:
    """A command line on which nothing is wrong but that `damaged` is."""
    given = {
        "precision": "gptq4" if script == "quantize.py" else "bf16",
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
    monkeypatch.setattr(
        "qunlearn.run.cli.listen", lambda handler: None
    )  # in the tests' own process
    monkeypatch.delenv("SNAKEMAKE_PID", raising=False)
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
