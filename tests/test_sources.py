"""Where models and corpora come from: how it is written, pinned, and what is refused."""

import json
from collections.abc import Iterator
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_hub import COMMIT, FakeHub, in_place_of_the_hub
from huggingface_hub import constants
from small_corpora import NEWS, corpus, repository, script, tables

from qunlearn.corpora import layout
from qunlearn.corpora.muse import download
from qunlearn.experiment import configfiles
from qunlearn.experiment.config import resolve
from qunlearn.models import sources
from qunlearn.models.sources import Source, fetched, gguf_file, parse, tokenizer_of, used
from qunlearn.run.errors import InputError
from qunlearn.settings.corpora import ExcerptSettings

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
    given |= {"after": None}
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


# --- A dataset of the hub becomes a corpus in our layout ---------------------------------------

KEY = f"datasets:{NEWS}"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    files = {KEY: repository(tables(corpus()))}
    with in_place_of_the_hub(FakeHub(files), tmp_path / "cache", monkeypatch) as hub:
        yield hub


def test_all_is_read_nothing_else_fetched_and_no_code_run(hub: FakeHub, tmp_path: Path) -> None:
    code = f"from pathlib import Path\nPath({str(tmp_path / 'it ran')!r}).touch()\n".encode()
    hub.files[KEY] |= {"MUSE-News.py": code, "raw/raw.py": code, "snapshots.py": code}
    found, files = download(NEWS, COMMIT)
    assert found == corpus()
    assert len(files) == 1 + 4 + 4 + 1 + 3
    for unwanted in ("/scal/", ".json", ".gitattributes", ".py"):
        assert not hub.asked(unwanted)
    assert not (tmp_path / "it ran").exists()


def with_rows(subset: str, **names: str) -> dict[str, bytes]:
    """With columns of other names."""
    parts = tables(corpus())
    for split, rows in parts[subset].items():
        parts[subset][split] = [{names.get(k, k): v for k, v in row.items()} for row in rows]
    return repository(parts)


def splits(card: dict[str, Any]) -> list[dict[str, Any]]:
    return card["dataset_info"][0]["splits"]  # type: ignore[no-any-return]


UNLIKE = "raw/forget is not in the card or not what it says"


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        (with_rows("raw", text="x"), "raw/forget.json: item 0: Input should"),
        (with_rows("verbmem", gt="x"), "verbmem/forget.json: item 0, gt: Field"),
        (repository(tables(corpus()), lambda card: card["configs"].pop(0)), UNLIKE),
        (repository(tables(corpus()), lambda card: splits(card)[0].update(num_examples=1)), UNLIKE),
        ({"README.md": b"---\n[unclosed\n---\n"}, UNLIKE),
        ({"README.md": b"---\nconfigs: 7\n---\n"}, UNLIKE),
        ({"raw/retain1-00000-of-00001.parquet": b"PAR1, not really"}, UNLIKE),
    ],
)
def test_another_layout(hub: FakeHub, files: dict[str, bytes], complaint: str) -> None:
    hub.files[KEY] |= files
    with pytest.raises(InputError, match=f"^dataset {NEWS}: .*{complaint}"):
        download(NEWS, COMMIT)


def test_the_script_gives_the_same_bytes_from_the_hub_its_cache_and_a_folder(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    main, excerpt = script("make_corpus.py"), ExcerptSettings(texts=3, characters=60)

    def content(name: str, **source: Any) -> dict[str, bytes]:
        main(excerpt, tmp_path / name, **source)
        made = (tmp_path / name).rglob("*.json")
        return {path.relative_to(tmp_path / name).as_posix(): path.read_bytes() for path in made}

    layout.write(tmp_path / "own", corpus())
    local = content("local", source=tmp_path / "own")
    online = content("online", dataset=NEWS, revision=COMMIT)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    offline = content("offline", dataset=NEWS, revision=COMMIT)
    _, _, manifest = (json.loads(each.pop("manifest.json")) for each in (local, online, offline))
    assert local == online == offline
    assert (manifest["source"], manifest["revision"]) == (f"hub:{NEWS}", COMMIT)
    assert manifest["inputs"] == {
        name: sha256(content).hexdigest()
        for name, content in hub.files[KEY].items()
        if name.endswith((".parquet", "README.md")) and "scal/" not in name
    }
