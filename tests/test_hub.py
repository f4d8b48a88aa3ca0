"""Talking to the hub: what is asked, how often, and what is kept."""

from pathlib import Path

import pytest
from fake_hub import COMMIT, TOKEN, FakeHub, Fault, blob_name
from huggingface_hub import constants
from model_on_hub import FILES, MODEL, OTHER, WEIGHTS, complaint, fetch

from qunlearn import hub as ours


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)


def blobs(tmp_path: Path) -> Path:
    return tmp_path / "cache/models--owner--model/blobs"


class TestDownloads:
    def test_what_matches_is_fetched_and_nothing_else(self, hub: FakeHub) -> None:
        folder = fetch("*.safetensors", "config.json")
        assert folder.name == COMMIT
        assert sorted(path.name for path in folder.iterdir()) == sorted(
            set(FILES) - {"pytorch_model.bin"}
        )
        for path in folder.iterdir():
            assert path.read_bytes() == FILES[path.name]
            assert path.resolve().name == blob_name(path.name, FILES[path.name])
        assert not hub.asked("pytorch_model")
        # The body of each large file came once, from where the hub sent us, and without our token.
        large = hub.asked("/cdn/")
        assert len(large) == 2
        assert not any("authorization" in headers for headers in large)
        assert hub.asked("/api/models/")[0]["authorization"] == f"Bearer {TOKEN}"

    def test_what_is_there_is_not_asked_for_again(self, hub: FakeHub) -> None:
        first = fetch()
        hub.requests.clear()
        assert fetch() == first
        assert hub.requests == []

    def test_more_of_a_repository_leaves_what_is_there(self, hub: FakeHub) -> None:
        ours.small_files(MODEL, COMMIT, kind="model", names=["config.json", "absent.json"])
        assert not hub.asked("/cdn/")
        fetch("model-1*")
        hub.requests.clear()
        folder = fetch("model-*")
        assert hub.asked("model-1") == []
        assert (folder / "config.json").exists()

    def test_a_broken_connection_goes_on_where_it_was(
        self, hub: FakeHub, pauses: list[float]
    ) -> None:
        hub.faults = [Fault("/cdn/", 200, after=3000), Fault("/cdn/", 200, after=2000)]
        assert (fetch("model-1*") / "model-1.safetensors").read_bytes() == WEIGHTS
        assert [head.get("range") for head in hub.asked("/cdn/")] == [
            None,
            "bytes=3000-",
            "bytes=5000-",
        ]
        assert pauses == []  # each of them brought something

    def test_a_killed_download_goes_on_where_it_was(self, hub: FakeHub, tmp_path: Path) -> None:
        blobs(tmp_path).mkdir(parents=True)
        name = blob_name("model-1.safetensors", WEIGHTS)
        (blobs(tmp_path) / f"{name}.partial").write_bytes(WEIGHTS[:7777])
        assert (fetch("model-1*") / "model-1.safetensors").read_bytes() == WEIGHTS
        assert [head.get("range") for head in hub.asked("/cdn/")] == ["bytes=7777-"]
        assert not list(blobs(tmp_path).glob("*.partial"))

    def test_a_server_without_ranges_sends_all_of_it(self, hub: FakeHub, tmp_path: Path) -> None:
        hub.ranges = False
        blobs(tmp_path).mkdir(parents=True)
        name = blob_name("model-1.safetensors", WEIGHTS)
        (blobs(tmp_path) / f"{name}.partial").write_bytes(WEIGHTS[:7777])
        assert (fetch("model-1*") / "model-1.safetensors").read_bytes() == WEIGHTS

    def test_size_on_hub(self, hub: FakeHub) -> None:
        size = len(WEIGHTS) + len(OTHER)
        assert ours.size_on_hub(MODEL, COMMIT, "model", ["*.safetensors"]) == size
        fetch("config.json")
        hub.requests.clear()
        assert ours.size_on_hub(MODEL, COMMIT, "model", ["*.safetensors"]) == size
        assert hub.requests == []  # the listing of a commit never changes

    def test_present_commit(self, hub: FakeHub) -> None:
        assert ours.present_commit(MODEL, "model") == COMMIT


