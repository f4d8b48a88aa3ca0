"""A dataset of the hub becomes a corpus in our layout, the same as from a folder of the user's."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT
from fake_hub import COMMIT, TOKEN, FakeHub, Fault, in_place_of_the_hub, running
from muse_on_hub import NEWS, Tables, corpus, put_into_cache, repository, tables
from small_corpora import run_script

from qunlearn.corpora import layout
from qunlearn.corpora.hub import Download, download
from qunlearn.errors import InputError

KEY = f"datasets:{NEWS}"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    files = {KEY: repository(tables(corpus()))}
    with in_place_of_the_hub(FakeHub(files), tmp_path / "cache", monkeypatch) as hub:
        yield hub


def get() -> Download:
    return download(NEWS, COMMIT)


def refusal() -> str:
    with pytest.raises(InputError) as caught:
        get()
    assert "\n" not in str(caught.value)
    return str(caught.value)


class TestDownload:
    def test_every_subset_is_read(self, hub: FakeHub) -> None:
        found = get()
        assert found.corpus == corpus()
        assert found.revision == COMMIT
        expected = {
            f"{subset}/{split}": len(rows)
            for subset, splits in tables(corpus()).items()
            for split, rows in splits.items()
        }
        assert found.rows == expected
        assert len(expected) == 4 + 4 + 1 + 3 + 4 + 4

    def test_nothing_else_is_fetched(self, hub: FakeHub) -> None:
        files = get().files
        assert "README.md" in files
        assert all(name == "README.md" or name.endswith(".parquet") for name in files)
        assert (
            not hub.asked("/train/") and not hub.asked(".json") and not hub.asked(".gitattributes")
        )
        paths = [url for verb, url, _ in hub.requests if verb == "GET" and "/cdn/" in url]
        assert len(paths) == len(set(paths)) == len(files) - 1
        hub.requests.clear()
        assert get().corpus == corpus()
        assert hub.requests == []

    def test_the_benchmarks_books_have_neither_scal_nor_sust(self, hub: FakeHub) -> None:
        books = tables(corpus())
        del books["scal"], books["sust"]
        hub.files[KEY] = repository(books)
        assert get().corpus.scal == get().corpus.sust == {}

    def test_a_column_more_is_left_alone(self, hub: FakeHub) -> None:
        more = tables(corpus())
        more["knowmem"]["forget_qa"] = [{**row, "id": "7"} for row in more["knowmem"]["forget_qa"]]
        for split in more["knowmem"]:
            more["knowmem"][split] = [{"id": "7", **row} for row in more["knowmem"][split]]
        hub.files[KEY] = repository(more)
        assert get().corpus == corpus()


def without(subset: str, split: str) -> Callable[[Tables], None]:
    return lambda parts: parts[subset].pop(split) and None


def renamed(subset: str, split: str, **names: str) -> Callable[[Tables], None]:
    def edit(parts: Tables) -> None:
        for name in parts[subset] if split == "*" else [split]:
            rows = parts[subset][name]
            parts[subset][name] = [{names.get(k, k): v for k, v in row.items()} for row in rows]

    return edit


class TestSurprises:
    @pytest.mark.parametrize(
        ("edit", "complaint"),
        [
            (
                lambda parts: parts.pop("verbmem"),
                "its card has no configuration 'verbmem' (it has:",
            ),
            (
                without("knowmem", "retain_qa"),
                "'knowmem' has no split 'retain_qa' (it has: forget_qa,",
            ),
            (without("sust", "forget_3"), "'sust' has no split 'forget_3'"),
            (
                renamed("raw", "*", text="content"),
                "raw/forget has no column 'text' (it has: content)",
            ),
            (renamed("verbmem", "*", gt="answer"), "verbmem/forget has no column 'gt'"),
        ],
    )
    def test_another_layout(
        self, hub: FakeHub, edit: Callable[[Tables], None], complaint: str
    ) -> None:
        parts = tables(corpus())
        edit(parts)
        hub.files[KEY] = repository(parts)
        text = refusal()
        assert text.startswith(f"dataset {NEWS}: ")
        assert complaint in text
        assert "pin a commit in MUSE's layout" in text

    @pytest.mark.parametrize(
        ("value", "kind"), [(7, "int64"), (["a"], "a structure"), ({"a": "b"}, "a structure")]
    )
    def test_a_column_that_is_no_text(self, hub: FakeHub, value: Any, kind: str) -> None:
        parts = tables(corpus())
        parts["privleak"] = {
            split: [{"text": value} for _ in rows] for split, rows in parts["privleak"].items()
        }

        def say_so(card: dict[str, Any]) -> None:
            about = next(x for x in card["dataset_info"] if x["config_name"] == "privleak")
            del about["features"]

        hub.files[KEY] = repository(parts, say_so)
        assert f"privleak/forget: column 'text' holds {kind}, not text" in refusal()

    def test_rows_are_missing(self, hub: FakeHub) -> None:
        def more(card: dict[str, Any]) -> None:
            about = next(x for x in card["dataset_info"] if x["config_name"] == "raw")
            about["splits"][0]["num_examples"] += 1

        hub.files[KEY] = repository(tables(corpus()), more)
        assert "'raw' at " + COMMIT + " is not what its card says (NonMatchingSplits" in refusal()

    def test_a_file_that_is_no_parquet(self, hub: FakeHub) -> None:
        hub.files[KEY]["sust/forget_2-00000-of-00001.parquet"] = b"PAR1, not really"
        assert "'sust' at " in (text := refusal()) and "(DatasetGenerationError)" in text

    @pytest.mark.parametrize(
        "card", [b"no header", b"---\n[unclosed\n---\n", b"---\nconfigs: 7\n---\n"]
    )
    def test_a_card_that_says_nothing(self, hub: FakeHub, card: bytes) -> None:
        hub.files[KEY]["README.md"] = card
        assert "card" in refusal()

    def test_content_is_checked_as_in_a_users_folder(self, hub: FakeHub) -> None:
        parts = tables(corpus())
        parts["raw"]["holdout"][1] = parts["raw"]["retain1"][0]
        hub.files[KEY] = repository(parts)
        text = refusal()
        assert text.startswith(
            f"dataset {NEWS}: raw/holdout.json: item 1 is also in raw/retain1.json"
        )

    def test_code_of_a_repository_is_never_run(self, hub: FakeHub, tmp_path: Path) -> None:
        trap = tmp_path / "it ran"
        code = f"from pathlib import Path\nPath({str(trap)!r}).touch()\n".encode()
        hub.files[KEY] |= {"MUSE-News.py": code, "raw/raw.py": code, "snapshots.py": code}
        assert get().corpus == corpus()
        assert not trap.exists()
        assert not hub.asked(".py")


class TestScript:
    """The script as a job runs it, in a process of its own."""

    def run(self, folder: Path, hub: FakeHub, *flags: str, **more: str) -> Path:
        home = {"HF_HOME": str(folder / "home"), "HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN}
        run = run_script(
            "download_corpus.py",
            *("--dataset", NEWS, "--revision", COMMIT, "--output", str(folder / "news"), *flags),
            **home | {"HF_HUB_OFFLINE": ""} | more,
        )
        assert TOKEN not in run.stdout + run.stderr
        return folder / "news"

    def content(self, folder: Path) -> dict[str, bytes]:
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in folder.rglob("*.json")
            if path.name != "manifest.json"
        }

    def local(self, folder: Path, *flags: str) -> dict[str, bytes]:
        """What the same corpus gives from a folder of the user's."""
        layout.write(folder / "own", corpus())
        run_script(
            "import_corpus.py",
            *("--source", str(folder / "own"), "--output", str(folder / "local"), *flags),
        )
        return self.content(folder / "local")

    def test_hub_cache_and_folder_give_the_same_bytes(self, tmp_path: Path) -> None:
        files = repository(tables(corpus()))
        put_into_cache(tmp_path / "by hand/home", NEWS, files)
        with running(FakeHub({KEY: files})) as hub:
            online = self.content(self.run(tmp_path / "online", hub))
            hub.requests.clear()
            again = self.content(self.run(tmp_path / "online", hub, HF_HUB_OFFLINE="1"))
            cached = self.content(self.run(tmp_path / "by hand", hub, HF_HUB_OFFLINE="1"))
            assert hub.requests == []
        assert online == again == cached == self.local(tmp_path)
        assert "sust/forget_4.json" in online

    def test_an_excerpt_and_its_manifest(self, tmp_path: Path) -> None:
        files = repository(tables(corpus()))
        flags = ("--texts", "3", "--characters", "60")
        with running(FakeHub({KEY: files})) as hub:
            folder = self.run(tmp_path, hub, *flags)
        assert self.content(folder) == self.local(tmp_path, *flags)
        manifest = json.loads((folder / "manifest.json").read_text())
        assert manifest["source"] == f"hub:{NEWS}"
        assert manifest["settings"] == {"texts": 3, "characters": 60, "questions": 0}
        assert manifest["revision_asked"] == manifest["revision"] == COMMIT
        assert manifest["rows"]["verbmem/forget"] == 6
        name = "raw/forget-00000-of-00001.parquet"
        assert manifest["inputs"][name] == sha256(files[name]).hexdigest()
        assert set(manifest["inputs"]) == {
            name for name in files if name == "README.md" or name.endswith(".parquet")
        } - {"train/forget-00000-of-00001.parquet"}

    def test_a_killed_download_goes_on_where_it_was(self, tmp_path: Path) -> None:
        parts = tables(corpus())
        parts["raw"]["retain2"].append(
            {"text": " ".join(str(k * k % 9973) for k in range(300_000))}
        )
        name = "raw/retain2-00000-of-00001.parquet"
        with running(FakeHub({KEY: (files := repository(parts))})) as hub:
            half = len(files[name]) // 2
            hub.faults = [Fault(f"//{name}", 200, after=half, stalls=True)]
            flags = ["--dataset", NEWS, "--revision", COMMIT, "--output", str(tmp_path / "news")]
            killed = subprocess.Popen(
                [sys.executable, str(ROOT / "workflow/scripts/download_corpus.py"), *flags],
                env={
                    "PYTHONPATH": str(ROOT / "src"),
                    "HF_HOME": str(tmp_path / "home"),
                    "HF_ENDPOINT": hub.url,
                },
            )
            blobs = tmp_path / f"home/hub/datasets--{NEWS.replace('/', '--')}/blobs"
            partial = blobs / f"{sha256(files[name]).hexdigest()}.partial"
            deadline = time.monotonic() + 30
            while not (partial.exists() and partial.stat().st_size > half // 2):
                assert time.monotonic() < deadline and killed.poll() is None
                time.sleep(0.02)
            killed.send_signal(signal.SIGKILL)
            killed.wait()
            assert not (tmp_path / "news").exists()
            done = partial.stat().st_size
            finished = {path.name for path in blobs.iterdir() if path.suffix != ".partial"}
            hub.requests.clear()
            self.run(tmp_path, hub)
            assert [head["range"] for head in hub.asked(f"//{name}")] == [f"bytes={done}-"]
            assert finished and len(hub.asked("/cdn/")) == sum(
                sha256(content).hexdigest() not in finished
                for path, content in files.items()
                if path.endswith(".parquet") and not path.startswith("train/")
            )
