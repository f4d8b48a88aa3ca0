"""Ordinary training: its order, that it learns, and that it says so where it diverges."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_models import TEXTS, TRAINING
from transformers import PreTrainedTokenizerFast

from qunlearn.models.scratch import new_llama
from qunlearn.settings.models import ModelSettings
from qunlearn.training.finetune import finetune, shuffled_passes
from qunlearn.training.trainer import Diverged

pytestmark = pytest.mark.usefixtures("autocast_left_as_it_was")


def test_passes_are_shuffled_anew_and_repeatable() -> None:
    order = shuffled_passes(7, 17, seed=3)
    assert order == shuffled_passes(7, 17, seed=3)
    assert order != shuffled_passes(7, 17, seed=4)
    assert sorted(order[:7]) == sorted(order[7:14]) == list(range(7))
    assert order[:7] != order[7:14]
    assert len(order) == 17
    assert len(set(order[14:])) == 3
    assert shuffled_passes(7, 30, seed=3)[:17] == order  # a longer run starts the same


def test_weights_that_overflow_in_the_last_update_diverge(
    tmp_path: Path, tokenizer: PreTrainedTokenizerFast
) -> None:
    model = new_llama(ModelSettings(300, 32, 64, 2, 2, 64), tokenizer, seed=0)
    settings = replace(TRAINING, epochs=0.5, lr=1e39, warmup=0)  # beyond fp32
    with pytest.raises(Diverged, match="is not finite after the last update") as caught:
        finetune(model, tokenizer, TEXTS, settings, 0, tmp_path)
    assert caught.value.log == []


def test_training_learns_the_texts(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    model = new_llama(ModelSettings(300, 32, 64, 2, 2, 64), tokenizer, seed=0)
    settings = replace(TRAINING, epochs=20)
    log = finetune(model, tokenizer, TEXTS, settings, 0, tmp_path)
    losses = [line["loss"] for line in log if "loss" in line]
    assert losses[0] > 5  # ln 300 = 5.7
    assert losses[-1] < 1.5
    rates = [line["learning_rate"] for line in log if "learning_rate" in line]
    # Half a cosine from the end of the warm-up; the last line has the rate of the last update.
    assert max(rates) <= settings.lr
    assert rates[0] > rates[-1]
    assert rates[-1] < 1e-4
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
