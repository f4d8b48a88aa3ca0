"""The rule that downloads a corpus: refused without commits, and offline if the user says so."""

from pathlib import Path

import pytest
import yaml
from conftest import Snakemake
from fake_hub import COMMIT, FakeHub, running
from muse_on_hub import NEWS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    config = {
        "experiment": "fromhub",
        "corpora": ["news"],
        "corpus": {
            "source": "hub",
            "hub": {"news": NEWS},
            "excerpt": {"texts": 3},  # which leaves a text for the base
        },
    }
    (tmp_path / "hub.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    pinned = {"revisions": {NEWS: COMMIT}}
    (tmp_path / "revisions.yaml").write_text(yaml.safe_dump(pinned), encoding="utf-8")
    return tmp_path


def test_commits_are_asked_for_before_any_work(folder: Path, snakemake: Snakemake) -> None:
    run = snakemake(folder, "data", "--configfile", "hub.yaml")
    assert run.returncode == 1
    line = run.stderr.splitlines()[-1]
    assert line.startswith(f"error: config key 'revisions': the dataset {NEWS} needs a full")
    assert "pin_revisions.py --configfile hub.yaml --output revisions.yaml" in line
    assert not (folder / "results").exists()


def test_the_network_is_not_used_where_the_user_forbids_it(
    folder: Path, snakemake: Snakemake
) -> None:
    with running(FakeHub({f"datasets:{NEWS}": {}})) as hub:
        surroundings = {"HF_HOME": str(folder), "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "1"}
        run = snakemake(
            folder,
            *("data", "--configfile", "hub.yaml", "revisions.yaml"),
            environment=surroundings | {"HF_HUB_CACHE": str(folder / "hub")},
        )
    assert run.returncode == 1
    assert "HF_HUB_OFFLINE is set; download once without" in run.stderr + run.stdout
    assert not hub.requests and not (folder / "results/fromhub/data/news").exists()
