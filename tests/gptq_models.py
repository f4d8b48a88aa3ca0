"""A small model and corpus for GPTQ's tests, and what was drawn from it."""

import re
from pathlib import Path

from qunlearn.corpora import layout, mini
from qunlearn.models.checkpoints import load_tokenizer, save_model
from qunlearn.models.scratch import new_llama, train_tokenizer
from qunlearn.quantize.calibration import Windows, draw
from qunlearn.settings.corpora import MiniSettings
from qunlearn.settings.models import ModelSettings
from qunlearn.settings.quantization import CalibrationSettings

SIZES = MiniSettings(forget=4, retain=16, holdout=4, pretrain=4)
MODEL = ModelSettings(vocabulary=400, hidden=128, mlp=256, layers=1, heads=4, context=128)
CALIBRATION = CalibrationSettings(sequences=24, length=64)
FLAGS = ("--sequences", "24", "--length", "64")


def make_corpus(folder: Path) -> Path:
    layout.write(folder, mini.generate("news", SIZES))
    return folder


def make_model(folder: Path, corpus: Path) -> Path:
    tokenizer = train_tokenizer(layout.load(corpus).raw["retain1"], MODEL)
    save_model(new_llama(MODEL, tokenizer, seed=0), tokenizer, folder)
    return folder


def drawn(corpus: Path, source: Path) -> Windows:
    """The windows that CALIBRATION draws."""
    raw = layout.load(corpus).raw["retain1"]
    return draw(raw, load_tokenizer(source), MODEL.context, CALIBRATION)


def leaked(blob: bytes, source: Path, windows: Windows) -> list[str]:
    """Pieces of the calibration in `blob`: as text, as numbers in text, as binary integers."""
    tokenizer, text = load_tokenizer(source), blob.decode("utf-8", errors="replace")
    found = []
    for window in windows:
        for start in range(0, len(window) - 8, 8):
            ids = window[start : start + 8]
            words = str(tokenizer.decode(ids)).strip()
            numbers = re.compile(r"\D{1,12}".join(map(str, ids)))
            binary = [b"".join(i.to_bytes(size, "little") for i in ids) for size in (2, 4, 8)]
            if words in text or numbers.search(text) or any(part in blob for part in binary):
                found.append(words)
    return found
