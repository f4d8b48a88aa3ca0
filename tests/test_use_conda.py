"""The tiny experiment with --use-conda, from envs/*.yaml as they are, in real environments.

conda is a stand-in, so that this shows what the project answers for: that the pip parts can be
installed, that each job runs in the environment that its rule names, and that it sees that
environment alone. docs/environments.md says what it does not show.
"""

import json
import platform
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


def test_each_job_ran_in_the_environment_that_its_rule_names(run: Run) -> None:
    assert {run.environment_of(job) for job in run.jobs} == set(USED)
    for job in run.jobs:
        assert job["script"] in {script.name for script in scripts_of(run.environment_of(job))}
        assert job["activated"] == job["prefix"]
        assert Path(job["prefix"]).is_relative_to(run.folder / ".snakemake/conda")


def test_each_job_saw_its_environment_and_our_source_alone(run: Run) -> None:
    for job in run.jobs:
        assert job["PYTHONPATH"] == str(ROOT / "src")
        for place in job["path"]:
            ours = place == job["PYTHONPATH"] or Path(place).is_relative_to(job["prefix"])
            assert ours or "site-packages" not in place  # Python's own library


def test_no_job_could_import_what_only_others_have(run: Run) -> None:
    for job in run.jobs:
        by_hand, brought = conda_pins(run.environment_of(job))
        found = {canonical(PACKAGES.get(name, name)) for name in job["importable"]}
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


def test_manifests_tell_the_pinned_versions(run: Run) -> None:
    manifests = {
        "data": "data/news",
        "train": "unlearned/news/npo_klr/lora/seed0",
        "quantize": "quantized/news/target/nf4",
        "gptq": "quantized/news/target/gptq4g32",
        "evaluate": "eval/news/target/nf4",
    }
    for name, place in manifests.items():
        written = json.loads((run.folder / "results/tiny" / place / "manifest.json").read_text())
        assert written["python"] == PYTHON
        by_hand, brought = conda_pins(name)
        versions = {canonical(each): version for each, version in written["packages"].items()}
        told = {each: version.partition("+")[0] for each, version in versions.items()}
        assert told.items() <= (by_hand | brought).items(), name
        assert ("torch" in told) == (name != "data")


def test_the_numbers_are_those_of_one_environment_for_all(run: Run, tiny_run: Path) -> None:
    table = "results/tiny/tables/metrics.csv"
    assert (run.folder / table).read_bytes() == (tiny_run / table).read_bytes()
