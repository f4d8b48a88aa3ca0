"""The environments agree with each other, and jobs run in the ones that their rules name.

With --use-conda (slow) the tiny experiment runs in real environments from the locks of envs/. conda
is a stand-in, so that this shows what the project answers for; docs/environments.md says what it
does not show.
"""

import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Snakemake
from small_workflow import TINY

ENVS = ROOT / "envs"
NAMES = sorted(file.stem for file in ENVS.glob("*.yaml"))
OURS = [name for name in NAMES if name != "autogptq"]
"""All but the one that has older versions of everything, for a package that needs them."""
CUDA = re.compile(r"nvidia-|cuda-|triton")
HEAVY = {"torch", "transformers", "peft", "bitsandbytes", "gptqmodel"}
PYTHON = "3.11.7"
STAND_INS = Path(__file__).parent / "conda"


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    """Package -> version of requirements of which every one is an exact pin."""
    lines = (line.strip().removeprefix("- ") for line in text.splitlines())
    kept = (line for line in lines if line and not line.startswith("#"))
    return {canonical(name): version for name, version in (line.split("==") for line in kept)}


def pip_pins(name: str) -> dict[str, str]:
    return pins((ENVS / "pip" / f"{name}.txt").read_text(encoding="utf-8"))


def locked(name: str) -> dict[str, str]:
    """Package -> version in a lock, in which each has hashes."""
    text = (ENVS / f"{name}.lock").read_text(encoding="utf-8")
    hashed = re.findall(r"^([\w.-]+)==(\S+) .*\n +--hash=sha256:[0-9a-f]{64}", text, re.MULTILINE)
    assert len(hashed) == len(re.findall(r"^\w", text, re.MULTILINE))
    return {canonical(package): version for package, version in hashed}


@pytest.mark.parametrize("name", NAMES)
def test_a_conda_environment_is_exact_and_its_lock_has_its_versions(name: str) -> None:
    text = (ENVS / f"{name}.yaml").read_text(encoding="utf-8")
    environment = yaml.safe_load(text)
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    *conda, _ = environment["dependencies"]
    assert conda == [f"python={PYTHON}", "pip=25.3"]  # one Python for all, the tests' own
    own, _, others = text.partition("  - pip:\n")[2].partition("# Brought along by these")
    by_hand, brought = pins(own), pins(others.partition("\n")[2])
    assert by_hand and brought and not by_hand.keys() & brought.keys()
    assert locked(name) == by_hand | brought
    assert not any(CUDA.match(package) for package in locked(name))
    if name in OURS:
        # pip freeze, from which the constraints are, leaves setuptools out.
        expected = pip_pins("constraints") | {"setuptools": brought.get("setuptools")}
        assert (by_hand | brought).items() <= expected.items()


def test_the_driver_is_light_and_agrees_with_the_jobs_on_all_but_numpy() -> None:
    driver, jobs = pip_pins("driver-constraints"), pip_pins("constraints")
    for name, constraints in (("run", jobs), ("dev", jobs), ("driver", driver)):
        assert pip_pins(name).items() <= constraints.items()
    assert not (HEAVY | {"scipy", "matplotlib"}) & driver.keys()
    both = pip_pins("driver").keys() & pip_pins("run").keys()
    assert {"snakemake", "pydantic", "pyyaml", "huggingface-hub"} <= both
    assert {name: driver[name] for name in both} == {name: jobs[name] for name in both}
    # The reason for two environments; once it is gone, one will do.
    assert driver["numpy"] != jobs["numpy"]


