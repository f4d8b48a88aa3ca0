"""Every script looks at what it reads, and ends before its work where that is damaged."""

import ast
import importlib.util
import sys
from pathlib import Path

import pytest
from test_manifest import flip, made

from qunlearn.run.cli import run_script
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
    *(("finetune.py", name) for name in ("base", "corpus")),
    *(("unlearn.py", name) for name in ("target", "corpus")),
    *(("match_norm.py", name) for name in ("target", "corpus", "start", "like")),
    *(("scale_lora.py", name) for name in ("adapter", "target", "like")),
    *(("quantize.py", name) for name in ("source", "base", "corpus")),
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
        "size": "scaled2",
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
