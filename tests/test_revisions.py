"""Which commits an experiment uses: refused unless pinned in full, and pinned by a script."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import ROOT
from fake_hub import COMMIT, FakeHub, running
from huggingface_hub.utils import HFValidationError, validate_repo_id
from small_corpora import run_script

from qunlearn import configfiles, revisions
from qunlearn.config import load_schema, resolve, unlearn_settings
from qunlearn.errors import InputError
from qunlearn.hub import check_id

SCHEMA = load_schema(ROOT / "workflow/schemas/config.schema.yaml")
DATASETS = {"news": "muse-bench/MUSE-News", "books": "muse-bench/MUSE-Books"}
OTHER = "f" * 40


def configuration(**more: Any) -> dict[str, Any]:
    hub = {"source": "hub", "hub": DATASETS}
    models = {"target": "hub:muse-bench/MUSE-{Corpus}_target", "retrain": "a folder"}
    return {"corpora": list(DATASETS), "corpus": hub, "models": models, **more}


def complaint(config: dict[str, Any], *files: str) -> str:
    with pytest.raises(InputError) as caught:
        revisions.check(resolve(config, SCHEMA), files)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestWhatIsInUse:
    def test_datasets_and_models(self) -> None:
        assert revisions.in_use(resolve(configuration(), SCHEMA)) == {
            "muse-bench/MUSE-News": "dataset",
            "muse-bench/MUSE-Books": "dataset",
            "muse-bench/MUSE-News_target": "model",
            "muse-bench/MUSE-Books_target": "model",
        }

    def test_corpora_that_are_left_out_have_no_part(self) -> None:
        found = revisions.in_use(resolve(configuration(corpora=["books"]), SCHEMA))
        assert list(found) == ["muse-bench/MUSE-Books", "muse-bench/MUSE-Books_target"]

    def test_nothing_of_the_hub(self) -> None:
        full = resolve({"corpus": {"hub": DATASETS}}, SCHEMA)
        assert revisions.in_use(full) == {}
        revisions.check(full, [])

    def test_a_corpus_without_a_dataset(self) -> None:
        config = configuration(corpora=["news", "poems"])
        assert complaint(config).startswith("config key 'corpus.hub.poems' is missing; name its")

    @pytest.mark.parametrize("given", ["MUSE-News", "https://huggingface.co/a/b", "a/b/c", ""])
    def test_a_dataset_that_is_none(self, given: str) -> None:
        config = configuration(corpora=["news"])
        config["corpus"] = {"source": "hub", "hub": {"news": given}}
        expected = f"config key 'corpus.hub.news': '{given}' is no id of the hub; write owner/name"
        assert complaint(config) == expected

    @pytest.mark.parametrize(
        "given",
        [
            *("muse-bench/MUSE-News", "a/b", "A1/b_c.d-e", "_a/b_", "a/" + "b" * 96),
            *("a/b--c", "a/b..c", "a/b.git", "-a/b", "a/b-", "a/.b", "é/b", "a/b c", "a//b"),
            *("a/" + "b" * 97, "a/b\n"),
        ],
    )
    def test_ids_are_what_the_hub_takes(self, given: str) -> None:
        try:
            validate_repo_id(given)
        except HFValidationError:
            with pytest.raises(InputError):
                check_id(given)
        else:
            check_id(given)


class TestCheck:
    def test_all_are_pinned(self) -> None:
        pinned = dict.fromkeys(revisions.in_use(resolve(configuration(), SCHEMA)), COMMIT)
        revisions.check(resolve(configuration(revisions=pinned), SCHEMA), [])

    @pytest.mark.parametrize("given", [{}, {"muse-bench/MUSE-News": None}])
    def test_none_is_pinned(self, given: dict[str, Any]) -> None:
        text = complaint(configuration(revisions=given), "config/paper.yaml", "more.yaml")
        assert text == (
            "config key 'revisions': the dataset muse-bench/MUSE-News has no commit; pin it: "
            "python workflow/scripts/pin_revisions.py --configfile config/paper.yaml more.yaml "
            "--output revisions.yaml, then --configfile config/paper.yaml more.yaml revisions.yaml"
        )

    @pytest.mark.parametrize("given", ["main", COMMIT[:12], "v1.0", COMMIT.upper()])
    def test_something_else_than_a_commit(self, given: str) -> None:
        text = complaint(configuration(revisions={"muse-bench/MUSE-News": given}))
        assert f"'revisions': muse-bench/MUSE-News: '{given}' is no commit of 40 hexa" in text
        assert "--configfile config.yaml --output revisions.yaml" in text


class TestScript:
    @pytest.fixture
    def hub(self) -> Iterator[FakeHub]:
        kinds = revisions.in_use(resolve(configuration(), SCHEMA))
        with running(FakeHub({f"{kind}s:{name}": {} for name, kind in kinds.items()})) as hub:
            yield hub

    def pin(self, folder: Path, hub: FakeHub, config: dict[str, Any], code: int = 0) -> str:
        (folder / "mine.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        run = run_script(
            "pin_revisions.py",
            *("--configfile", "mine.yaml", "--output", "revisions.yaml"),
            code=code,
            folder=folder,
            **{"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "", "HF_HOME": str(folder)},
        )
        return run.stderr if code else run.stdout

    def test_what_is_written_pins_everything(self, hub: FakeHub, tmp_path: Path) -> None:
        given = {"muse-bench/MUSE-Books": OTHER, "muse-bench/MUSE-News": "main", "not/used": OTHER}
        told = self.pin(tmp_path, hub, configuration(revisions=given))
        assert f"muse-bench/MUSE-Books: {OTHER} (as before)\n" in told
        assert f"muse-bench/MUSE-News: {COMMIT}\n" in told
        assert not hub.asked("MUSE-Books/") and len(hub.requests) == 3
        assert len(hub.asked("/api/datasets/muse-bench/MUSE-News/revision/main")) == 1
        text = (tmp_path / "revisions.yaml").read_text(encoding="utf-8")
        assert text.startswith("# Commits of the hub's repositories that mine.yaml names, as of 20")
        assert yaml.safe_load(text) == {
            "revisions": {
                "muse-bench/MUSE-News": COMMIT,
                "muse-bench/MUSE-Books": OTHER,
                "muse-bench/MUSE-News_target": COMMIT,
                "muse-bench/MUSE-Books_target": COMMIT,
            }
        }
        both = configfiles.read([tmp_path / "mine.yaml", tmp_path / "revisions.yaml"])
        revisions.check(both, [])

    def test_a_missing_repository_writes_nothing(self, hub: FakeHub, tmp_path: Path) -> None:
        hub.files.popitem()
        told = self.pin(tmp_path, hub, configuration(), code=2)
        assert told.splitlines()[-1].startswith(
            "error: model muse-bench/MUSE-Books_target: no such"
        )
        assert not (tmp_path / "revisions.yaml").exists()


class TestConfigfiles:
    def write(self, path: Path, text: str) -> Path:
        path.write_text(text, encoding="utf-8")
        return path

    def test_later_files_win_key_by_key(self, tmp_path: Path) -> None:
        first = self.write(tmp_path / "1.yaml", "seeds: [1, 2]\ncorpus: {mini: {forget: 5}}\n")
        second = self.write(tmp_path / "2.yaml", "seeds: [3]\ncorpus: {mini: {retain: 6}}\n")
        full = configfiles.read([first, second])
        assert full["seeds"] == [3]
        assert full["corpus"]["mini"]["forget"] == 5
        assert full["corpus"]["mini"]["retain"] == 6

    def test_absent_keys_have_their_defaults(self, tmp_path: Path) -> None:
        """The documented ones, not the values of the default experiment."""
        own = self.write(tmp_path / "own.yaml", "seeds: [3]\nunlearn: {settings: {lr: 0.5}}\n")
        full = configfiles.read([own])
        assert full == resolve({"seeds": [3], "unlearn": {"settings": {"lr": 0.5}}}, SCHEMA)
        assert unlearn_settings(full, "news", "npo_gdr", "lora")["lr"] == 0.5

    def test_the_default_experiment_is_read_where_no_file_is_named(self, tmp_path: Path) -> None:
        default = configfiles.ROOT / "config.yaml"
        mini = configfiles.read([])
        assert mini == configfiles.read([default])
        assert mini["evaluate"]["shots"] == 0 != resolve({}, SCHEMA)["evaluate"]["shots"]
        own = self.write(tmp_path / "own.yaml", "seeds: [3]\n")
        assert configfiles.read([default, own]) == mini | {"seeds": [3]}

    @pytest.mark.parametrize(
        ("text", "complaint"),
        [
            ("seeds: [1\nb: 2\n", "no valid YAML at line 2; mend the file"),
            ("- 1\n", "has no keys; write a configuration"),
            ("", "has no keys"),
            ("seeds: no\n", "config key 'seeds'"),
        ],
    )
    def test_a_bad_file_is_named(self, tmp_path: Path, text: str, complaint: str) -> None:
        path = self.write(tmp_path / "bad.yaml", text)
        with pytest.raises(InputError, match=complaint):
            configfiles.read([path])

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"absent.yaml: no such file; check --configfile"):
            configfiles.read([tmp_path / "absent.yaml"])
