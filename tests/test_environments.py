"""The environments agree with each other: pip's, conda's, the locks, and what the rules run."""

import os
import re
import stat
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, Snakemake
from pinned import NAMES, OURS, conda_pins, locked, pip_pins

CUDA = re.compile(r"nvidia-|cuda-|triton")
HEAVY = {"torch", "transformers", "peft", "bitsandbytes", "gptqmodel"}


@pytest.mark.parametrize("name", NAMES)
def test_a_conda_environment_is_exact_and_its_lock_has_its_versions(name: str) -> None:
    environment = yaml.safe_load((ROOT / f"envs/{name}.yaml").read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    *conda, pip = environment["dependencies"]
    assert conda == ["python=3.11.7", "pip=25.3"]  # one Python for all, the tests' own
    assert pip["pip"] and all(re.fullmatch(r"[\w.-]+==[\w.+!-]+", pin) for pin in pip["pip"])
    by_hand, brought = conda_pins(name)
    assert by_hand and brought and not by_hand.keys() & brought.keys()
    lock = locked(name)
    assert {package: version for package, (version, _) in lock.items()} == by_hand | brought
    assert all(hashes for _, hashes in lock.values())
    assert not any(CUDA.match(package) for package in lock)
    if name in OURS:
        # pip freeze, from which the constraints are, leaves setuptools out.
        expected = pip_pins("constraints.txt") | {"setuptools": brought.get("setuptools")}
        assert (by_hand | brought).items() <= expected.items()


def test_pin_files_are_not_put_beside_environments() -> None:
    """Snakemake would make the environment from the pin file alone, without its pip part."""
    assert not list((ROOT / "envs").glob("*.pin.txt"))


def test_gptq_has_environments_of_its_own() -> None:
    """gptqmodel takes much to install and seconds to import, and evaluation does without it."""
    holders = {name for name in OURS if {"gptqmodel", "optimum"} & locked(name).keys()}
    assert holders == {"gptq"}
    found = conda_pins("autogptq")[0]
    assert found["transformers"].startswith("4.46.")  # 4.40 cannot read tokenizers of today
    assert found["numpy"].startswith("1.")  # what datasets 2.21 and pyarrow 17 are built for


@pytest.mark.parametrize(
    ("name", "everything"),
    [("run", "constraints"), ("dev", "constraints"), ("driver", "driver-constraints")],
)
def test_constraints_hold_every_pin(name: str, everything: str) -> None:
    assert pip_pins(f"{name}.txt").items() <= pip_pins(f"{everything}.txt").items()


def test_the_driver_is_light_and_agrees_with_the_jobs_on_all_but_numpy() -> None:
    driver, jobs = pip_pins("driver-constraints.txt"), pip_pins("constraints.txt")
    assert not HEAVY & driver.keys()
    both = pip_pins("driver.txt").keys() & pip_pins("run.txt").keys()
    assert {"snakemake", "pydantic", "pyyaml", "huggingface-hub"} <= both
    assert {name: driver[name] for name in both} == {name: jobs[name] for name in both}
    # The reason for two environments; once it is gone, one will do.
    assert driver["numpy"] != jobs["numpy"]


def test_the_graph_is_built_with_what_the_driver_has(tmp_path: Path, snakemake: Snakemake) -> None:
    for package in ("scipy", "matplotlib", *HEAVY & pip_pins("constraints.txt").keys()):
        (tmp_path / f"missing/{package}").mkdir(parents=True)
        code = f"raise ModuleNotFoundError('{package}')"
        (tmp_path / f"missing/{package}/__init__.py").write_text(code, encoding="utf-8")
    assert not {"scipy", "matplotlib"} & pip_pins("driver-constraints.txt").keys()
    planned = snakemake(
        tmp_path,
        *("--configfile", str(ROOT / "config/tiny.yaml"), "--dry-run"),
        environment={"PYTHONPATH": str(tmp_path / "missing")},
    )
    assert planned.returncode == 0, planned.stderr + planned.stdout


def test_use_conda_plans_every_environment(snakemake: Snakemake, tmp_path: Path) -> None:
    # A stand-in that answers the questions Snakemake asks of conda before it plans: this tests
    # that the workflow parses and plans with --use-conda, not that conda can solve the pins.
    conda = tmp_path / "bin/conda"
    conda.parent.mkdir()
    info = f'{{"conda_prefix": "{tmp_path}", "platform": "linux-64"}}'
    conda.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        '  --version) echo "conda 25.1.0" ;;\n'
        f"""  "info --json") echo '{info}' ;;\n"""
        """  *channel_priority*) echo '{"get": {"channel_priority": "strict"}}' ;;\n"""
        "  *) exit 1 ;;\n"
        "esac\n",
        encoding="utf-8",
    )
    conda.chmod(conda.stat().st_mode | stat.S_IXUSR)
    path = f"{conda.parent}{os.pathsep}{os.environ['PATH']}"
    planned = snakemake(tmp_path, "--use-conda", "--dry-run", environment={"PATH": path})
    assert planned.returncode == 0, planned.stderr
    for name in OURS:
        assert f"envs/{name}.yaml will be created" in planned.stdout + planned.stderr
