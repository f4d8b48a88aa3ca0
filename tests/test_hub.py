"""The hub as a user meets it: the files of a commit, whole and right, or one line that helps."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_hub import COMMIT, TOKEN, FakeHub, Fault, in_place_of_the_hub
from huggingface_hub import constants

from qunlearn.models.hub import present_commit, snapshot
from qunlearn.run.errors import InputError

MODEL = "owner/model"
WEIGHTS = bytes(range(256)) * 40
FILES = {
    "config.json": b"{}",
    "model-1.safetensors": WEIGHTS,
    "model-2.safetensors": b"other" * 1000,
    "pytorch_model.bin": b"pickled",
}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    files = {f"models:{MODEL}": dict(FILES)}
    with in_place_of_the_hub(FakeHub(files), tmp_path / "cache", monkeypatch) as hub:
        yield hub


def fetch(*patterns: str, revision: str = COMMIT) -> Path:
    return snapshot(MODEL, revision, kind="model", patterns=patterns or ("*.safetensors",))


def complaint(call: Callable[[], object] = fetch) -> str:
    with pytest.raises(InputError) as caught:
        call()
    text = str(caught.value)
    assert not any(word in text for word in ("\n", TOKEN, "Signature", "/cdn/"))
    return text


def test_the_files_that_match_are_downloaded_once_and_work_offline(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = fetch("*.safetensors", "config.json")
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert found == {name: FILES[name] for name in FILES if name != "pytorch_model.bin"}
    assert hub.asked("/api/models/")[0]["authorization"] == f"Bearer {TOKEN}"
    assert not any("authorization" in head for head in hub.asked("/cdn/"))
    hub.requests.clear()
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch("*.json") == fetch() == folder
    assert hub.requests == []
    assert "HF_HUB_OFFLINE is set; download once without" in complaint(lambda: fetch("*.bin"))


def test_a_cut_download_ends_with_the_right_bytes_now_or_next_time(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.faults = [Fault("/cdn/")]
    assert (fetch("model-1*") / "model-1.safetensors").read_bytes() == WEIGHTS
    hub.faults = [Fault("/cdn/", times=99)]
    assert "the download failed" in complaint(lambda: fetch("model-2*"))
    hub.faults = []
    assert (fetch("model-2*") / "model-2.safetensors").read_bytes() == FILES["model-2.safetensors"]


@pytest.mark.parametrize("name", ["model-1.safetensors", "config.json"])
def test_every_byte_is_compared_with_its_hash(hub: FakeHub, name: str) -> None:
    """What came wrong, or spoiled in the cache, is removed; the next command fetches it anew."""
    hub.hashes = {name: "0" * (64 if name.endswith("safetensors") else 40)}
    assert "did not have the hash 0000" in complaint(lambda: fetch(name))
    hub.hashes = {}
    path = fetch(name) / name
    path.resolve().write_bytes(b"x" * len(FILES[name]))
    assert f"{path} did not have the hash" in complaint(lambda: fetch(name))
    assert (fetch(name) / name).read_bytes() == FILES[name]


def test_nothing_is_downloaded_without_a_commit(hub: FakeHub) -> None:
    for revision in ("main", COMMIT[:12], ""):
        assert "is not a full commit hash" in complaint(lambda at=revision: fetch(revision=at))
    assert hub.requests == []


ACCESS = f"no such repository or commit, or no access; look at https://huggingface.co/{MODEL}, acc"


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("/api/", 403, "GatedRepo"), ACCESS),
        (Fault("/api/", 401, "RepoNotFound"), ACCESS),
        (Fault("/cdn/", 403), ACCESS),
        (Fault("/cdn/", 502), "the download failed (HTTP 502); check the network"),
    ],
)
def test_a_refusal_says_what_to_do(hub: FakeHub, fault: Fault, words: str) -> None:
    hub.faults = [fault]
    text = complaint()
    assert text.startswith(f"model {MODEL}: ") and words in text


def test_what_is_not_there(hub: FakeHub) -> None:
    assert ACCESS in complaint(lambda: fetch(revision="f" * 40))
    absent = complaint(lambda: present_commit("a/x", "dataset"))
    assert "no access; look at https://huggingface.co/datasets/a/x, accept" in absent


@pytest.mark.parametrize(
    ("where", "what", "why"),
    [
        ("fake_hub.json.dumps", lambda _: "<html>Log in to this Wi-Fi</html>", "JSONDecodeError"),
        ("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9", "ConnectError"),
    ],
)
def test_another_answer_and_no_answer(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, where: str, what: Any, why: str
) -> None:
    monkeypatch.setattr(where, what)
    assert f"the download failed ({why}); check the network" in complaint()
