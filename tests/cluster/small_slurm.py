"""The project's workflow on the tests' Slurm, and what Slurm knows of its jobs."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
import yaml

ROOT = Path(__file__).parents[2]
DRIVER = ROOT / ".venv-driver/bin/snakemake"
TINY = (str(ROOT / "config/tiny.yaml"),)
SITE = {
    "default-resources": {"slurm_account": "none", "slurm_partition": "cpu"},
    # A wave of jobs costs ten seconds as it is.
    "slurm-init-seconds-before-status-checks": 2,
    "latency-wait": 10,
}
PATIENCE = 1500  # seconds for a run

T = TypeVar("T")
PAIR = re.compile(r"([\w:/]+)=(.*?)(?= [\w:/]+=|$)")  # values may have blanks


@dataclass(frozen=True)
class Run:
    """A run of the workflow: where it was, how it ended and what it said."""

    folder: Path
    code: int
    said: str


class Workflow:
    """The workflow in a folder of its own, driven from the driver's environment."""

    def __init__(
        self, folder: Path, config: Mapping[str, Any] | None = None, **profile: Any
    ) -> None:
        """Lay the site's profile and the test's configuration beside the results.

        Args:
            folder: the working directory; it may hold results already.
            config: laid over config/tiny.yaml.
            profile: settings of the profile that are not the shipped ones.
        """
        self.folder = folder
        folder.mkdir(exist_ok=True)
        shipped = self.shipped()
        site = shipped | SITE | profile
        site["default-resources"] = shipped["default-resources"] | site["default-resources"]
        (folder / "site").mkdir(exist_ok=True)
        (folder / "site/config.yaml").write_text(yaml.safe_dump(site))
        (folder / "test.yaml").write_text(yaml.safe_dump(dict(config or {})))
        self.said = folder / "said.txt"

    @staticmethod
    def shipped() -> dict[str, Any]:
        """The profile as users get it."""
        return dict(yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text()))

    def start(self, *targets: str) -> subprocess.Popen[str]:
        """Start the driver; `end` waits for it."""
        with self.said.open("w") as stream:
            return subprocess.Popen(
                [
                    *(str(DRIVER), *targets, "--snakefile", str(ROOT / "Snakefile")),
                    *("--workflow-profile", str(self.folder / "site")),
                    *("--configfile", *TINY, str(self.folder / "test.yaml")),
                ],
                cwd=self.folder,
                stdout=stream,
                stderr=subprocess.STDOUT,
                text=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )

    def end(self, driver: subprocess.Popen[str]) -> Run:
        try:
            code = driver.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            driver.terminate()
            pytest.fail(f"not finished in {PATIENCE} s:\n{self.said.read_text()[-3000:]}")
        return Run(self.folder, code, self.said.read_text())

    def run(self, *targets: str) -> Run:
        return self.end(self.start(*targets))

    def training(self, driver: subprocess.Popen[str], output: str) -> psutil.Process:
        """The process that trains `output`, as soon as a checkpoint of it is whole."""

        def found() -> psutil.Process | None:
            if driver.poll() is not None:
                pytest.fail(f"the driver has ended:\n{self.said.read_text()[-3000:]}")
            whole = "results/tiny/checkpoints/*/checkpoint-*/trainer_state.json"
            for job in (
                psutil.process_iter(["cmdline", "cwd"]) if any(self.folder.glob(whole)) else ()
            ):
                # The interpreter itself, not the shell that started it.
                command = job.info["cmdline"] or []
                if command[-1:] == [output] and job.info["cwd"] == str(self.folder):
                    return job
            return None

        return wait_for(found, f"a checkpoint of {output}")


class Slurm:
    """The tests' Slurm."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def jobs(self, folder: Path, comment: str = "") -> list[dict[str, str]]:
        """What scontrol shows of the jobs so far, the oldest first.

        Args:
            folder: that they were sent from.
            comment: a part of it; the plugin writes the rule's name there.
        """
        shown = self.ask("scontrol", "show", "job", "-o").splitlines()
        jobs = [
            {key: value.strip() for key, value in PAIR.findall(line)}
            for line in shown
            if line.startswith("JobId=")
        ]
        found = [
            job
            for job in jobs
            if job["WorkDir"] == str(folder) and comment in job.get("Comment", "")
        ]
        return sorted(found, key=lambda job: int(job["JobId"]))

    @staticmethod
    def steps() -> list[int]:
        """Ids of the processes that hold a job's step on the node."""
        return [
            each.pid for each in psutil.process_iter(["name"]) if each.info["name"] == "slurmstepd"
        ]

    def state(self) -> str:
        """Of the node."""
        return self.ask("sinfo", "-h", "-p", "cpu", "-o", "%T")

    @staticmethod
    def ask(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def wait_for(what: Callable[[], T], why: str) -> T:
    """The first true answer."""
    end = time.monotonic() + 180
    while time.monotonic() < end:
        if answer := what():
            return answer
        time.sleep(0.05)
    pytest.fail(f"{why} not within 180 s")


def begun(source: Path, folder: Path, parts: Sequence[str]) -> Path:
    """A working directory in which only `parts` of the results of `source` are there."""
    shutil.copytree(source / ".snakemake/metadata", folder / ".snakemake/metadata")
    for part in parts:
        shutil.copytree(source / "results/tiny" / part, folder / "results/tiny" / part)
    return folder
