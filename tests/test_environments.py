"""The environments agree with each other: pip's, conda's, and what the rules name."""

import os
import stat
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, Snakemake

ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))
OURS = [file for file in ENVIRONMENTS if file.stem != "autogptq"]
"""All but the one that has older versions of everything, for a package that needs them."""


def pins(file: Path) -> dict[str, str]:
    """Package -> version of a requirements file whose every line is an exact pin."""
    lines = file.read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def conda_pins(file: Path) -> dict[str, str]:
    """Package -> version of a conda environment, which takes all but Python itself from pip."""
    environment = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    *conda, pip = environment["dependencies"]
    assert conda == ["python=3.11", "pip"]
    return dict(line.split("==") for line in pip["pip"])


@pytest.mark.parametrize("file", OURS, ids=lambda file: file.stem)
def test_conda_environments_pin_what_pip_does(file: Path) -> None:
    expected = pins(ROOT / "envs/pip/run.txt")
    for name, version in conda_pins(file).items():
        assert expected[name] == version


def test_gptq_has_environments_of_its_own() -> None:
    """gptqmodel takes much to install and seconds to import, and evaluation does without it."""
    holders = {file.stem for file in OURS if {"gptqmodel", "optimum"} & conda_pins(file).keys()}
    assert holders == {"gptq"}


def test_auto_gptq_has_what_it_can_be_imported_with() -> None:
    found = conda_pins(ROOT / "envs/autogptq.yaml")
    assert found["auto-gptq"] == "0.7.1"
    assert found["transformers"].startswith("4.46.")  # 4.40 cannot read tokenizers of today
    assert found["numpy"].startswith("1.")  # what datasets 2.21 and pyarrow 17 are built for
    assert "gptqmodel" not in found


@pytest.mark.parametrize("name", ["run.txt", "dev.txt"])
def test_constraints_hold_every_pin(name: str) -> None:
    constraints = {k.lower(): v for k, v in pins(ROOT / "envs/pip/constraints.txt").items()}
    for package, version in pins(ROOT / "envs/pip" / name).items():
        assert constraints[package.lower()] == version


def test_each_environment_is_named_by_a_rule_and_each_rule_names_one() -> None:
    rules = "".join(file.read_text() for file in (ROOT / "workflow/rules").glob("*.smk"))
    for file in ENVIRONMENTS:
        assert f"../../envs/{file.name}" in rules
    assert rules.count("    conda:") == rules.count("    shell:")


def test_use_conda_plans_every_environment(snakemake: Snakemake, tmp_path: Path) -> None:
    # A stand-in that answers the questions Snakemake asks of conda before it plans: this tests
    # that the workflow parses and plans with --use-conda, not that conda can solve the pins.
    conda = tmp_path / "bin/conda"
    conda.parent.mkdir()
    conda.write_text(
        "#!/bin/sh\n"
        'case "$*" in\n'
        '  --version) echo "conda 25.1.0" ;;\n'
        f"""  "info --json") echo '{{"conda_prefix": "{tmp_path}", "platform": "linux-64"}}' ;;\n"""
        """  *channel_priority*) echo '{"get": {"channel_priority": "strict"}}' ;;\n"""
        "  *) exit 1 ;;\n"
        "esac\n",
        encoding="utf-8",
    )
    conda.chmod(conda.stat().st_mode | stat.S_IXUSR)
    path = f"{conda.parent}{os.pathsep}{os.environ['PATH']}"
    planned = snakemake(tmp_path, "--use-conda", "--dry-run", environment={"PATH": path})
    assert planned.returncode == 0, planned.stderr
    for file in OURS:
        assert f"envs/{file.name} will be created" in planned.stdout + planned.stderr
