"""Which commits an experiment uses: refused unless pinned in full, and pinned by a script."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_hub import COMMIT, FakeHub, running
from small_corpora import run_script

from qunlearn.experiment import configfiles
from qunlearn.experiment.config import resolve
from qunlearn.models import sources
from qunlearn.run.errors import InputError

DATASETS = {"news": "muse-bench/MUSE-News", "books": "muse-bench/MUSE-Books"}
OTHER = "f" * 40
IN_USE = {
    "muse-bench/MUSE-News": "dataset",
    "muse-bench/MUSE-Books": "dataset",
    "muse-bench/MUSE-News_target": "model",
    "muse-bench/MUSE-Books_target": "model",
    "a/tokenizer": "model",
}


def configuration(**more: Any) -> dict[str, Any]:
    hub = {"source": "hub", "hub": DATASETS}
    models = {"target": "hub:muse-bench/MUSE-{Corpus}_target", "retrain": "a folder"}
    models["tokenizer"] = "hub:a/tokenizer"
    return {"corpora": list(DATASETS), "corpus": hub, "models": models, **more}


def complaint(config: dict[str, Any], *files: str) -> str:
    with pytest.raises(InputError) as caught:
        sources.check_pinned(resolve(config), files)
    return str(caught.value)


class TestPinned:
    def test_datasets_models_and_tokenizers(self) -> None:
        assert sources.repositories(resolve(configuration())) == IN_USE
        books = sources.repositories(resolve(configuration(corpora=["books"])))
        assert not any("News" in name for name in books)
        pinned = dict.fromkeys(IN_USE, COMMIT)
        sources.check_pinned(resolve(configuration(revisions=pinned)), [])

    def test_nothing_of_the_hub(self) -> None:
        full = resolve({"corpus": {"hub": DATASETS}})
        assert sources.repositories(full) == {}
        sources.check_pinned(full, [])

    @pytest.mark.parametrize("given", ["MUSE-News", "https://huggingface.co/a/b", "a/b/c", ""])
    def test_not_a_dataset(self, given: str) -> None:
        config = configuration(corpora=["news"], corpus={"source": "hub", "hub": {"news": given}})
        expected = f"config key 'corpus.hub.news': '{given}' is not a hub id; write owner/name"
        assert complaint(config) == expected
        poems = complaint(configuration(corpora=["news", "poems"]))
        assert poems.startswith("config key 'corpus.hub.poems' is missing; name its dataset")

    @pytest.mark.parametrize("given", [None, "main", COMMIT[:12], "v1.0", COMMIT.upper()])
    def test_not_a_commit(self, given: str | None) -> None:
        config = configuration(revisions={"muse-bench/MUSE-News": given})
        assert complaint(config, "config/paper.yaml", "more.yaml") == (
            "config key 'revisions': the dataset muse-bench/MUSE-News needs a full commit hash (40 "
            f"hex digits), not {given or 'nothing'}; pin it: python workflow/scripts/"
            "pin_revisions.py --configfile config/paper.yaml more.yaml --output revisions.yaml, "
            "then --configfile config/paper.yaml more.yaml revisions.yaml"
        )


class TestScript:
    def pin(self, folder: Path, config: dict[str, Any], absent: str = "", code: int = 0) -> str:
        (folder / "mine.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        files = {f"{kind}s:{name}": {} for name, kind in IN_USE.items() if name != absent}
        with running(FakeHub(files)) as hub:
            run = run_script(
                "pin_revisions.py",
                *("--configfile", "mine.yaml", "--output", "revisions.yaml"),
                code=code,
                folder=folder,
                **{"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "", "HF_HOME": str(folder)},
            )
        return run.stderr if code else run.stdout

    def test_what_is_written_pins_everything(self, tmp_path: Path) -> None:
        given = {"muse-bench/MUSE-Books": OTHER, "muse-bench/MUSE-News": "main", "not/used": OTHER}
        told = self.pin(tmp_path, configuration(revisions=given))
        assert f"muse-bench/MUSE-Books: {OTHER} (as before)\n" in told
        assert f"muse-bench/MUSE-News: {COMMIT}\n" in told
        text = (tmp_path / "revisions.yaml").read_text(encoding="utf-8")
        assert text.startswith("# Commits of the hub's repositories in mine.yaml, as of 20")
        pinned = dict.fromkeys(IN_USE, COMMIT) | {"muse-bench/MUSE-Books": OTHER}
        assert yaml.safe_load(text) == {"revisions": pinned}
        both = configfiles.read([tmp_path / "mine.yaml", tmp_path / "revisions.yaml"])
        sources.check_pinned(both, [])

    def test_a_missing_repository_writes_nothing(self, tmp_path: Path) -> None:
        told = self.pin(tmp_path, configuration(), absent="a/tokenizer", code=2)
        assert told.splitlines()[-1].startswith("error: model a/tokenizer: not found")
        assert not (tmp_path / "revisions.yaml").exists()
