"""Snakemake's cache between workflows: who shares an entry, and who must not."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT, Snakemake
from test_workflow import edit

from qunlearn import caching
from qunlearn.errors import InputError

TINY = str(ROOT / "config/tiny.yaml")
TRAINED = ("base", "target", "retrain")
Shared = Callable[..., dict[str, bool]]


def environment(store: Path) -> dict[str, str]:
    return {caching.LOCATION: str(store)}


@pytest.mark.parametrize(
    ("location", "complaint"),
    [
        (None, "--cache was given, but the variable SNAKEMAKE_OUTPUT_CACHE is not set"),
        ("cache", "SNAKEMAKE_OUTPUT_CACHE: 'cache' is no absolute path"),
        ("/nowhere/cache", "SNAKEMAKE_OUTPUT_CACHE: there is no folder /nowhere/cache; make it"),
    ],
)
def test_a_cache_that_cannot_be_used_is_told_before_the_first_job(
    location: str | None, complaint: str
) -> None:
    with pytest.raises(InputError, match=re.escape(complaint)):
        caching.check_location(location)


def test_the_versions_are_those_of_the_jobs_interpreter(tmp_path: Path) -> None:
    own = caching.versions(sys.executable)
    assert own["torch"] and own["python"] and own["accelerate"]
    pretended = tmp_path / "pretended"
    pretended.write_text(f"#!/bin/sh\necho '{json.dumps({'torch': '0.1'})}'\n")
    pretended.chmod(0o755)
    assert caching.versions(str(pretended)) == {"torch": "0.1"}
    with pytest.raises(InputError, match="config key 'python': no-such-python does not tell"):
        caching.versions("no-such-python")


def test_exchanged_files_are_other_content(tmp_path: Path) -> None:
    files = [tmp_path / "raw" / f"{name}.json" for name in ("forget", "retain1")]
    files[0].parent.mkdir()
    for file, text in zip(files, "ab", strict=True):
        file.write_text(text)
    before = caching.content([str(file) for file in files])
    for file, text in zip(files, "ba", strict=True):
        file.write_text(text)
    assert caching.content([str(file) for file in files]) != before


@pytest.mark.parametrize("location", [None, "cache"])
def test_the_workflow_refuses_such_a_cache_in_one_line(
    snakemake: Snakemake, tmp_path: Path, location: str | None
) -> None:
    surroundings = {} if location is None else {caching.LOCATION: location}
    done = snakemake(
        tmp_path, "--configfile", TINY, "--cache", "--dry-run", environment=surroundings
    )
    assert done.returncode != 0
    assert "error: " in done.stderr and caching.LOCATION in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def told(report: str, experiment: str = "tiny") -> dict[str, bool]:
    """`<corpus>/<name>` of a dry run's trainings -> whether the cache has it."""
    pattern = rf"Output file results/{experiment}/models/(\S+) will be (obtained from|written to)"
    return {name: how == "obtained from" for name, how in re.findall(pattern, report)}


