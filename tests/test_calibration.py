"""The calibration sample: from the right texts, by the seed, and refused where it cannot be."""

import hashlib
import random
import struct
from typing import get_args

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from qunlearn.quantize.calibration import describe, draw
from qunlearn.run.errors import InputError
from qunlearn.settings.quantization import CalibrationSettings, CalibrationSplit

RAW = [*(letter * 20 for letter in "abcdef"), " "]


def letters() -> PreTrainedTokenizerFast:
    """A token a byte, so that windows can be read."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=bpe, model_max_length=16)


def texts(settings: CalibrationSettings) -> list[str]:
    tokenizer = letters()
    return [tokenizer.decode(window) for window in draw(RAW, tokenizer, settings)]


def test_windows_of_the_joined_texts_by_hand() -> None:
    order = random.Random(5)
    rows = RAW[:-1]
    order.shuffle(rows)
    windows = [row + "\n\n" for row in rows][:5]  # the last text lacks the blank line after it

    found = texts(CalibrationSettings(sequences=3, length=22, seed=5))
    assert found == [windows[index] for index in order.sample(range(5), 3)]
    assert found != texts(CalibrationSettings(sequences=3, length=22, seed=1))


def test_windows_are_text_alone() -> None:
    settings = CalibrationSettings(sequences=3, length=22, seed=5)
    around = letters()
    around.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>"})
    around.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 256), ("</s>", 257)]
    )
    assert around("a").input_ids[0] == 256
    assert draw(RAW, around, settings) == draw(RAW, letters(), settings)


def test_windows_are_drawn_without_replacement_and_cover_the_text() -> None:
    windows = texts(CalibrationSettings(sequences=13, length=10))
    assert sorted("".join(windows).replace("\n", "")) == sorted("".join(RAW).replace(" ", ""))
    assert get_args(CalibrationSplit) == ("retain1", "retain2")  # no other texts can be drawn


def test_what_cannot_be_drawn_names_what_to_lower() -> None:
    settings = CalibrationSettings(sequences=14, length=10)
    with pytest.raises(InputError, match=r"retain1\.json: 130 tokens make 13 windows of 10, not"):
        draw(RAW, letters(), settings)


def test_description_has_the_hash_of_the_tokens_and_nothing_of_them() -> None:
    settings = CalibrationSettings(sequences=2, length=3, seed=7)
    assert describe([[1, 2, 300], [4, 5, 70000]], settings) == {
        "split": "retain1",
        "sequences": 2,
        "length": 3,
        "seed": 7,
        "tokens": 6,
        "sha256": hashlib.sha256(struct.pack("<6i", 1, 2, 300, 4, 5, 70000)).hexdigest(),
    }
