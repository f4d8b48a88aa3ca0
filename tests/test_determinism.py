"""The same experiment twice on one machine gives the same bytes, whatever the surroundings.

The runs differ in all that may not matter: jobs side by side or one by one, their order, the place
and depth of the folder, Python's hash seed, time zone, locale and umask. They have the seed, the
packages and the number of threads of each job in common.
"""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Snakemake

from qunlearn.run.files import read_json, sha256
from qunlearn.run.manifest import MANIFEST

RESULTS = Path("results/tiny")
LAST_FIRST = (
    RESULTS / "eval/news/npo_klr/lora/seed0/rtn3g64/metrics.json",
    RESULTS / "survival/news/npo_klr/full/seed0",
)
# The hash seed of the other run's processes is drawn at random, and they are forked.
SURROUNDINGS = {"PYTHONHASHSEED": "1", "TZ": "Pacific/Kiritimati", "LC_ALL": "C", "LANG": "C"}
OF_TIME = ("logs", "benchmarks")
MEASURED = ("wall_seconds", "peak_memory_mib", "git_commit")  # in a manifest


def content(name: Path, file: Path) -> Any:
    """What of a file may not differ."""
    if name.name == MANIFEST:
        return {key: value for key, value in read_json(file).items() if key not in MEASURED}
    if name.suffix == ".md":  # a card, with the commit
        return re.sub(r"(?m)^\| Pipeline \|.*$", "", file.read_text(encoding="utf-8"))
    return sha256(file)


def contents(results: Path) -> dict[str, Any]:
    names = {file.relative_to(results): file for file in results.rglob("*") if file.is_file()}
    return {
        name.as_posix(): content(name, file)
        for name, file in names.items()
        if name.parts[0] not in OF_TIME and not name.name.startswith(".")
    }


@pytest.mark.slow
def test_the_same_bytes_in_another_order(
    tmp_path: Path, tiny_run: Path, snakemake: Snakemake
) -> None:
    folder = tmp_path / "much deeper" / "in another place"
    folder.mkdir(parents=True)
    arguments = ("--configfile", str(ROOT / "config/tiny.yaml"), "--cores", "1")
    before = os.umask(0o077)
    try:
        for targets in (*([str(target)] for target in LAST_FIRST), []):
            order = (*arguments, "--scheduler", "greedy", "--", *targets)
            done = snakemake(folder, *order, environment=SURROUNDINGS)
            assert done.returncode == 0, done.stderr[-3000:]
    finally:
        os.umask(before)
    first = folder / RESULTS / "eval/news/target/bf16/metrics.json"
    assert (folder / LAST_FIRST[0]).stat().st_mtime < first.stat().st_mtime

    expected, found = contents(tiny_run / RESULTS), contents(folder / RESULTS)
    assert sorted(found) == sorted(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
    for kind in ("safetensors", "jsonl", "csv", "png", "pdf", "html", "rst", "md"):
        assert any(name.endswith(kind) for name in found), f"no {kind} was compared"
