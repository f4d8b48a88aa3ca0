"""Every script looks at what it reads, and ends before its work where that is damaged."""

import ast
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_integrity import cut, flip, made

from qunlearn.run.cli import run_script
from qunlearn.run.files import write_json
from qunlearn.run.integrity import WRITTEN

SCRIPTS = Path(__file__).parents[1] / "workflow/scripts"


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
    *(("quantize.py", name) for name in ("source", "base", "corpus")),
    *(("quantize_spared.py", name) for name in ("target", "source")),
    *(("evaluate.py", name) for name in ("model", "corpus")),
    *(("measure_survival.py", name) for name in ("target", "model")),
    *(("ask_candidates.py", name) for name in ("models", "corpus", "base")),
    ("split_questions.py", "corpus"),
    ("import_corpus.py", "source"),
}
"""What a script reads whole: any of these that is damaged ends it before its work."""
LISTED = {(name, "retrain") for name in ("evaluate.py", "rescore.py")}
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
    others = {("write_page.py", "results"), ("fill_readme.py", "results")}
    others |= {("fill_mechanism.py", "results"), ("select_candidate.py", "target")}
    others |= {("select_candidate.py", "retrain")}
    others |= {("compare_runs.py", name) for name in ("first", "second")}
    others |= {("make_main_table.py", "results"), ("fill_readme.py", "others")}
    others |= {("fill_window.py", name) for name in ("results", "kept")}
    assert rest == others  # manifests alone, finished tables, answers; runs that are to be compared
    assert known <= READ


CHECKS = {"evaluations": "check_evaluations(", "survival": "check_measurements("}


@pytest.mark.parametrize(("script", "name"), sorted(BELOW - {("plot_loss_curves.py", "unlearned")}))
def test_scripts_that_read_folders_of_folders_say_so(script: str, name: str) -> None:
    assert CHECKS.get(name, "verify(") in (SCRIPTS / script).read_text(encoding="utf-8")


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
