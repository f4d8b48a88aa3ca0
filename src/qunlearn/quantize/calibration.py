"""The texts that GPTQ calibrates on: drawn by a seed, known afterwards by their hash alone.

Calibration comes from the retain texts. Forget texts would tune the rounding to the very text
whose forgetting is tested, and put it back into the hands of the deployer who had to delete it;
holdout texts must stay unseen for PrivLeak; Utility is measured on retain2, so retain1, which the
regulariser has seen, is the default.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from qunlearn.run.errors import InputError
from qunlearn.settings.quantization import CalibrationSettings

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Windows = list[list[int]]
"""Calibration sequences: token ids, all of one length."""


class Texts(NamedTuple):
    """A corpus folder in MUSE's layout, and what to draw from it."""

    corpus: Path
    settings: CalibrationSettings


def draw(
    raw: Sequence[str], tokenizer: PreTrainedTokenizerBase, settings: CalibrationSettings
) -> Windows:
    """Draw calibration sequences.

    The texts are shuffled, joined by blank lines, tokenized as one stream and cut into windows, of
    which `sequences` are drawn without replacement. Windows are running text, without the tokens
    that begin a text: so do GPTQ's own scripts cut them (Frantar et al. 2023), and the outlier
    activations of `<s>` would weigh in every window's Hessian.

    Args:
        raw: the texts of `settings.split`.

    Raises:
        InputError: too few windows.
    """
    generator = random.Random(settings.seed)
    texts = [text for text in raw if text.strip()]
    generator.shuffle(texts)
    stream = tokenizer("\n\n".join(texts), add_special_tokens=False, verbose=False).input_ids
    starts = range(0, len(stream) - settings.length + 1, settings.length)
    windows = [stream[start : start + settings.length] for start in starts]
    if len(windows) < settings.sequences:
        raise InputError(
            f"raw/{settings.split}.json: {len(stream)} tokens make {len(windows)} windows of "
            f"{settings.length}, not {settings.sequences}; lower calibration.sequences or length"
        )
    return generator.sample(windows, settings.sequences)


def describe(windows: Windows, settings: CalibrationSettings) -> dict[str, Any]:
    """What the manifest says of the calibration: how it was drawn, never what it was.

    `sha256` is of the token ids as little-endian 32-bit integers, window after window.
    """
    ids = b"".join(token.to_bytes(4, "little") for window in windows for token in window)
    return {**asdict(settings), "tokens": len(ids) // 4, "sha256": sha256(ids).hexdigest()}
