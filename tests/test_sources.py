"""Where models and corpora come from: how it is written, pinned, and what is refused."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_hub import COMMIT, FakeHub, in_place_of_the_hub
from small_corpora import script

from qunlearn.experiment import configfiles
from qunlearn.experiment.config import resolve
from qunlearn.models import sources
from qunlearn.models.sources import Source, fetched, gguf_file, parse, source_of, tokenizer_of, used
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


def config(**models: Any) -> dict[str, Any]:
    given = {"base": "scratch", "target": "train", "retrain": "train", "tokenizer": None}
    return {"corpora": ["news", "books"], "models": given | models}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("scratch", Source("made")),
        ("train", Source("made")),
        ("models/{corpus}/x", Source("folder", "models/news/x")),
        ("hub:muse-bench/MUSE-{Corpus}_target", Source("hub", "muse-bench/MUSE-News_target")),
        ("gguf:a/{corpus}.gguf", Source("gguf", "a/news.gguf")),
        ("./hub:x", Source("folder", "./hub:x")),
    ],
)
def test_parse(text: str, expected: Source) -> None:
    assert parse(text, "news") == expected
    assert "{" in text or expected.kind == "made" or str(expected) == text


@pytest.mark.parametrize("text", ["hub:llama", "hub:a/b/c", "hub:a/b@main", "hub:"])
def test_what_is_not_on_the_hub_is_refused_with_its_key(text: str) -> None:
    with pytest.raises(InputError, match=rf"'models\.target.*'{text[4:]}' is not a hub id"):
        resolve({"models": {"target": {"news": text, "books": "train"}}})
    with pytest.raises(InputError, match=rf"'corpus\.hub\.news': '{text[4:]}' is not a hub id"):
        resolve({"corpus": {"source": "hub", "hub": {"news": text[4:]}}})


@pytest.mark.parametrize(
    ("models", "name", "complaint"),
    [
        ({"target": {"news": "hub:a/b"}}, "target", r"'models\.target\.poems' is missing"),
        ({"base": "train"}, "base", r"models\.base': 'train' is not for base; write 'scratch"),
        ({"target": {"poems": "scratch"}}, "target", r"models\.target\.poems': 'scratch' is not f"),
    ],
)
def test_what_does_not_say_where_a_model_is(
    models: dict[str, Any], name: str, complaint: str
) -> None:
    with pytest.raises(InputError, match=complaint):
        source_of(config(**models), name, "poems")


def test_what_is_used_and_fetched() -> None:
    both = config(target={"news": "a", "books": "train"}, retrain="b")
    assert list(used(both, "news")) == ["target", "retrain"]  # nothing is trained from the base
    assert list(used(both, "books")) == ["base", "target", "retrain"]
    assert fetched(config(), "news") == []
    given = {"base": "gguf:x.gguf", "target": "folder", "retrain": "train"}
    assert fetched(config(**given), "news") == ["base"]
    assert fetched(config(**given, tokenizer="hub:a/t"), "news") == ["base", "target"]
    assert fetched(config(base="hub:a/b", target="x", retrain="y"), "news") == []


def test_a_tokenizer_of_its_own() -> None:
    assert tokenizer_of(config(), "news") is None
    assert tokenizer_of(config(tokenizer="hub:a/t"), "news") == Source("hub", "a/t")
    with pytest.raises(InputError, match=r"'models\.tokenizer': trained with its model"):
        tokenizer_of(config(tokenizer="train"), "news")
    with pytest.raises(InputError, match="a base from scratch trains its own"):
        used(config(tokenizer="hub:a/t"), "news")


def test_gguf_files_are_found_by_path_and_in_packages_that_cannot_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "carrier_of_models"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('never import this')")
    (package / "m.gguf").write_bytes(b"x")
    monkeypatch.syspath_prepend(str(tmp_path))
    for given in ("carrier_of_models/m.gguf", str(package / "m.gguf")):
        assert gguf_file(given) == package / "m.gguf"
    with pytest.raises(InputError, match=r"no such file; check the path, or install"):
        gguf_file("carrier_of_models/n.gguf")


def on_hub(**more: Any) -> dict[str, Any]:
    models = {"target": "hub:muse-bench/MUSE-{Corpus}_target", "retrain": "a folder"}
    return {
        "corpora": list(DATASETS),
        "corpus": {"source": "hub", "hub": DATASETS},
        "models": models | {"tokenizer": "hub:a/tokenizer"},
        **more,
    }


def test_everything_of_the_hub_is_pinned() -> None:
    assert sources.repositories(resolve(on_hub())) == IN_USE
    pinned = resolve(on_hub(revisions=dict.fromkeys(IN_USE, COMMIT)))
    sources.check_pinned(pinned)
    assert sources.pinned(pinned, parse("hub:a/tokenizer")).revision == COMMIT
    sources.check_pinned(resolve({"corpus": {"hub": DATASETS}}))  # but uses nothing of it
    with pytest.raises(InputError, match=r"'corpus\.hub\.poems' is missing; name its dataset"):
        sources.check_pinned(resolve(on_hub(corpora=["poems"])))
    for commit in (None, "main", COMMIT[:12], COMMIT.upper()):
        config = resolve(on_hub(revisions={"muse-bench/MUSE-News": commit}))
        with pytest.raises(InputError, match=r"'revisions': the dataset muse-bench/MUSE-News need"):
            sources.check_pinned(config)


def test_the_script_pins_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"muse-bench/MUSE-Books": OTHER, "muse-bench/MUSE-News": "main", "not/used": OTHER}
    mine, written = tmp_path / "mine.yaml", tmp_path / "revisions.yaml"
    mine.write_text(yaml.safe_dump(on_hub(revisions=given)))
    hub = FakeHub({f"{kind}s:{name}": {} for name, kind in IN_USE.items()})
    pin = partial(script("pin_revisions.py"), (mine,), written)
    with in_place_of_the_hub(hub, tmp_path / "cache", monkeypatch):
        absent = hub.files.pop("models:a/tokenizer")
        with pytest.raises(InputError, match="model a/tokenizer: no such"):
            pin()
        assert not written.exists()
        hub.files["models:a/tokenizer"] = absent
        pin()
    pinned = dict.fromkeys(IN_USE, COMMIT) | {"muse-bench/MUSE-Books": OTHER}
    assert yaml.safe_load(written.read_text()) == {"revisions": pinned}
    sources.check_pinned(configfiles.read([mine, written]))
