"""What envs/ pins, and which scripts the rules run in which environment."""

import re
from pathlib import Path

from conftest import ROOT

from qunlearn.quantize.method import methods

ENVIRONMENTS = sorted((ROOT / "envs").glob("*.yaml"))
NAMES = [file.stem for file in ENVIRONMENTS]
OURS = [name for name in NAMES if name != "autogptq"]
"""All but the one that has older versions of everything, for a package that needs them."""
BROUGHT = "# Brought along by these"


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(text: str) -> dict[str, str]:
    """Package -> version of requirements of which every one is an exact pin."""
    lines = (line.strip().removeprefix("- ") for line in text.splitlines())
    kept = (line for line in lines if line and not line.startswith("#"))
    return {canonical(name): version for name, version in (line.split("==") for line in kept)}


def pip_pins(name: str) -> dict[str, str]:
    return pins((ROOT / "envs/pip" / name).read_text(encoding="utf-8"))


def conda_pins(name: str) -> tuple[dict[str, str], dict[str, str]]:
    """Package -> version of a conda environment's pip part: by hand, and brought along by those."""
    text = (ROOT / f"envs/{name}.yaml").read_text(encoding="utf-8")
    by_hand, brought = text.partition("  - pip:\n")[2].split(BROUGHT)
    return pins(by_hand), pins(brought.partition("\n")[2])


def locked(name: str) -> dict[str, tuple[str, list[str]]]:
    """Package -> version and hashes in a lock."""
    text = (ROOT / f"envs/{name}.lock").read_text(encoding="utf-8")
    entries = re.findall(r"^([\w.-]+)==(\S+) (.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(entries) == len(re.findall(r"^\w", text, re.MULTILINE))
    found = re.compile(r"--hash=sha256:([0-9a-f]{64})\b")
    return {canonical(name): (version, found.findall(rest)) for name, version, rest in entries}


COMMON = (ROOT / "workflow/rules/common.smk").read_text(encoding="utf-8")
STEPS = re.findall(r'^    "(\w+)": \("(\w+)", "?(\w+)"?, "?(\w+)"?\),$', COMMON, re.MULTILINE)
"""Of each rule: its name, its script, its environment and its kind of job."""
METHODS = {method.environment for method in methods().values()}


def scripts_of(name: str) -> set[Path]:
    """The scripts that rules of an environment run."""
    environments = {name, "for_method"} if name in METHODS else {name}
    stems = {script for _, script, environment, _ in STEPS if environment in environments}
    return {file for stem in stems for file in (ROOT / "workflow/scripts").glob(f"{stem}.py")}
