"""Where models come from: how it is written, and what is refused."""

import sys
from pathlib import Path
from typing import Any

import pytest

from qunlearn.models.sources import (
    Source,
    fetched,
    gguf_file,
    parse,
    source_of,
    tokenizer_of,
    used,
)
from qunlearn.run.errors import InputError


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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("hub:llama", "not a hub id; write owner/name"),
        ("hub:a/b/c", "not a hub id"),
        ("hub:a/b@main", "not a hub id"),
        ("gguf:", "names no file"),
    ],
)
def test_what_names_nothing_is_refused_with_its_key(text: str, words: str) -> None:
    with pytest.raises(InputError, match=rf"config key 'models\.target': .*{words}"):
        source_of(config(target=text), "target", "news")


def test_a_source_is_written_as_it_is_read() -> None:
    for text in ("hub:a/b", "gguf:a/b.gguf", "some/folder"):
        assert str(parse(text)) == text


def test_a_map_names_a_source_for_each_corpus() -> None:
    models = config(target={"news": "hub:a/b", "books": "train"})
    assert source_of(models, "target", "news") == Source("hub", "a/b")
    assert source_of(models, "target", "books") == Source("made")
    with pytest.raises(InputError, match=r"'models\.target\.poems' is missing"):
        source_of(models, "target", "poems")


def test_what_the_workflow_makes_has_one_name_each() -> None:
    with pytest.raises(InputError, match=r"models\.base': 'train' is not for base; write 'scratch"):
        source_of(config(base="train"), "base", "news")
    with pytest.raises(InputError, match=r"models\.target\.news': 'scratch' is not for target"):
        source_of(config(target={"news": "scratch"}), "target", "news")


def test_the_base_is_used_only_where_something_is_trained_from_it() -> None:
    both = config(target={"news": "a", "books": "train"}, retrain="b")
    assert list(used(both, "news")) == ["target", "retrain"]
    assert list(used(both, "books")) == ["base", "target", "retrain"]


def test_what_is_fetched() -> None:
    assert fetched(config(), "news") == []
    given = {"base": "gguf:x.gguf", "target": "folder", "retrain": "train"}
    assert fetched(config(**given), "news") == ["base"]
    assert fetched(config(**given, tokenizer="hub:a/t"), "news") == ["base", "target"]
    # A base from the hub that nothing is trained from is not downloaded.
    assert fetched(config(base="hub:a/b", target="x", retrain="y"), "news") == []


def test_a_tokenizer_of_its_own() -> None:
    assert tokenizer_of(config(), "news") is None
    assert tokenizer_of(config(tokenizer="hub:a/t"), "news") == Source("hub", "a/t")
    with pytest.raises(InputError, match=r"'models\.tokenizer': a tokenizer is trained with its"):
        tokenizer_of(config(tokenizer="train"), "news")
    with pytest.raises(InputError, match="a base from scratch trains its own"):
        used(config(tokenizer="hub:a/t"), "news")
    assert used(config(tokenizer="hub:a/t", target="a", retrain="b"), "news")


def test_gguf_files_are_found_by_path_and_in_packages_that_cannot_be_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "carrier_of_models"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('never import this')")
    (package / "m.gguf").write_bytes(b"x")
    monkeypatch.syspath_prepend(str(tmp_path))

    assert gguf_file("carrier_of_models/m.gguf") == package / "m.gguf"
    assert "carrier_of_models" not in sys.modules
    assert gguf_file(str(package / "m.gguf")) == package / "m.gguf"
    with pytest.raises(InputError, match=r"the package carrier_of_models has no file n\.gguf"):
        gguf_file("carrier_of_models/n.gguf")
    for absent in ("no_such_package/m.gguf", str(tmp_path / "n.gguf"), "./n.gguf"):
        with pytest.raises(InputError, match=r"no such file; check the path, or install"):
            gguf_file(absent)
