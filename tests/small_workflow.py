"""The tiny experiment's workflow: its jobs after a change, planned or run over a finished run."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from conftest import ROOT, Snakemake

from qunlearn.run.files import read_json, write_json
from qunlearn.run.manifest import MANIFEST

TINY = ("--configfile", str(ROOT / "config/tiny.yaml"))


def over(below: Any, above: Any) -> Any:
    """`below` with the values of `above`, section by section."""
    if not isinstance(below, dict) or not isinstance(above, dict):
        return above
    return below | {key: over(below.get(key), value) for key, value in above.items()}


def tiny(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The tiny experiment with changes."""
    return over(yaml.safe_load(Path(TINY[1]).read_text(encoding="utf-8")), dict(changes))


def jobs(report: str) -> dict[str, int]:
    """Rule -> number of jobs, from a dry run's first table; empty when there is nothing to do."""
    table = re.search(r"^job +count\n[- ]+\n(.*?)^total", report, re.DOTALL | re.MULTILINE)
    lines = table[1].splitlines() if table else []
    return {name: int(count) for name, count in (line.split() for line in lines)}


def changed(folder: Path, change: Mapping[str, Any]) -> tuple[str, ...]:
    """The flags for the tiny experiment with a change, which is written into `folder`."""
    file = folder / "changed.yaml"
    file.write_text(yaml.safe_dump(dict(change)), encoding="utf-8")
    return (*TINY, str(file))


def copied(tiny_run: Path, folder: Path) -> Path:
    """A copy of a finished run, to change or to go on from."""
    for part in ("results", ".snakemake"):
        shutil.copytree(tiny_run / part, folder / part)
    return folder


def without_weights(tiny_run: Path, folder: Path) -> Path:
    """A copy of a finished run's results, to change; its models are known by their manifests."""
    large = shutil.ignore_patterns("*.safetensors", "logs", "benchmarks")
    return Path(shutil.copytree(tiny_run / "results/tiny", folder, ignore=large))


def change_manifest(folder: Path, **facts: Any) -> None:
    """Other facts in the place of some."""
    write_json(folder / MANIFEST, read_json(folder / MANIFEST) | facts)


def run_on(
    snakemake: Snakemake, tiny_run: Path, folder: Path, change: Mapping[str, Any], *targets: str
) -> Path:
    """The results of the tiny experiment with a change, run over a copy of the finished run."""
    done = snakemake(copied(tiny_run, folder), *targets, *changed(folder, change))
    assert done.returncode == 0, done.stderr[-3000:]
    return folder / "results/tiny"


def planned(
    snakemake: Snakemake, run: Path, aside: Path, change: Mapping[str, Any], *targets: str
) -> dict[str, int]:
    """The jobs that a change, written into `aside`, would run in the folder of a run."""
    done = snakemake(run, *targets, *changed(aside, change), "--dry-run")
    assert done.returncode == 0, done.stderr
    return jobs(done.stdout)
