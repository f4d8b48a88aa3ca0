"""A model on the stand-in for the hub, and what its tests ask of it."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fake_hub import COMMIT, TOKEN

from qunlearn import hub
from qunlearn.errors import InputError

MODEL = "owner/model"
WEIGHTS = bytes(range(256)) * 40
OTHER = b"other" * 1000
FILES = {
    "config.json": b"{}",
    "model-1.safetensors": WEIGHTS,
    "model-2.safetensors": OTHER,
    "pytorch_model.bin": b"pickled",
}


def fetch(*patterns: str, revision: str = COMMIT, repo_id: str = MODEL) -> Path:
    return hub.snapshot(repo_id, revision, kind="model", patterns=patterns or ("*.safetensors",))


def complaint(call: Callable[[], object]) -> str:
    """What a user is told when `call` fails: one line, without secrets."""
    with pytest.raises(InputError) as caught:
        call()
    text = str(caught.value)
    assert "\n" not in text
    assert TOKEN not in text and "Signature" not in text and "/cdn/" not in text
    return text
