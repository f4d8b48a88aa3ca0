"""The hub as a user meets it: the files of a commit, whole and right, or one line that helps."""

import errno
import logging
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_hub import COMMIT, TOKEN, FakeHub, Fault, in_place_of_the_hub
from huggingface_hub import constants
from huggingface_hub.file_download import http_get

from qunlearn.models.hub import present_commit, size_on_hub, snapshot
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
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    files = {f"models:{MODEL}": dict(FILES)}
    with in_place_of_the_hub(FakeHub(files), tmp_path / "cache", monkeypatch) as hub:
        yield hub


def fetch(*patterns: str, revision: str = COMMIT, repo_id: str = MODEL) -> Path:
    return snapshot(repo_id, revision, kind="model", patterns=patterns or ("*.safetensors",))


def complaint(call: Callable[[], object] = fetch) -> str:
    with pytest.raises(InputError) as caught:
        call()
    text = str(caught.value)
    assert (
        "\n" not in text and TOKEN not in text and "Signature" not in text and "/cdn/" not in text
    )
    return text


def test_the_files_that_match_are_downloaded_once_and_work_offline(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert size_on_hub(MODEL, COMMIT, kind="model", patterns=["*.safetensors"]) == 15240
    assert not hub.asked("/resolve/")
    folder = fetch("*.safetensors", "config.json")
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert found == {name: FILES[name] for name in FILES if name != "pytorch_model.bin"}
    assert hub.asked("/api/models/")[0]["authorization"] == f"Bearer {TOKEN}"
    assert not any("authorization" in head for head in hub.asked("/cdn/"))
    hub.requests.clear()
    assert fetch() == folder
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert fetch("*.json") == folder
    assert hub.requests == []
    assert "HF_HUB_OFFLINE is set; download once without" in complaint(lambda: fetch("*.bin"))


def test_a_cut_download_resumes_and_ends_with_the_right_bytes(
    hub: FakeHub, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    logger = logging.getLogger("huggingface_hub")
    monkeypatch.setattr(logger, "handlers", [caplog.handler])
    logger.setLevel(logging.WARNING)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)  # of 10 MB, which are kept whole
    hub.faults = [Fault("/cdn/", after=3000)]
    assert (fetch("model-1*") / "model-1.safetensors").read_bytes() == WEIGHTS
    assert [head.get("range") for head in hub.asked("/cdn/")] == [None, "bytes=3000-"]
    assert "Signature" not in caplog.text


def test_a_download_that_fails_leaves_nothing_half_written(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    hub.faults = [Fault("/cdn/", after=3000), Fault("/cdn/", times=99)]
    assert "no connection to the hub" in complaint(lambda: fetch("model-1*"))
    assert not [
        path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size > 999
    ]
    hub.faults = []
    assert (fetch("model-1*") / "model-1.safetensors").read_bytes() == WEIGHTS


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


@pytest.mark.parametrize("call", [snapshot, size_on_hub])
@pytest.mark.parametrize("revision", ["main", COMMIT[:12], COMMIT.upper(), "", "../x"])
def test_nothing_is_downloaded_without_a_commit(
    hub: FakeHub, revision: str, call: Callable[..., object]
) -> None:
    text = complaint(lambda: call(MODEL, revision, kind="model", patterns=["*"]))
    assert text == f"{MODEL}: '{revision}' is not a full commit hash (40 hex digits)"
    assert hub.requests == []


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (Fault("/api/", 403, "GatedRepo"), "access refused; accept the licence at https://huggi"),
        (Fault("/api/", 401, "GatedRepo"), "or HF_TOKEN"),
        (
            Fault("/cdn/", 403),
            f"access refused; accept the licence at https://huggingface.co/{MODEL}",
        ),
        (
            Fault("/api/", 401, "RepoNotFound"),
            f"not found, or private; check https://huggingface.co/{MODEL}, then",
        ),
        (Fault("/cdn/", 502), "the hub answers HTTP 502; try again later"),
    ],
)
def test_a_refusal_says_what_to_do(hub: FakeHub, fault: Fault, words: str) -> None:
    hub.faults = [fault]
    text = complaint()
    assert text.startswith(f"model {MODEL}: ") and words in text


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: fetch(repo_id="owner/absent"), "model owner/absent: not found, or private; check"),
        (lambda: fetch(revision="f" * 40), "has no revision ffff"),
        (lambda: fetch("*.gguf", "*.pt"), f"no file matches *.gguf or *.pt at {COMMIT}; look at"),
        (lambda: fetch(repo_id="a/b/c"), "not a hub id; write owner/name"),
        (
            lambda: present_commit("owner/x", "dataset"),
            "check https://huggingface.co/datasets/owner",
        ),
    ],
)
def test_what_is_not_there(hub: FakeHub, call: Callable[[], object], words: str) -> None:
    assert words in complaint(call)


def test_no_connection_and_an_answer_of_something_else(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fake_hub.json.dumps", lambda _: "<html>Log in to this Wi-Fi</html>")
    assert "what answers is not a hub; check the network" in complaint()
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
    assert "no connection to the hub; check the network, the proxy and HF_ENDPOINT" in complaint()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "is full; make room, or set HF_HOME"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "is full; make room"),
        (PermissionError(errno.EACCES, "Permission denied"), "Permission denied; set HF_HOME to"),
        (RuntimeError("of hf_xet"), "the download broke off (RuntimeError); run the command again"),
    ],
)
def test_disks_and_the_transfer(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(f"{http_get.__module__}.http_get", fail)
    assert words in complaint()
