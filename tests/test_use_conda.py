"""The tiny experiment with --use-conda, in real environments from the locks of envs/.

conda is a stand-in, so that this shows what the project answers for: that the locks can be
installed, that each job runs in the environment that its rule names, and that it sees that
environment alone. docs/environments.md says what it does not show.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Snakemake
from pinned import canonical, conda_pins, scripts_of

STAND_INS = Path(__file__).parent / "conda"
USED = ["data", "train", "quantize", "gptq", "evaluate", "tables"]
PACKAGES = {"markdown_it": "markdown-it-py"}
PYTHON = "3.11.7"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        platform.python_version() != PYTHON,
        reason=f"the environments' Python is the tests' own, and envs/*.yaml pin {PYTHON}",
    ),
]


@dataclass(frozen=True)
class Run:
    folder: Path
    jobs: list[dict[str, Any]]
    """What each job's Python said of itself."""

    def environment_of(self, job: dict[str, Any]) -> str:
        """The environment whose YAML Snakemake made the job's prefix from."""
        made_from = yaml.safe_load(Path(f"{job['prefix']}.yaml").read_text(encoding="utf-8"))
        return str(made_from["name"].removeprefix("qunlearn-"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, snakemake: Snakemake) -> Run:
    folder = tmp_path_factory.mktemp("conda")
    bin = folder / "bin"
    bin.mkdir()
    (bin / "conda").write_text(
        f'#!/bin/sh\nexec "{sys.executable}" "{STAND_INS}/stand_in.py" "$@"\n'
    )
    (bin / "conda").chmod(0o755)
    # A package that the user has for himself: no environment is to see it.
    planted = folder / "user/lib/python3.11/site-packages/planted.py"
    planted.parent.mkdir(parents=True)
    planted.touch()
    witnessed = folder / "witnessed"
    witnessed.mkdir()
    configuration = ["--configfile", str(ROOT / "config/tiny.yaml")]
    witness = ["--config", f"python={STAND_INS / 'witness.sh'}"]
    done = snakemake(
        folder,
        *("tables", "--use-conda", *configuration, *witness),
        environment={
            "PATH": f"{bin}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONUSERBASE": str(folder / "user"),
            "WITNESS": str(witnessed),
            "PIP_NO_COMPILE": "1",
        },
    )
    assert done.returncode == 0, done.stderr[-5000:]
    return Run(folder, [json.loads(file.read_text()) for file in witnessed.iterdir()])


def test_each_job_saw_the_environment_that_its_rule_names_and_our_source_alone(run: Run) -> None:
    assert {run.environment_of(job) for job in run.jobs} == set(USED)
    for job in run.jobs:
        name = run.environment_of(job)
        assert job["script"] in {script.name for script in scripts_of(name)}
        assert job["activated"] == job["prefix"]
        assert Path(job["prefix"]).is_relative_to(run.folder / ".snakemake/conda")
        assert job["PYTHONPATH"] == str(ROOT / "src")
        for place in job["path"]:
            ours = place == job["PYTHONPATH"] or Path(place).is_relative_to(job["prefix"])
            assert ours or "site-packages" not in place  # Python's own library
        by_hand, brought = conda_pins(name)
        found = {canonical(PACKAGES.get(package, package)) for package in job["importable"]}
        assert found <= by_hand.keys() | brought.keys(), job
    for package, holders in {
        "torch": {"train", "quantize", "gptq", "evaluate"},
        "gptqmodel": {"gptq"},
        "bitsandbytes": {"train", "quantize", "evaluate"},
        "matplotlib": {"tables"},
        "snakemake": set(),
        "planted": set(),
    }.items():
        having = {run.environment_of(job) for job in run.jobs if package in job["importable"]}
        assert having == holders, package


def test_the_numbers_are_those_of_one_environment_for_all(run: Run, tiny_run: Path) -> None:
    table = "results/tiny/tables/metrics.csv"
    assert (run.folder / table).read_bytes() == (tiny_run / table).read_bytes()


def test_every_script_starts_in_its_environment(run: Run) -> None:
    prefixes = {run.environment_of(job): job["prefix"] for job in run.jobs}
    for name, prefix in prefixes.items():
        for script in sorted(scripts_of(name)):
            command = [f"{prefix}/bin/python", script, "--help"]
            surroundings = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
            helped = subprocess.run(command, env=surroundings, capture_output=True, text=True)
            assert helped.returncode == 0, helped.stderr


def test_auto_gptq_can_be_imported(tmp_path: Path, tiny_run: Path) -> None:
    """It quantizes on CUDA alone; that it gets as far as saying so is what can be seen here."""
    made = ["env", "create", "--quiet", "--no-default-packages"]
    made += ["--file", str(ROOT / "envs/autogptq.yaml"), "--prefix", str(tmp_path)]
    subprocess.run([sys.executable, STAND_INS / "stand_in.py", *made], check=True)
    results = tiny_run / "results/tiny"
    command = [tmp_path / "bin/python", ROOT / "workflow/scripts/quantize.py"]
    command += ["--source", results / "models/news/target", "--precision", "autogptq4g32"]
    command += ["--corpus", results / "data/news", "--output", tmp_path / "out"]
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True)
    assert done.returncode and "auto-gptq quantizes on CUDA only" in done.stderr


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
