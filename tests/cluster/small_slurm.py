"""The project's workflow on the tests' Slurm, and what Slurm knows of its jobs."""

import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT

DRIVER = ROOT / ".venv-driver/bin/snakemake"
TINY = str(ROOT / "config/tiny.yaml")
SHIPPED: dict[str, Any] = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
SITE = {
    "default-resources": {"slurm_account": "none", "slurm_partition": "cpu"},
    # A wave of jobs costs ten seconds as it is.
    "slurm-init-seconds-before-status-checks": 2,
    "latency-wait": 10,
}
PATIENCE = 1500  # seconds for a run
PAIR = re.compile(r"([\w:/]+)=(.*?)(?= [\w:/]+=|$)")  # values may have blanks


class Workflow:
    """The workflow in a folder of its own, driven from the driver's environment."""

    def __init__(
        self, folder: Path, config: Mapping[str, Any] | None = None, **profile: Any
    ) -> None:
        """`folder` may hold results already; `config` is laid over config/tiny.yaml, and `profile`
        over the shipped one."""
        self.folder = folder
        site = SHIPPED | SITE | profile
        site["default-resources"] = SHIPPED["default-resources"] | site["default-resources"]
        (folder / "site").mkdir(parents=True, exist_ok=True)
        (folder / "site/config.yaml").write_text(yaml.safe_dump(site))
        (folder / "test.yaml").write_text(yaml.safe_dump(dict(config or {})))
        self.said = folder / "said.txt"

    def start(self, *targets: str) -> subprocess.Popen[str]:
        """Start the driver; `end` waits for it."""
        with self.said.open("w") as stream:
            return subprocess.Popen(
                [
                    *(str(DRIVER), *targets, "--snakefile", str(ROOT / "Snakefile")),
                    *("--workflow-profile", str(self.folder / "site")),
                    *("--configfile", TINY, str(self.folder / "test.yaml")),
                ],
                cwd=self.folder,
                stdout=stream,
                stderr=subprocess.STDOUT,
                text=True,
            )

    def end(self, driver: subprocess.Popen[str], *, well: bool = True) -> str:
        """Wait for the end, which must be a good one or (not `well`) a bad one; what was said."""
        try:
            code = driver.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            driver.terminate()
            pytest.fail(f"not finished in {PATIENCE} s:\n{self.said.read_text()[-3000:]}")
        assert (code == 0) == well, self.said.read_text()[-3000:]
        return self.said.read_text()


def begun(source: Path, folder: Path, parts: Sequence[str]) -> Path:
    """A working directory in which only `parts` of the results of `source` are there."""
    shutil.copytree(source / ".snakemake/metadata", folder / ".snakemake/metadata")
    for part in parts:
        shutil.copytree(source / "results/tiny" / part, folder / "results/tiny" / part)
    return folder


def slurm(*command: str) -> str:
    """What one of Slurm's commands says."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def jobs(folder: Path, comment: str = "") -> list[dict[str, str]]:
    """What scontrol shows of the jobs sent from `folder` so far, the oldest first; the plugin
    writes the rule's name into the comment."""
    lines = [line for line in slurm("scontrol", "show", "job", "-o").splitlines() if "=" in line]
    shown = [{key: value.strip() for key, value in PAIR.findall(line)} for line in lines]
    found = [job for job in shown if job["WorkDir"] == str(folder)]
    found = [job for job in found if comment in job.get("Comment", "")]
    return sorted(found, key=lambda job: int(job["JobId"]))
