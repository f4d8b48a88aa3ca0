"""The texts that GPTQ calibrates on: drawn by a seed, known afterwards by their hash alone.

Calibration comes from the retain texts. Forget texts would tune the rounding to the very text
whose forgetting is tested, and put it back into the hands of the deployer who had to delete it;
holdout texts must stay unseen for PrivLeak; retain2 is what Utility is asked on, so that retain1,
which the regulariser has seen, is the default.
"""

import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from qunlearn.corpora import layout
from qunlearn.run.errors import InputError
from qunlearn.settings.quantization import CalibrationSettings

Windows = list[list[int]]
"""Calibration sequences: token ids, all of one length."""


@dataclass(frozen=True)
class Texts:
    """Where calibration texts are drawn from, and how.

    Attributes:
        corpus: a folder in MUSE's layout.
        settings: what to draw.
    """

    corpus: Path
    settings: CalibrationSettings


def draw(
    corpus: Path,
    tokenizer: PreTrainedTokenizerBase,
    context: int | None,
    settings: CalibrationSettings,
) -> Windows:
    """Draw calibration sequences from a corpus.

    The texts of `raw/<split>.json` are shuffled, joined by blank lines, tokenized as one stream
    and cut into windows, of which `sequences` are drawn without replacement. Windows are running
    text, without the tokens that begin a text: so do GPTQ's own scripts cut them (Frantar et al.
    2023), and the outlier activations of `<s>` would weigh in every window's Hessian.

    Args:
        corpus: a folder in MUSE's layout.
        tokenizer: the model's.
        context: longest sequence that the model takes, if it has a limit.
        settings: what to draw; its seed decides the shuffle and the draw.

    Raises:
        InputError: a bad corpus, windows longer than the model's context, or too few of them.
    """
    raw = layout.load(corpus).raw[settings.split]
    return cut(raw, tokenizer, context, settings, f"{corpus / 'raw' / settings.split}.json")


def cut(
    raw: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    context: int | None,
    settings: CalibrationSettings,
    where: str,
) -> Windows:
    """The same of texts that are in memory.

    Args:
        raw: the texts that are drawn from.
        where: they are from, for the message.

    Raises:
        InputError: windows longer than the model's context, or too few of them.
    """
    if context is not None and settings.length > context:
        raise InputError(
            f"quantization.calibration.length: {settings.length} tokens, but the model takes "
            f"{context}; lower it"
        )
    generator = random.Random(settings.seed)
    texts = [text for text in raw if text.strip()]
    generator.shuffle(texts)
    stream = tokenizer("\n\n".join(texts), add_special_tokens=False, verbose=False).input_ids
    count = len(stream) // settings.length
    if count < settings.sequences:
        raise InputError(
            f"{where}: {len(stream)} tokens make {count} windows of "
            f"{settings.length}, not {settings.sequences}; lower "
            "quantization.calibration.sequences or quantization.calibration.length"
        )
    return [
        stream[index * settings.length : (index + 1) * settings.length]
        for index in generator.sample(range(count), settings.sequences)
    ]


def describe(windows: Windows, settings: CalibrationSettings) -> dict[str, Any]:
    """What the manifest says of the calibration: how it was drawn, never what it was.

    `sha256` is of the token ids as little-endian 32-bit integers, window after window.
    """
    ids = b"".join(token.to_bytes(4, "little") for window in windows for token in window)
    return {**asdict(settings), "tokens": len(ids) // 4, "sha256": sha256(ids).hexdigest()}
