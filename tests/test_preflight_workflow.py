"""Preflight in the workflow: before anything long, and with no part in what runs again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, Snakemake
from fake_hub import COMMIT
from safetensors.numpy import save_file
from test_workflow import jobs

TINY = ("--configfile", str(ROOT / "config/tiny.yaml"))
LLAMA = {
    "model_type": "llama",
    "vocab_size": 10,
    "hidden_size": 96,
    "intermediate_size": 96,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "max_position_embeddings": 512,
}


def configured(folder: Path, **models: object) -> tuple[str, ...]:
    """The tiny experiment with other models."""
    file = folder / "models.yaml"
    revisions = {"maker/news": COMMIT, "maker/tokens": COMMIT}
    file.write_text(yaml.safe_dump({"models": models, "revisions": revisions}), encoding="utf-8")
    return (*TINY, str(file))


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """A folder that passes for a checkpoint as long as nobody reads its weights."""
    folder = tmp_path / "given"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(LLAMA))
    save_file({}, folder / "model.safetensors")
    (folder / "tokenizer.json").write_text('{"model": {"vocab": {"a": 0}}}')
    return folder


def test_models_are_fetched_from_where_the_configuration_says(
    given: Path, tmp_path: Path, snakemake: Snakemake
) -> None:
    arguments = configured(tmp_path, target="hub:maker/{corpus}", retrain={"news": str(given)})
    planned = snakemake(tmp_path, *arguments, "--dry-run", "--printshellcmds")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    found = jobs(planned.stdout)
    assert found["fetch_model"] == 1
    assert "train_base" not in found and "finetune" not in found
    assert f"--source hub:maker/news --revision {COMMIT}" in planned.stdout
    assert "--target results/tiny/models/news/target" in planned.stdout
    assert f"quantize.py --source {given} " in planned.stdout


def test_another_tokenizer_makes_a_folder_of_its_own(
    given: Path, tmp_path: Path, snakemake: Snakemake
) -> None:
    (given / "tokenizer.json").unlink()
    models = {"target": str(given), "retrain": str(given), "tokenizer": "hub:maker/tokens"}
    planned = snakemake(tmp_path, *configured(tmp_path, **models), "-n", "--printshellcmds")
    assert planned.returncode == 0, planned.stdout + planned.stderr
    assert jobs(planned.stdout)["fetch_model"] == 2
    wanted = f"--source {given} --tokenizer hub:maker/tokens --tokenizer-revision {COMMIT}"
    assert wanted in planned.stdout
    assert "quantize.py --source results/tiny/models/news/retrain " in planned.stdout


def test_what_it_finds_stops_everything_else(
    given: Path, tmp_path: Path, snakemake: Snakemake
) -> None:
    """rtn3g64 does not divide a width of 96: told before a target is trained."""
    target = "results/tiny/models/news/target"
    done = snakemake(tmp_path, target, *configured(tmp_path, base=str(given)))
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if "error: config key" in line]
    assert "the group of 64 of rtn3g64 does not divide a width of 96 of models.base" in lines[0]
    assert not (tmp_path / "results/tiny/preflight.json").exists()
    assert not (tmp_path / target).exists()


def test_it_looks_again_at_each_start_and_makes_nothing_run_again(
    tmp_path: Path, snakemake: Snakemake
) -> None:
    base = "results/tiny/models/news/base"
    changed = tmp_path / "changed.yaml"
    changed.write_text("evaluate: {knowmem_tokens: 5}", encoding="utf-8")
    made = snakemake(tmp_path, base, *TINY)
    assert made.returncode == 0, made.stderr
    kept = tmp_path / "results/tiny/preflight.json"
    checks = json.loads(kept.read_text())["checks"]
    assert {check["status"] for check in checks} == {"ok"}
    kept.unlink()
    planned = snakemake(tmp_path, base, *TINY, str(changed), "--dry-run")
    assert jobs(planned.stdout) == {}
    assert not kept.exists()
    again = snakemake(tmp_path, base, *TINY, str(changed), "--force")
    assert again.returncode == 0, again.stderr
    assert kept.exists()


def test_it_is_quick_and_loads_no_torch(tmp_path: Path) -> None:
    program = (
        "import sys; sys.argv[0] = 'preflight.py'; import runpy\n"
        "runpy.run_path(sys.argv.pop(1), run_name='__main__')\n"
        "print(*{'torch', 'transformers', 'numpy'} & set(sys.modules))"
    )
    script = ROOT / "workflow/scripts/preflight.py"
    file = tmp_path / "longer.yaml"
    file.write_text("evaluate: {max_tokens: 2048, shots: 2}", encoding="utf-8")
    done = subprocess.run(
        [
            *(sys.executable, "-c", program, str(script)),
            *("--configfile", str(ROOT / "config.yaml"), str(file)),
            *("--output", str(tmp_path / "preflight.json")),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == ""
    assert "warning: evaluate.max_tokens: texts of news are cut" in done.stderr
    checks = json.loads((tmp_path / "preflight.json").read_text(encoding="utf-8"))["checks"]
    assert {check["check"] for check in checks} >= {"architecture and shape", "disk"}
