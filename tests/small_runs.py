"""A target and a corpus on disk, runs from there, and what is compared of their output."""

import math
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from small_corpora import SMALL
from tiny_models import at_update

from qunlearn.corpora import layout, mini
from qunlearn.models.checkpoints import save_model
from qunlearn.models.scratch import new_llama, train_tokenizer
from qunlearn.run.files import read_json, read_jsonl
from qunlearn.run.manifest import MANIFEST, hash_files
from qunlearn.settings.models import ModelSettings
from qunlearn.settings.unlearning import Adapter, UnlearnSettings
from qunlearn.training.sharding import rank
from qunlearn.training.trainer import LOG
from qunlearn.training.unlearn_run import unlearn_and_keep, unlearn_in_process

ROWS = 22  # of forget text
Start = tuple[Path, Path]


def make_start(folder: Path) -> Start:
    """A target that knows nothing, and a corpus."""
    corpus = mini.generate("news", SMALL)
    layout.write(folder / "corpus", corpus)
    shape = ModelSettings(vocabulary=300, hidden=32, mlp=64, layers=2, heads=2, context=256)
    tokenizer = train_tokenizer(corpus.raw["pretrain"], shape)
    save_model(new_llama(shape, tokenizer, seed=0), tokenizer, folder / "target")
    return folder / "target", folder / "corpus"


def run(
    start: Start,
    output: Path,
    settings: UnlearnSettings,
    adapter: Adapter = "full",
    snapshots: tuple[float, ...] = (),
    objective: str = "npo_gdr",
) -> Path:
    unlearn_and_keep(
        *start,
        objective,
        adapter,
        settings,
        seed=0,
        output=output,
        checkpoints=output.parent / f"{output.name} checkpoints",
        snapshots=snapshots,
    )
    return output


def kill(*args: object) -> None:
    """In the place of a power cut."""
    raise KeyboardInterrupt


def act_at(update: int, act: str, **arguments: Any) -> None:
    """For processes of their own: after an update all die as in a power cut (`kill`), or the last
    one is asked to end (`ask`), or its loss is not finite (`spoil`)."""

    def do(trainer: Any) -> None:
        if act == "kill":
            os._exit(9)
        if rank() == 1 and act == "ask":
            os.kill(os.getpid(), signal.SIGTERM)
        if rank() == 1 and act == "spoil":
            trainer.sides["forget"].weight = math.nan

    at_update(pytest.MonkeyPatch(), update, do)
    unlearn_in_process(**arguments)


def log_of(folder: Path) -> list[dict[str, Any]]:
    """Without the share of the whole run that was over at each line."""
    lines = read_jsonl(folder / LOG)
    return [{key: value for key, value in line.items() if key != "epoch"} for line in lines]


def files_of(folder: Path) -> dict[str, Any]:
    """Hashes of all that a run leaves behind but its log."""
    return {name: entry for name, entry in hash_files(folder).items() if name != LOG}


def facts_of(folder: Path) -> dict[str, Any]:
    """What does not differ between two runs that do the same."""
    manifest = read_json(folder / MANIFEST)
    names = ("step", "seed", "settings", "inputs", "objective", "adapter", "status", "updates")
    return {name: manifest[name] for name in names if name in manifest}