@pytest.fixture(scope="module")
def conda(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the stand-in as `conda`."""
    program = tmp_path_factory.mktemp("bin") / "conda"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{STAND_INS}/stand_in.py" "$@"\n')
    program.chmod(0o755)
    return program.parent


def test_the_driver_plans_environments(conda: Path, snakemake: Snakemake, tmp_path: Path) -> None:
    """Without the packages that it does not have."""
    for package in ("scipy", "matplotlib", *HEAVY):
        (tmp_path / f"missing/{package}").mkdir(parents=True)
        code = f"raise ModuleNotFoundError('{package}')"
        (tmp_path / f"missing/{package}/__init__.py").write_text(code, encoding="utf-8")
    surroundings = {
        "PYTHONPATH": str(tmp_path / "missing"),
        "PATH": f"{conda}{os.pathsep}{os.environ['PATH']}",
    }
    planned = snakemake(tmp_path, "--use-conda", "--dry-run", environment=surroundings)
    assert planned.returncode == 0, planned.stderr + planned.stdout
    for name in OURS:
        assert f"envs/{name}.yaml will be created" in planned.stdout + planned.stderr


# --- Real environments -----------------------------------------------------------------------


def slow(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test that installs packages."""
    other = platform.python_version() != PYTHON
    reason = f"the environments' Python is the tests' own, and envs/*.yaml pin {PYTHON}"
    return pytest.mark.slow(pytest.mark.skipif(other, reason=reason)(test))


SEEN = {
    "data": {"make_corpus.py"},
    "train": {"finetune.py", "unlearn.py"},
    "quantize": {"quantize.py", "measure_survival.py"},
    "gptq": {"quantize.py"},
    "evaluate": {"evaluate.py"},
    "tables": {"analyse.py", "write_tables.py"},
}
"""Environment -> the scripts whose rules name it, as far as tiny's tables need them."""
HOLDERS = {
    "torch": {"train", "quantize", "gptq", "evaluate"},
    "gptqmodel": {"gptq"},
    "bitsandbytes": {"train", "quantize", "evaluate"},
    "matplotlib": {"tables"},
    "snakemake": set(),
    "planted": set(),  # which the user has for himself
}


@slow
def test_each_job_sees_the_environment_that_its_rule_names_and_our_source_alone(
    conda: Path, snakemake: Snakemake, tmp_path: Path, tiny_run: Path
) -> None:
    planted = tmp_path / "user/lib/python3.11/site-packages/planted.py"
    witnessed = tmp_path / "witnessed"
    for folder in (planted.parent, witnessed):
        folder.mkdir(parents=True)
    planted.touch()
    done = snakemake(
        tmp_path,
        *("tables", "--use-conda", *TINY, "--config", f"python={STAND_INS / 'witness.sh'}"),
        environment={
            "PATH": f"{conda}:/usr/local/bin:/usr/bin:/bin",
            "PYTHONUSERBASE": str(tmp_path / "user"),
            "WITNESS": str(witnessed),
            "PIP_NO_COMPILE": "1",
        },
    )
    assert done.returncode == 0, done.stderr[-5000:]
    table = "results/tiny/tables/metrics.csv"
    assert (tmp_path / table).read_bytes() == (tiny_run / table).read_bytes()

    seen: dict[str, set[str]] = {}
    holders: dict[str, set[str]] = {package: set() for package in HOLDERS}
    for file in witnessed.iterdir():
        job: dict[str, Any] = json.loads(file.read_text())
        made_from = yaml.safe_load(Path(f"{job['prefix']}.yaml").read_text(encoding="utf-8"))
        name = made_from["name"].removeprefix("qunlearn-")
        seen.setdefault(name, set()).add(job["script"])
        assert job["activated"] == job["prefix"]
        assert Path(job["prefix"]).is_relative_to(tmp_path / ".snakemake/conda")
        assert job["PYTHONPATH"] == str(ROOT / "src")
        for place in job["path"]:
            ours = place == job["PYTHONPATH"] or Path(place).is_relative_to(job["prefix"])
            assert ours or "site-packages" not in place  # Python's own library
        for package in HOLDERS.keys() & job["importable"]:
            holders[package].add(name)
    assert (seen, holders) == (SEEN, HOLDERS)


@slow
def test_auto_gptq_can_be_imported(tmp_path: Path, tiny_run: Path) -> None:
    """It quantizes on CUDA alone, and says so where there is none."""
    made = ["env", "create", "--quiet", "--no-default-packages"]
    made += ["--file", str(ENVS / "autogptq.yaml"), "--prefix", str(tmp_path)]
    subprocess.run([sys.executable, STAND_INS / "stand_in.py", *made], check=True)
    results = tiny_run / "results/tiny"
    command = [tmp_path / "bin/python", ROOT / "workflow/scripts/quantize.py"]
    command += ["--source", results / "models/news/target", "--precision", "autogptq4g32"]
    command += ["--corpus", results / "data/news", "--output", tmp_path / "out"]
    surroundings = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    imports = [command[0], "-c", "from auto_gptq import AutoGPTQForCausalLM"]
    subprocess.run(imports, env=surroundings, check=True)
    done = subprocess.run(command, env=surroundings, capture_output=True, text=True)
    assert done.returncode and "and CUDA; use gptq4" in done.stderr
