"""The rule that downloads a corpus: it alone has the network, and is refused without commits."""

from pathlib import Path

import pytest
import yaml
from conftest import Snakemake
from fake_hub import COMMIT, FakeHub, running
from muse_on_hub import NEWS, corpus, repository, tables

from qunlearn.corpora import layout
from qunlearn.corpora.excerpt import excerpt
from qunlearn.settings.corpora import ExcerptSettings


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
    assert line.startswith(f"error: config key 'revisions': the dataset {NEWS} has no commit")
    assert "pin_revisions.py --configfile hub.yaml --output revisions.yaml" in line
    assert not (folder / "results").exists()


@pytest.mark.parametrize("offline", ["", "1"])
def test_the_network_is_used_unless_the_user_forbids_it(
    folder: Path, snakemake: Snakemake, offline: str
) -> None:
    with running(FakeHub({f"datasets:{NEWS}": repository(tables(corpus()))})) as hub:
        run = snakemake(
            folder,
            *("data", "--configfile", "hub.yaml", "revisions.yaml"),
            environment={
                "HF_HOME": str(folder / "home"),
                "HF_HUB_CACHE": str(folder / "home/hub"),
                "HF_ENDPOINT": hub.url,
                "HF_HUB_OFFLINE": offline,
            },
        )
    data = folder / "results/fromhub/data/news"
    if offline:
        assert run.returncode == 1
        assert "HF_HUB_OFFLINE is set; download once with network" in run.stderr + run.stdout
        assert not hub.requests and not data.exists()
    else:
        assert run.returncode == 0, run.stderr
        assert layout.verify(data) == excerpt(corpus(), ExcerptSettings(texts=3))
