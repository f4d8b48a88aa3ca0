"""Each lock, installed into a new virtual environment, runs what its environment is for.

The installation is the one of docs/environments.md: torch by install_torch.sh, and all else from
the lock with every hash checked. It takes PyPI, minutes, and a gigabyte for each that has torch.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT
from pinned import NAMES, conda_pins, locked, scripts_of

SCRIPTS = ROOT / "workflow/scripts"
IMPORTED_AS = {"pyyaml": "yaml", "markdown-it-py": "markdown_it"}
"""Package -> import name, where they differ by more than a dash."""
SMALLEST = "--vocabulary 320 --hidden 64 --mlp 128 --layers 2 --heads 2 --context 256 --epochs 1"
WORK = {
    "data": "make_mini_corpus.py --name news --output {out}/corpus",
    "train": "finetune.py --splits pretrain --corpus {run}/data/news "
    "--checkpoints {out}/checkpoints "
    f"{SMALLEST} --output {{out}}/base",
    "quantize": "quantize.py --source {run}/models/news/target --precision nf4 --output {out}/nf4",
    "gptq": "quantize.py --source {run}/models/news/target --precision gptq4g32 "
    "--corpus {run}/data/news --sequences 4 --length 64 --output {out}/gptq",
    "evaluate": "evaluate.py --model {run}/quantized/news/target/nf4 --precision nf4 "
    "--corpus {run}/data/news --retrain {run}/eval/news/retrain/bf16/privleak.jsonl --shots 0 "
    "--max-tokens 64 --verbmem-tokens 8 --knowmem-tokens 4 --output {out}/eval",
    "tables": "plot.py --figure pareto --metrics {run}/tables/metrics.csv "
    "--summary {run}/tables/summary.csv --output {out}/figures",
}
"""Environment -> the work of one of its rules on what the tiny experiment left."""
WORK["autogptq"] = WORK["gptq"].replace("--backend gptqmodel", "--backend auto-gptq")


@pytest.fixture
def surroundings() -> dict[str, str]:
    return os.environ | {
        "PYTHONPATH": str(ROOT / "src"),
        "HF_HUB_OFFLINE": "1",
        "PIP_NO_COMPILE": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


@pytest.fixture
def python(
    request: pytest.FixtureRequest, tmp_path: Path, surroundings: dict[str, str]
) -> Iterator[Path]:
    """The interpreter of an environment that has what the lock `request.param` says."""
    name = request.param
    environment = tmp_path / "environment"
    python = environment / "bin/python"
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    if "torch" in locked(name):
        subprocess.run([ROOT / "envs/install_torch.sh", python], check=True, env=surroundings)
    lock = ROOT / f"envs/{name}.lock"
    install = [python, "-m", "pip", "install", "--quiet", "--require-hashes", "-r", lock]
    subprocess.run(install, check=True, env=surroundings)
    yield python
    shutil.rmtree(environment)


@pytest.mark.slow
@pytest.mark.parametrize(("python", "name"), [(name, name) for name in NAMES], indirect=["python"])
def test_the_lock_brings_what_the_environment_needs(
    python: Path, name: str, tmp_path: Path, surroundings: dict[str, str], tiny_run: Path
) -> None:
    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [python, *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=surroundings)

    checked = call("-I", "-m", "pip", "check")  # -I: without what the checkout's own set-up left
    assert checked.returncode == 0, checked.stdout
    for package in conda_pins(name)[0]:
        imported = call("-c", f"import {IMPORTED_AS.get(package, package.replace('-', '_'))}")
        assert imported.returncode == 0, imported.stderr
    for script in sorted(scripts_of(name)):
        helped = call(script, "--help")
        assert helped.returncode == 0, helped.stderr

    script, *flags = WORK[name].split()
    places = {"run": tiny_run / "results/tiny", "out": tmp_path}
    flags = [flag.format(**places) for flag in flags]
    done = call(SCRIPTS / script, *flags)
    if name == "autogptq" and not shutil.which("nvidia-smi"):
        # It quantizes on CUDA alone; that it gets as far as saying so is what can be seen here.
        assert done.returncode and "auto-gptq quantizes on CUDA only" in done.stderr
        return
    assert done.returncode == 0, done.stderr
    assert Path(flags[-1]).exists()


@pytest.mark.slow
def test_make_locks_keeps_what_there_is(tmp_path: Path) -> None:
    """From the pins written by hand uv finds the rest again, with the versions of the locks."""
    envs = shutil.copytree(ROOT / "envs", tmp_path / "envs")
    for file in envs.glob("*.yaml"):
        by_hand, mark, _ = file.read_text().partition("      # Brought along by these")
        file.write_text(by_hand + mark + "; written by: make locks\n")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [sys.executable, envs / "lock.py"]
    subprocess.run(command, check=True, env=os.environ | {"PATH": path})
    for file in envs.glob("*.yaml"):
        assert file.read_text() == (ROOT / "envs" / file.name).read_text()
