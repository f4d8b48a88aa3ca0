"""Checkpoints from the hub and from folders: which files, whose tokenizer, what is refused."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from fake_hub import COMMIT, FakeHub, in_place_of_the_hub
from safetensors.torch import load_file, save_file
from tiny_models import same, tiny_llama, tiny_tokenizer, weights

from qunlearn.models.checkpoints import load_model
from qunlearn.models.fetching import fetch
from qunlearn.models.scratch import train_tokenizer
from qunlearn.models.sources import Source
from qunlearn.run.errors import InputError
from qunlearn.settings.models import ModelSettings

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
def hub(
    folder: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FakeHub]:
    hub = FakeHub(
        {
            "models:maker/model": {file.name: file.read_bytes() for file in folder.iterdir()}
            | {"modeling.py": b"print()", "pytorch_model.bin": b"pickle", "original/a.pth": b"p"},
            "models:maker/tokenizer": {file.name: file.read_bytes() for file in other.iterdir()},
        }
    )
    with in_place_of_the_hub(hub, tmp_path / "cache", monkeypatch):
        yield hub


def test_the_hub_s_model_is_linked_and_files_that_can_run_code_are_left_alone(
    hub: FakeHub, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(HUB, tmp_path / "target")
    found = {file.name for file in (tmp_path / "target").iterdir()}
    assert found == {file.name for file in folder.iterdir()} | {"manifest.json"}
    shards = [file for file in (tmp_path / "target").glob("model-*.safetensors")]
    assert len(shards) > 2 and {shard.stat().st_nlink for shard in shards} == {2}
    assert not hub.asked("modeling.py") and not hub.asked(".bin") and not hub.asked(".pth")
    manifest = json.loads((tmp_path / "target/manifest.json").read_text())
    assert manifest["settings"]["source"] == f"hub:maker/model@{COMMIT}"
    found = dict(load_model(tmp_path / "target", torch.float32).named_parameters())
    assert same(found, weights(tiny_llama(vocabulary=300)))

    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    fetch(HUB, tmp_path / "target")
    assert {file.stat().st_nlink for file in (tmp_path / "target").iterdir()} == {1}


def test_pickled_weights_alone_are_refused(hub: FakeHub, tmp_path: Path) -> None:
    files = hub.files["models:maker/model"]
    for name in [name for name in files if "safetensors" in name]:
        del files[name]
    with pytest.raises(InputError, match=r"hub:maker/model: no model.safetensors; pickled"):
        fetch(HUB, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_another_tokenizer_takes_the_place_of_a_checkpoint_s_own_or_missing_one(
    hub: FakeHub, folder: Path, other: Path, tmp_path: Path
) -> None:
    del hub.files["models:maker/model"]["tokenizer.json"]
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    fetch(HUB, tmp_path / "hub", TOKENIZER)
    assert not hub.asked(f"maker/model/resolve/{COMMIT}/tokenizer")
    fetch(Source("folder", str(folder)), tmp_path / "local", Source("folder", str(other)))
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert str(folder.parent) not in (tmp_path / "local/manifest.json").read_text()
    for made in (tmp_path / "hub", tmp_path / "local"):
        found = (made / "tokenizer.json").read_bytes()
        assert found == (other / "tokenizer.json").read_bytes() != before["tokenizer.json"]


def test_tokens_without_an_embedding_and_weights_that_are_not_finite_are_refused(
    folder: Path, tmp_path: Path
) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([f"<{number}>" for number in range(300)])
    tokenizer.save_pretrained(tmp_path / "large")
    large = Source("folder", str(tmp_path / "large"))
    with pytest.raises(InputError, match="embedding has 300 rows; use the tokenizer"):
        fetch(Source("folder", str(folder)), tmp_path / "target", large)
    spoilt = Path(shutil.copytree(folder, tmp_path / "spoilt"))
    shard = sorted(spoilt.glob("model-*"))[1]
    tensors = load_file(shard)
    name = sorted(tensors)[0]
    tensors[name].view(-1)[5] = float("inf")
    save_file(tensors, shard, metadata={"format": "pt"})
    with pytest.raises(InputError, match=rf"spoilt: {name} has weights that are NaN or infinite"):
        load_model(spoilt, torch.float32)
    with pytest.raises(InputError, match=rf"spoilt: {name} has weights"):
        fetch(Source("folder", str(spoilt)), tmp_path / "target")
    assert not (tmp_path / "target").exists()
