"""A dataset of the hub becomes a corpus in our layout, the same as from a folder of the user's."""

import json
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fake_hub import COMMIT, FakeHub, in_place_of_the_hub
from huggingface_hub import constants
from muse_on_hub import NEWS, corpus, repository, tables
from small_corpora import script

from qunlearn.corpora import layout
from qunlearn.corpora.muse import download
from qunlearn.run.errors import InputError
from qunlearn.settings.corpora import ExcerptSettings

KEY = f"datasets:{NEWS}"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    files = {KEY: repository(tables(corpus()))}
    with in_place_of_the_hub(FakeHub(files), tmp_path / "cache", monkeypatch) as hub:
        yield hub


def test_every_subset_is_read_nothing_else_fetched_and_no_code_run(
    hub: FakeHub, tmp_path: Path
) -> None:
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


def one_row(card: dict[str, Any]) -> None:
    card["dataset_info"][0]["splits"][0]["num_examples"] = 1


UNLIKE = "raw/forget is not in the card or not what it says"


@pytest.mark.parametrize(
    ("files", "complaint"),
    [
        (with_rows("raw", text="x"), "raw/forget.json: item 0: Input should"),
        (with_rows("verbmem", gt="x"), "verbmem/forget.json: item 0, gt: Field"),
        (repository(tables(corpus()), lambda card: card["configs"].pop(0)), UNLIKE),
        (repository(tables(corpus()), one_row), UNLIKE),
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