class TestRetries:
    @pytest.mark.parametrize("status", [0, 408, 429, 500, 502, 503, 504])
    @pytest.mark.parametrize("place", ["/api/models/owner/model/revision", "/cdn/"])
    def test_what_may_pass_is_tried_again(
        self, hub: FakeHub, pauses: list[float], place: str, status: int
    ) -> None:
        hub.faults = [Fault(place, status, times=3)]
        fetch("model-1*")
        assert pauses == [1, 2, 4]
        assert len(hub.asked(place)) == 4

    @pytest.mark.parametrize("attempts", [1, 5])
    def test_it_gives_up(self, hub: FakeHub, pauses: list[float], attempts: int) -> None:
        hub.faults = [Fault("/api/", 503, times=99)]
        text = complaint(
            lambda: ours.snapshot(MODEL, COMMIT, kind="model", patterns=["*"], attempts=attempts)
        )
        assert f"answers HTTP 503 after {attempts} attempts; try again later" in text
        assert len(hub.requests) == attempts
        assert pauses == [1, 2, 4, 8][: attempts - 1]

    @pytest.mark.parametrize("status", [400, 401, 403, 404])
    def test_a_refusal_is_not_tried_again(
        self, hub: FakeHub, pauses: list[float], status: int
    ) -> None:
        hub.faults = [Fault("/api/", status, times=99)]
        complaint(fetch)
        assert len(hub.requests) == 1
        assert pauses == []

    def test_the_hub_may_ask_for_a_longer_pause(self, hub: FakeHub, pauses: list[float]) -> None:
        hub.faults = [
            Fault("/api/", 429, headers={"Retry-After": "40"}),
            Fault("/api/", 429, headers={"Retry-After": "100000"}),
            Fault("/api/", 429, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}),
        ]
        fetch("model-1*")
        assert pauses == [40, 300, 4]

    def test_progress_is_told_without_addresses(
        self, hub: FakeHub, pauses: list[float], capfd: pytest.CaptureFixture[str]
    ) -> None:
        hub.faults = [Fault("/cdn/", 503)]
        fetch("model-1*")
        out, err = capfd.readouterr()
        assert out == "model owner/model: model-1.safetensors, 0.0 MB\n"
        assert "HfHubHTTPError; trying again in 1 s (1 of 5)" in err
        assert TOKEN not in err and "Signature" not in err


class TestHashes:
    def test_a_file_that_came_wrong(self, hub: FakeHub, tmp_path: Path) -> None:
        blobs(tmp_path).mkdir(parents=True)
        name = blob_name("model-1.safetensors", WEIGHTS)
        (blobs(tmp_path) / f"{name}.partial").write_bytes(b"not its beginning")
        text = complaint(lambda: fetch("model-1*"))
        assert f"model-1.safetensors came with another hash than the hub gives, {name}" in text
        assert not list(blobs(tmp_path).iterdir())
        assert (fetch("model-1*") / "model-1.safetensors").read_bytes() == WEIGHTS

    @pytest.mark.parametrize("name", ["model-1.safetensors", "config.json"])
    def test_a_file_that_spoiled_in_the_cache(
        self, hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        folder = fetch(name)
        blob = (folder / name).resolve()
        blob.write_bytes(b"x" * len(FILES[name]))
        go_offline(monkeypatch)
        text = complaint(lambda: fetch(name))
        assert f"{folder / name} does not have the hash that the hub gives, {blob.name}" in text
        assert not blob.exists()
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        assert (fetch(name) / name).read_bytes() == FILES[name]


class TestOffline:
    def test_what_is_in_the_cache_is_used(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = fetch()
        hub.requests.clear()
        go_offline(monkeypatch)
        assert fetch() == first
        assert ours.size_on_hub(MODEL, COMMIT, "model", ["config.json"]) == 2
        assert hub.requests == []

    @pytest.mark.parametrize("there", [False, True])
    def test_what_is_not_is_told(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, there: bool
    ) -> None:
        if there:
            fetch("model-1*")  # a part of what will be asked for
        hub.requests.clear()
        go_offline(monkeypatch)
        text = complaint(fetch)
        assert f"in the cache {constants.HF_HUB_CACHE} at {COMMIT}, and HF_HUB_OFFLINE is set" in (
            text
        )
        assert "download once with network: HF_HUB_OFFLINE=0, or give a local copy" in text
        assert hub.requests == []

    def test_sizes_and_commits_are_not_guessed(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        go_offline(monkeypatch)
        for call in (
            lambda: ours.size_on_hub(MODEL, COMMIT, "model", ["*"]),
            lambda: ours.present_commit(MODEL, "model"),
        ):
            assert "HF_HUB_OFFLINE is set" in complaint(call)