@pytest.fixture(scope="module")
def filled(snakemake: Snakemake, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A cache, and the folder of the run that filled it with base, target and retrain of news."""
    folder = tmp_path_factory.mktemp("first")
    store = folder / "cache"
    store.mkdir()
    wanted = [f"results/tiny/models/news/{name}" for name in ("target", "retrain")]
    done = snakemake(
        folder, *wanted, "--configfile", TINY, "--cache", environment=environment(store)
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return store, folder


@pytest.fixture
def shared(filled: tuple[Path, Path], snakemake: Snakemake, tmp_path: Path) -> Shared:
    """Which trainings of a changed experiment, in a folder of its own, the cache has."""

    def asked(*arguments: str, surroundings: dict[str, str] | None = None, **change: Any) -> Any:
        changed = tmp_path / "changed.yaml"
        changed.write_text(yaml.safe_dump(change), encoding="utf-8")
        corpora = change.get("corpora", ["news"])
        experiment = change.get("experiment", "tiny")
        done = snakemake(
            tmp_path,
            *(f"results/{experiment}/models/{corpus}/target" for corpus in corpora),
            *("--configfile", TINY, str(changed), "--cache", "--dry-run", *arguments),
            environment=environment(filled[0]) | (surroundings or {}),
        )
        assert done.returncode == 0, done.stderr
        return told(done.stdout + done.stderr, experiment)

    return asked


HIT = {"news/base": True, "news/target": True}
MISS = {"news/base": False, "news/target": False}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({"experiment": "other"}, HIT, id="another name"),
        pytest.param({"evaluate": {"verbmem_tokens": 9}}, HIT, id="how models are asked"),
        pytest.param({"unlearn": {"settings": {"lr": 1.0}}}, HIT, id="how is unlearned"),
        pytest.param({"keep": "tables"}, HIT, id="what stays on the disk"),
        pytest.param({"corpus": {"mini": {"seed": 1}}}, MISS, id="another corpus"),
        pytest.param({"train": {"base": {"lr": 0.002}}}, MISS, id="another base"),
        pytest.param(
            {"train": {"target": {"epochs": 3}}},
            {"news/base": True, "news/target": False},
            id="another training of target",
        ),
        pytest.param(
            {"resources": {"train": {"threads": 2}}}, MISS, id="threads, which move the last bit"
        ),
        pytest.param(
            {"corpora": ["news", "books"]},
            {**HIT, "books/base": False, "books/target": False},
            id="a second corpus",
        ),
    ],
)
def test_who_shares_an_entry(
    shared: Shared, change: dict[str, Any], expected: dict[str, bool]
) -> None:
    assert shared(**change) == expected


@pytest.mark.slow
def test_each_seed_has_its_own_entry(
    filled: tuple[Path, Path], snakemake: Snakemake, tmp_path: Path
) -> None:
    every = ("--config", "seed_scope=all", "seeds=[0,1]")
    done = snakemake(
        tmp_path,
        *(f"results/tiny/models/news/target/seed{seed}" for seed in (0, 1)),
        *("--configfile", TINY, *every, "--cache", "--dry-run"),
        environment=environment(filled[0]),
    )
    assert told(done.stdout + done.stderr) == {
        f"news/{name}/seed{seed}": seed == 0 for name in ("base", "target") for seed in (0, 1)
    }


@pytest.mark.slow
def test_other_packages_and_other_code_do_not_share(
    filled: tuple[Path, Path], shared: Shared, snakemake: Snakemake, tmp_path: Path
) -> None:
    newer = tmp_path / "python"
    versions = caching.versions(sys.executable) | {"torch": "99.0"}
    newer.write_text(
        "#!/bin/sh\n"
        f"if [ \"$2\" = qunlearn.caching ]; then echo '{json.dumps(versions)}'; exit; fi\n"
        f'exec {sys.executable} "$@"\n'
    )
    newer.chmod(0o755)
    assert shared(python=str(newer)) == MISS
    checkout = tmp_path / "checkout"
    for part in ("src", "workflow", "config", "envs", "profiles", "resources"):
        shutil.copytree(ROOT / part, checkout / part)
    for file in ("Snakefile", "config.yaml"):
        shutil.copy(ROOT / file, checkout / file)
    own = ("--snakefile", str(checkout / "Snakefile"))
    trainer = checkout / "src/qunlearn/training/finetune.py"
    trainer.write_text("# a comment\n" + trainer.read_text(encoding="utf-8"), encoding="utf-8")
    assert shared(*own) == HIT
    edit(trainer, "dtype=torch.bfloat16", "dtype=torch.float16")
    assert shared(*own)["news/target"] is False


@pytest.mark.slow
def test_a_second_experiment_trains_nothing_and_has_the_same_numbers(
    filled: tuple[Path, Path], tiny_run: Path, snakemake: Snakemake, tmp_path: Path
) -> None:
    store, first = filled
    named = tmp_path / "other.yaml"
    named.write_text("experiment: other\n", encoding="utf-8")
    arguments = ("--configfile", TINY, str(named), "--cache")
    done = snakemake(tmp_path, *arguments, environment=environment(store))
    assert done.returncode == 0, done.stderr[-3000:]
    results = tmp_path / "results/other"
    # Snakemake makes the log of a job that it takes from the cache; no script wrote into it.
    assert [log.read_bytes() for log in (results / "logs/models").rglob("*.log")] == 3 * [b""]
    for name in TRAINED:
        manifest = results / f"models/news/{name}/manifest.json"
        assert manifest.resolve().is_relative_to(store)
        if name != "base":
            made = first / f"results/tiny/models/news/{name}/manifest.json"
            assert manifest.read_bytes() == made.read_bytes()
    tables = [folder / "tables/metrics.csv" for folder in (results, tiny_run / "results/tiny")]
    other, tiny = (table.read_text(encoding="utf-8") for table in tables)
    assert re.sub("^other,", "tiny,", other, flags=re.MULTILINE) == tiny
    again = snakemake(tmp_path, *arguments, environment=environment(store))
    assert "Nothing to be done" in again.stderr
    # The first run, whose folders have become links, has nothing to do either.
    wanted = [f"results/tiny/models/news/{name}" for name in ("target", "retrain")]
    first_again = snakemake(
        first, *wanted, "--configfile", TINY, "--cache", environment=environment(store)
    )
    assert "Nothing to be done" in first_again.stderr


@pytest.mark.slow
def test_two_runs_that_fill_an_entry_at_once_both_end_well(
    snakemake: Snakemake, tmp_path: Path
) -> None:
    from concurrent.futures import ThreadPoolExecutor

    store = tmp_path / "cache"
    store.mkdir()
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()

    def train(folder: Path) -> int:
        done = snakemake(
            folder,
            *("results/tiny/models/news/base", "--configfile", TINY, "--cache"),
            environment=environment(store),
        )
        return done.returncode

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(train, folders)) == [0, 0]
    weights = [folder / "results/tiny/models/news/base/model.safetensors" for folder in folders]
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert len(list(store.iterdir())) == 1
