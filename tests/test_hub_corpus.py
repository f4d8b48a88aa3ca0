"""A dataset of the hub becomes a corpus in our layout, the same as from a folder of the user's."""

import json
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from fake_hub import COMMIT, TOKEN, FakeHub, in_place_of_the_hub, running
from muse_on_hub import NEWS, Tables, corpus, repository, tables
from small_corpora import run_script

from qunlearn.corpora import layout
from qunlearn.corpora.muse_hub import download
from qunlearn.run.errors import InputError

KEY = f"datasets:{NEWS}"
Card = dict[str, Any]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    files = {KEY: repository(tables(corpus()))}
    with in_place_of_the_hub(FakeHub(files), tmp_path / "cache", monkeypatch) as hub:
        yield hub


def refusal() -> str:
    with pytest.raises(InputError) as caught:
        download(NEWS, COMMIT)
    return str(caught.value)


def test_every_subset_is_read_nothing_else_fetched_and_no_code_run(
    hub: FakeHub, tmp_path: Path
) -> None:
    code = f"from pathlib import Path\nPath({str(tmp_path / 'it ran')!r}).touch()\n".encode()
    hub.files[KEY] |= {"MUSE-News.py": code, "raw/raw.py": code, "snapshots.py": code}
    found = download(NEWS, COMMIT)
    assert found.corpus == corpus()
    assert found.revision == COMMIT
    expected = {
        f"{subset}/{split}": len(rows)
        for subset, splits in tables(corpus()).items()
        for split, rows in splits.items()
    }
    assert found.rows == expected and len(expected) == 4 + 4 + 1 + 3 + 4 + 4
    assert all(name == "README.md" or name.endswith(".parquet") for name in found.files)
    for unwanted in ("/train/", ".json", ".gitattributes", ".py"):
        assert not hub.asked(f"/resolve/{COMMIT}{unwanted}") and not hub.asked(unwanted)
    assert not (tmp_path / "it ran").exists()


def test_books_have_neither_scal_nor_sust_and_a_column_more_is_left_alone(hub: FakeHub) -> None:
    books = tables(corpus())
    del books["scal"], books["sust"]
    for split in books["knowmem"]:
        books["knowmem"][split] = [{"id": "7", **row} for row in books["knowmem"][split]]
    hub.files[KEY] = repository(books)
    found = download(NEWS, COMMIT).corpus
    assert found.scal == found.sust == {}
    assert found.knowmem == corpus().knowmem


def renamed(parts: Tables, subset: str, **names: str) -> None:
    for split, rows in parts[subset].items():
        parts[subset][split] = [{names.get(k, k): v for k, v in row.items()} for row in rows]


def repeated(parts: Tables) -> None:
    parts["raw"]["holdout"][1] = parts["raw"]["retain1"][0]


LAYOUT = "; pin a commit in MUSE's layout"


@pytest.mark.parametrize(
    ("edit", "complaint"),
    [
        (lambda parts: parts.pop("verbmem"), "its card has no configuration 'verbmem' (it has:"),
        (lambda parts: parts["sust"].pop("forget_3"), "'sust' has no split 'forget_3' (it has: f"),
        (lambda parts: renamed(parts, "raw", text="x"), "no column 'text' (it has: x)" + LAYOUT),
        (lambda parts: renamed(parts, "verbmem", gt="x"), "verbmem/forget has no column 'gt'"),
        (repeated, "raw/holdout.json: item 1 is also in raw/retain1.json"),
    ],
)
def test_another_layout(hub: FakeHub, edit: Callable[[Tables], object], complaint: str) -> None:
    parts = tables(corpus())
    edit(parts)
    hub.files[KEY] = repository(parts)
    text = refusal()
    assert text.startswith(f"dataset {NEWS}: ") and complaint in text


@pytest.mark.parametrize("value", [7, ["a"]])
def test_a_column_that_is_not_text(hub: FakeHub, value: Any) -> None:
    parts = tables(corpus())
    parts["privleak"] = {name: [{"text": value}] for name in parts["privleak"]}

    def without_features(card: Card) -> None:
        del next(x for x in card["dataset_info"] if x["config_name"] == "privleak")["features"]

    hub.files[KEY] = repository(parts, without_features)
    assert "privleak/forget: column 'text' holds" in refusal()


def test_files_that_are_not_what_the_card_says(hub: FakeHub) -> None:
    def more(card: Card) -> None:
        card["dataset_info"][0]["splits"][0]["num_examples"] += 1

    hub.files[KEY] = repository(tables(corpus()), more)
    assert f"'raw' at {COMMIT} is not what its card says (NonMatchingSplits" in refusal()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("sust/forget_2-00000-of-00001.parquet", b"PAR1, not really", "(DatasetGenerationError)"),
        ("README.md", b"no header", "its card has no configuration 'raw'"),
        ("README.md", b"---\n[unclosed\n---\n", "its card cannot be read"),
        ("README.md", b"---\nconfigs: 7\n---\n", "its card cannot be read"),
    ],
)
def test_a_broken_file(hub: FakeHub, name: str, content: bytes, words: str) -> None:
    hub.files[KEY][name] = content
    assert words in refusal()


def test_the_script_gives_the_same_bytes_from_the_hub_its_cache_and_a_folder(
    tmp_path: Path,
) -> None:
    files = repository(tables(corpus()))
    excerpt = ("--texts", "3", "--characters", "60")

    def content(name: str) -> dict[str, bytes]:
        made = (path for path in (tmp_path / name).rglob("*.json") if path.name != "manifest.json")
        return {path.relative_to(tmp_path / name).as_posix(): path.read_bytes() for path in made}

    with running(FakeHub({KEY: files})) as hub:
        home = {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN}
        for name, offline in (("online", ""), ("offline", "1")):
            run_script(
                "import_corpus.py",
                *("--dataset", NEWS, "--revision", COMMIT, "--output", str(tmp_path / name)),
                *excerpt,
                **home | {"HF_HUB_OFFLINE": offline},
            )
    layout.write(tmp_path / "own", corpus())
    run_script(
        "import_corpus.py",
        *("--source", str(tmp_path / "own"), "--output", str(tmp_path / "local"), *excerpt),
    )
    assert content("online") == content("offline") == content("local")
    manifest = json.loads((tmp_path / "offline/manifest.json").read_text())
    assert (manifest["source"], manifest["revision"]) == (f"hub:{NEWS}", COMMIT)
    assert manifest["rows"]["verbmem/forget"] == 6
    read = {name: sha256(files[name]).hexdigest() for name in files if "train/" not in name}
    wanted = {name: read[name] for name in read if name.endswith((".parquet", "README.md"))}
    assert manifest["inputs"] == wanted
