"""The calibration sample: from the right texts, by the seed, and refused where it cannot be."""

import hashlib
import random
import struct
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from gptq_models import make_corpus
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

from qunlearn.quantize.calibration import describe, draw
from qunlearn.run.errors import InputError
from qunlearn.run.files import write_json
from qunlearn.settings.quantization import CalibrationSettings, CalibrationSplit


def letters() -> PreTrainedTokenizerFast:
    """A token a byte, so that windows can be read."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    bpe = Tokenizer(models.BPE(vocab={letter: i for i, letter in enumerate(alphabet)}, merges=[]))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=bpe, model_max_length=16)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every text of a split is made of letters that no other split has."""
    folder = make_corpus(tmp_path_factory.mktemp("calibration") / "corpus")
    for split, alphabet in (("retain1", "abcdef"), ("retain2", "ghijkl"), ("forget", "FORGET")):
        write_json(folder / f"raw/{split}.json", [letter * 20 for letter in alphabet] + [" "])
    return folder


def texts(corpus: Path, settings: CalibrationSettings) -> list[str]:
    tokenizer = letters()
    return [tokenizer.decode(window) for window in draw(corpus, tokenizer, None, settings)]


def test_windows_of_the_joined_texts_by_hand(corpus: Path) -> None:
    settings = CalibrationSettings(sequences=3, length=22, seed=5)
    order = random.Random(5)
    rows = [letter * 20 for letter in "abcdef"]
    order.shuffle(rows)
    windows = [row + "\n\n" for row in rows][:5]  # the last text lacks the blank line after it

    assert texts(corpus, settings) == [windows[index] for index in order.sample(range(5), 3)]


def test_windows_are_text_alone(corpus: Path) -> None:
    settings = CalibrationSettings(sequences=3, length=22, seed=5)
    around = letters()
    around.add_special_tokens({"bos_token": "<s>", "eos_token": "</s>"})
    around.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 256), ("</s>", 257)]
    )
    assert around("a").input_ids[0] == 256
    assert draw(corpus, around, None, settings) == draw(corpus, letters(), None, settings)


def test_windows_are_drawn_without_replacement_and_cover_the_text(corpus: Path) -> None:
    settings = CalibrationSettings(sequences=13, length=10)

    windows = texts(corpus, settings)

    assert sorted(windows) == sorted(texts(corpus, replace(settings, sequences=13, seed=0)))
    assert sorted("".join(windows).replace("\n", "")) == sorted("".join(x * 20 for x in "abcdef"))


def test_seed_decides(corpus: Path) -> None:
    settings = CalibrationSettings(sequences=4, length=11)

    assert texts(corpus, settings) == texts(corpus, settings)
    assert texts(corpus, settings) != texts(corpus, replace(settings, seed=1))


def test_only_retain_texts_can_be_drawn(corpus: Path) -> None:
    assert get_args(CalibrationSplit) == ("retain1", "retain2")
    assert CalibrationSettings().split == "retain1"
    for split, letters_of in (("retain1", set("abcdef\n")), ("retain2", set("ghijkl\n"))):
        settings = CalibrationSettings(split=split, sequences=13, length=10)
        assert set("".join(texts(corpus, settings))) == letters_of


def test_too_few_windows_name_how_many_there_are_and_what_to_lower(corpus: Path) -> None:
    with pytest.raises(
        InputError,
        match=r"retain1\.json: 130 tokens make 13 windows of 10, not 14; "
        r"lower quantization\.calibration\.sequences or quantization\.calibration\.length$",
    ):
        draw(corpus, letters(), None, CalibrationSettings(sequences=14, length=10))


def test_windows_longer_than_the_context_are_refused(corpus: Path) -> None:
    settings = CalibrationSettings(sequences=1, length=33)

    with pytest.raises(InputError, match=r"calibration\.length: 33 tokens, .* takes 32; lower it$"):
        draw(corpus, letters(), 32, settings)
    assert len(draw(corpus, letters(), 33, settings)[0]) == 33


def test_description_has_the_hash_of_the_tokens_and_nothing_of_them() -> None:
    settings = CalibrationSettings(sequences=2, length=3, seed=7)

    described = describe([[1, 2, 300], [4, 5, 70000]], settings)

    assert described == {
        "split": "retain1",
        "sequences": 2,
        "length": 3,
        "seed": 7,
        "tokens": 6,
        "sha256": hashlib.sha256(struct.pack("<6i", 1, 2, 300, 4, 5, 70000)).hexdigest(),
    }
