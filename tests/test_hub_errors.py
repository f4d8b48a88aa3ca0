"""Failing to talk to the hub: what a user is told, in one line and without secrets."""

import errno
import shutil

import pytest
from fake_hub import COMMIT, FakeHub, Fault
from huggingface_hub import constants
from model_on_hub import MODEL, complaint, fetch

from qunlearn import hub as ours
from qunlearn import hubfiles


class TestComplaints:
    @pytest.mark.parametrize("revision", ["main", COMMIT[:7], COMMIT.upper(), COMMIT + "0", ""])
    def test_no_commit(self, hub: FakeHub, revision: str) -> None:
        text = complaint(lambda: fetch(revision=revision))
        assert text.startswith(f"owner/model: {revision!r} is no commit of 40 hexadecimal digits")
        assert hub.requests == []

    @pytest.mark.parametrize("status", [401, 403])
    @pytest.mark.parametrize("place", ["/api/", "/cdn/"])
    def test_gated(self, hub: FakeHub, status: int, place: str) -> None:
        hub.faults = [Fault(place, status, headers={"X-Error-Code": "GatedRepo"})]
        text = complaint(fetch)
        assert f"model owner/model: access refused (HTTP {status})" in text
        assert "accept the licence at https://huggingface.co/owner/model, then `hf auth login`" in (
            text
        )
        assert "HF_TOKEN" in text and "give a local copy: the folder's path" in text

    def test_a_dataset_has_another_page_and_another_way_round(self, hub: FakeHub) -> None:
        hub.faults = [Fault("/api/", 403)]
        text = complaint(
            lambda: ours.snapshot("owner/data", COMMIT, kind="dataset", patterns=["*"])
        )
        assert "dataset owner/data: access refused" in text
        assert "https://huggingface.co/datasets/owner/data" in text
        assert "corpus.source: local" in text

    def test_no_such_repository(self, hub: FakeHub) -> None:
        text = complaint(lambda: fetch(repo_id="owner/absent"))
        assert text.startswith("model owner/absent: no such repository; check the id at https://")

    def test_no_such_commit(self, hub: FakeHub) -> None:
        text = complaint(lambda: fetch(revision="f" * 40))
        assert text.startswith(
            f"model owner/model: has no commit or branch {'f' * 40}; write one of https://"
        )

    def test_no_such_file(self, hub: FakeHub) -> None:
        text = complaint(lambda: fetch("*.gguf", "*.pt"))
        assert text.startswith(f"model owner/model: no file at {COMMIT} is like *.gguf or *.pt")

    def test_no_id(self, hub: FakeHub) -> None:
        assert "no id of the hub; write owner/name" in complaint(lambda: fetch(repo_id="a/b/c"))

    def test_no_network(
        self, hub: FakeHub, pauses: list[float], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")  # nobody listens there
        text = complaint(fetch)
        assert (
            "no connection to http://127.0.0.1:9 (5 attempts, the last one: ConnectError)" in text
        )
        assert pauses == [1, 2, 4, 8]

    def test_something_else_answers(self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
        hub.files[f"models:{MODEL}"] = {}
        monkeypatch.setattr("fake_hub.json.dumps", lambda _: "<html>Log in to this Wi-Fi</html>")
        assert "does not answer as the hub does; check HF_ENDPOINT" in complaint(fetch)

    def test_a_full_disk_is_told_before_the_download(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        usage = shutil._ntuple_diskusage(10**9, 10**9 - 100, 100)
        monkeypatch.setattr(hubfiles, "disk_usage", lambda _: usage)
        text = complaint(fetch)
        assert "is full (0.0 GB are needed," in text and "set HF_HOME to a larger disk" in text
        assert not hub.asked("/cdn/")

    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
    def test_a_disk_that_runs_full(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch, pauses: list[float], number: int
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(number, "No space left on device")

        monkeypatch.setattr(hubfiles, "_go_on", full)
        assert "is full" in complaint(fetch)
        assert pauses == []

    def test_a_cache_that_cannot_be_written(
        self, hub: FakeHub, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def forbidden(*_: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied", "/cache/blobs")

        monkeypatch.setattr(hubfiles, "_go_on", forbidden)
        assert "/cache/blobs: Permission denied; mend that, or set HF_HOME" in complaint(fetch)
