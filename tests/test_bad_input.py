"""What a user can get wrong: one line that names it, an exit code, and no results."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, Snakemake

from qunlearn.corpora.layout import write
from qunlearn.corpora.mini import generate
from qunlearn.models.checkpoints import save_model
from qunlearn.models.scratch import new_llama, train_tokenizer
from qunlearn.settings.corpora import MiniSettings
from qunlearn.settings.models import ModelSettings


def complaint(done: subprocess.CompletedProcess[str], folder: Path) -> str:
    """The one line of the complaint, of a run that failed and left nothing."""
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert not (folder / "results").exists()
    lines = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, done.stderr
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--config", "experimnt=x"], ["'experimnt'", "did you mean 'experiment'"]),
        (["--config", "unlearn={'objectives': ['npo_gdx']}"], ["npo_gdx", "npo_gdr"]),
        (["--config", "unlearn={'adapters': ['qlora']}"], ["qlora", "full_bf16"]),
        (["--config", "precisions=['int4']"], ["'int4'", "rtn<bits>"]),
        (["--config", "unlearn={'settings': {'lr': -0.1}}"], ["unlearn.settings.lr", "-0.1"]),
        (["--config", "train={'target': {'lr': -1}}"], ["train.target.lr", "-1"]),
        (["--config", "experiment=a/b"], ["'experiment'", "a/b"]),
        (["--config", "experiment=.."], ["'experiment'", ".."]),
        (["--config", "corpus={'source': 'local'}"], ["'muse_dir'"]),
    ],
)
def test_configuration(
    tmp_path: Path, snakemake: Snakemake, arguments: list[str], words: list[str]
) -> None:
    line = complaint(snakemake(tmp_path, *arguments), tmp_path)
    assert all(word in line for word in words), line


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("muse") / "news"
    folder.mkdir()
    write(folder, generate("news", MiniSettings(forget=4, retain=4, holdout=4, pretrain=8)))
    return folder


def set_bytes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def drop_question(path: Path) -> None:
    cards: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    del cards[2]["question"]
    path.write_text(json.dumps(cards), encoding="utf-8")


@pytest.mark.parametrize(
    ("file", "damage", "words"),
    [
        ("raw/forget.json", Path.unlink, ["no such file"]),
        ("raw/retain1.json", set_bytes(b"[]"), ["empty"]),
        ("raw/retain2.json", set_bytes(b'["a", '), ["not valid JSON", "line 1"]),
        ("knowmem/forget_qa.json", drop_question, ["item 2", "question"]),
        ("privleak/holdout.json", set_bytes(b'["caf\xe9"]'), ["UTF-8"]),
    ],
)
def test_corpus(
    corpus: Path,
    tmp_path: Path,
    snakemake: Snakemake,
    file: str,
    damage: Callable[[Path], object],
    words: list[str],
) -> None:
    shutil.copytree(corpus, tmp_path / "muse/news")
    damage(tmp_path / "muse/news" / file)
    arguments = ("--configfile", str(ROOT / "config/muse_local.yaml"), "--config", "muse_dir=muse")
    line = complaint(snakemake(tmp_path, *arguments), tmp_path)
    assert all(word in line for word in [file, *words]), line


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "target"
    shape = ModelSettings(vocabulary=320, hidden=32, mlp=32, layers=1, heads=1)
    tokenizer = train_tokenizer(["some text and some more text"] * 20, shape)
    save_model(new_llama(shape, tokenizer, seed=0), tokenizer, folder)
    return folder


def drop_weights(model: Path) -> None:
    (model / "model.safetensors").unlink()


def shrink_vocabulary(model: Path) -> None:
    config = json.loads((model / "config.json").read_text(encoding="utf-8"))
    config["vocab_size"] = 100
    (model / "config.json").write_text(json.dumps(config), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (drop_weights, ["checkpoint folder without weights"]),
        (shrink_vocabulary, ["vocabulary", "100"]),
        (shutil.rmtree, ["no such checkpoint folder"]),
    ],
)
def test_checkpoint(
    checkpoint: Path,
    tmp_path: Path,
    snakemake: Snakemake,
    damage: Callable[[Path], object],
    words: list[str],
) -> None:
    shutil.copytree(checkpoint, tmp_path / "target")
    damage(tmp_path / "target")
    line = complaint(snakemake(tmp_path, "--config", "models={'target': 'target'}"), tmp_path)
    assert all(word in line for word in ["target", *words]), line


def test_a_script_alone_says_it_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            *(sys.executable, str(ROOT / "workflow/scripts/unlearn.py")),
            *("--target", "nowhere", "--corpus", "nowhere", "--objective", "npo_gdr"),
            *("--adapter", "lora", "--output", "results", "--checkpoints", "checkpoints"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert complaint(done, tmp_path) == "error: nowhere: no such checkpoint folder; check the path"
    assert done.returncode == 2
