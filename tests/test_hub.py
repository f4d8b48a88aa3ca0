"""Models from the hub and from folders: the files of a commit, whole and right, or one line that
helps; which files of a checkpoint are taken, whose tokenizer, and what is refused."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from fake_hub import COMMIT, TOKEN, FakeHub, Fault, in_place_of_the_hub
from huggingface_hub import constants
from safetensors.torch import load_file, save_file
from tiny_models import same, tiny_llama, tiny_tokenizer, weights

from qunlearn.models import fetching
from qunlearn.models.checkpoints import load_model
from qunlearn.models.hub import snapshot
from qunlearn.models.scratch import train_tokenizer
from qunlearn.models.sources import Source
from qunlearn.run.errors import InputError
from qunlearn.settings.models import ModelSettings

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


def test_what_matches_is_downloaded_once(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_cut_download_ends_with_the_right_bytes(hub: FakeHub, tmp_path: Path) -> None:
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
        (Fault("/api/", 404, "RevisionNotFound"), ACCESS),
        (Fault("/cdn/", 403), ACCESS),
        (Fault("/cdn/", 502), "the download failed (HTTP 502); check the network"),
    ],
)
def test_a_refusal_says_what_to_do(hub: FakeHub, fault: Fault, words: str) -> None:
    hub.faults = [fault]
    text = complaint()
    assert text.startswith(f"model {MODEL}: ") and words in text


def test_no_hub_and_what_is_none(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fake_hub.json.dumps", lambda _: "<html>Log in</html>")
    assert "failed (JSONDecodeError); check the network" in complaint()
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert "failed (ConnectError); check the network" in complaint()


# --- A checkpoint and its tokenizer, made the pipeline's own ------------------------------------

HUB = Source("hub", "maker/model", COMMIT)
TOKENIZER = Source("hub", "maker/tokenizer", COMMIT)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint in shards."""
    folder = tmp_path_factory.mktemp("made") / "model"
    tiny_llama(vocabulary=300).save_pretrained(folder, max_shard_size="40KB")
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another tokenizer."""
    folder = tmp_path_factory.mktemp("made") / "tokenizer"
    train_tokenizer(["words upon words"] * 9, ModelSettings(vocabulary=300)).save_pretrained(folder)
    return folder


@pytest.fixture
def makers(hub: FakeHub, folder: Path, other: Path) -> FakeHub:
    code = {"modeling.py": b"print()", "pytorch_model.bin": b"pickle", "original/a.pth": b"p"}
    model, tokenizer = (
        {f.name: f.read_bytes() for f in each.iterdir()} for each in (folder, other)
    )
    hub.files = {"models:maker/model": model | code, "models:maker/tokenizer": tokenizer}
    return hub


def test_the_hub_s_model_is_linked_and_files_that_can_run_code_are_left_alone(
    makers: FakeHub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetching.fetch(HUB, tmp_path / "target")
    found = {file.name for file in (tmp_path / "target").iterdir()}
    assert found == {file.name for file in folder.iterdir()} | {"manifest.json"}
    shards = list((tmp_path / "target").glob("model-*.safetensors"))
    assert len(shards) > 2 and {shard.stat().st_nlink for shard in shards} == {2}
    assert not makers.asked("modeling.py") and not makers.asked(".bin") and not makers.asked(".pth")
    manifest = json.loads((tmp_path / "target/manifest.json").read_text())
    assert manifest["settings"]["source"] == f"hub:maker/model@{COMMIT}"
    found = dict(load_model(tmp_path / "target", torch.float32).named_parameters())
    assert same(found, weights(tiny_llama(vocabulary=300)))
    monkeypatch.setattr("os.link", lambda *_: Path("absent").stat())  # between two disks
    fetching.fetch(HUB, tmp_path / "target")
    assert {file.stat().st_nlink for file in (tmp_path / "target").iterdir()} == {1}


def test_pickled_weights_alone_are_refused(makers: FakeHub, tmp_path: Path) -> None:
    files = makers.files["models:maker/model"]
    for name in [name for name in files if "safetensors" in name]:
        del files[name]
    with pytest.raises(InputError, match=r"hub:maker/model: no model.safetensors; pickled"):
        fetching.fetch(HUB, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_another_tokenizer_takes_the_place_of_a_checkpoint_s_own_or_missing_one(
    makers: FakeHub, folder: Path, other: Path, tmp_path: Path
) -> None:
    del makers.files["models:maker/model"]["tokenizer.json"]
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    fetching.fetch(HUB, tmp_path / "hub", TOKENIZER)
    assert not makers.asked(f"maker/model/resolve/{COMMIT}/tokenizer")
    fetching.fetch(Source("folder", str(folder)), tmp_path / "local", Source("folder", str(other)))
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert str(folder.parent) not in (tmp_path / "local/manifest.json").read_text()
    for made in (tmp_path / "hub", tmp_path / "local"):
        found = (made / "tokenizer.json").read_bytes()
        assert found == (other / "tokenizer.json").read_bytes() != before["tokenizer.json"]


def test_tokens_without_embedding_and_weights_not_finite(folder: Path, tmp_path: Path) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([f"<{number}>" for number in range(300)])
    tokenizer.save_pretrained(tmp_path / "large")
    large = Source("folder", str(tmp_path / "large"))
    with pytest.raises(InputError, match="embedding has 300 rows; use the tokenizer"):
        fetching.fetch(Source("folder", str(folder)), tmp_path / "target", large)
    spoilt = Path(shutil.copytree(folder, tmp_path / "spoilt"))
    shard = sorted(spoilt.glob("model-*"))[1]
    tensors = load_file(shard)
    name = sorted(tensors)[0]
    tensors[name].view(-1)[5] = float("inf")
    save_file(tensors, shard, metadata={"format": "pt"})
    with pytest.raises(InputError, match=rf"spoilt: {name} has weights that are NaN or infinite"):
        load_model(spoilt, torch.float32)
    with pytest.raises(InputError, match=rf"spoilt: {name} has weights"):
        fetching.fetch(Source("folder", str(spoilt)), tmp_path / "target")
    assert not (tmp_path / "target").exists()
