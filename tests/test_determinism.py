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
    RESULTS / "eval/news/npo_klr/full_bf16/seed0/gptq4g32/metrics.json",
    RESULTS / "survival/news/npo_klr/full/seed0",
)
SURROUNDINGS = {
    "PYTHONHASHSEED": "1",  # that of the other run's processes is drawn at random
    "TZ": "Pacific/Kiritimati",
    "LC_ALL": "C",
    "LANG": "C",
}
TOLD_OF_TIME = ("logs", "benchmarks")
"""Folders of a run that say when and how long. What is beside them must be the same, but for:"""
MEASURED = {MANIFEST: ("wall_seconds", "peak_memory_mib", "git_commit")}
VERSIONS = Path("report/versions.html")  # sums of seconds and memory, and the commit
CARD = re.compile("^\\| Pipeline \\|.*$", re.MULTILINE)  # with the commit


def contents(results: Path) -> dict[str, Any]:
    """Relative path -> what of the file may not differ."""
    files = (file for file in sorted(results.rglob("*")) if file.is_file())
    names = {file.relative_to(results): file for file in files}
    return {
        name.as_posix(): content(name, file)
        for name, file in names.items()
        if name.parts[0] not in TOLD_OF_TIME and not name.name.startswith(".")
    }


def content(name: Path, file: Path) -> Any:
    if name.name in MEASURED:
        return without(read_json(file), MEASURED[name.name])
    if name == VERSIONS:
        # Columns: step, jobs, seconds, memory, commit; then what must be the same.
        cells = r"(<tr><td>\w+</td><td>\d+</td>)<td>[\d.]+</td><td>\d+</td><td>[^<]*</td>"
        return re.sub(cells, r"\1", file.read_text(encoding="utf-8"))
    if name.suffix == ".md":
        return CARD.sub("", file.read_text(encoding="utf-8"))
    return sha256(file)


def without(value: Any, keys: tuple[str, ...]) -> Any:
    """A JSON value without `keys`, wherever they are; its own keys in their order."""
    if isinstance(value, dict):
        return [(key, without(each, keys)) for key, each in value.items() if key not in keys]
    return [without(each, keys) for each in value] if isinstance(value, list) else value


@pytest.mark.slow
def test_the_same_bytes_in_another_order_and_place(
    tmp_path: Path, tiny_run: Path, snakemake: Snakemake
) -> None:
    folder = tmp_path / "much deeper" / "in another place"
    folder.mkdir(parents=True)
    arguments = ("--configfile", str(ROOT / "config/tiny.yaml"), "--cores", "1")
    before = os.umask(0o077)
    try:
        for targets in ([str(LAST_FIRST[0])], [str(LAST_FIRST[1])], [str(LAST_FIRST[2])], []):
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
