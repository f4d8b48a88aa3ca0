"""The pins of what Snakemake runs on where jobs go to Slurm."""

import re

from conftest import ROOT

PINS = ROOT / "envs/pip"
HEAVY = {"torch", "transformers", "peft", "bitsandbytes", "gptqmodel"}


def pinned(name: str) -> dict[str, str]:
    """Package, as PyPI spells all its spellings -> version."""
    lines = (PINS / name).read_text(encoding="utf-8").splitlines()
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in pairs}


def test_driver_and_jobs_agree_on_what_both_import() -> None:
    driver, jobs = pinned("driver.txt"), pinned("run.txt")
    both = driver.keys() & jobs.keys()
    assert {"snakemake", "pydantic", "pyyaml", "huggingface-hub"} <= both
    assert {name: driver[name] for name in both} == {name: jobs[name] for name in both}


def test_the_driver_is_pinned_as_a_whole_and_light() -> None:
    driver, everything = pinned("driver.txt"), pinned("driver-constraints.txt")
    assert driver.items() <= everything.items()
    assert not HEAVY & everything.keys()


def test_driver_and_jobs_need_different_numpys() -> None:
    """The reason for two environments; once it is gone, one will do."""
    assert pinned("driver-constraints.txt")["numpy"] != pinned("constraints.txt")["numpy"]
