"""Unlearning: its pairs, losses and updates, its stop rule, and runs that diverge."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_models import (
    FORGET,
    PAD,
    RETAIN,
    UNLEARNING,
    at_update,
    full_precision,
    same,
    tiny_llama,
    weights,
)
from torch import nn

from qunlearn.run.errors import InputError
from qunlearn.settings.unlearning import Adapter
from qunlearn.training.adapters import weight_dtype, with_adapter
from qunlearn.training.finetune import shuffled_passes
from qunlearn.training.reference import row_nll
from qunlearn.training.trainer import Diverged
from qunlearn.training.unlearn import draw_pairs, unlearn

pytestmark = pytest.mark.usefixtures("autocast_left_as_it_was")


def forget_nll(model: nn.Module) -> float:
    sums, counts = row_nll(model, FORGET, PAD, 4, full_precision)
    return (sums.sum() / counts.sum()).item()


def test_pairs_pass_over_forget_and_draw_from_retain() -> None:
    pairs = draw_pairs(5, 3, 20, seed=0)
    assert pairs == draw_pairs(5, 3, 20, seed=0)
    assert pairs != draw_pairs(5, 3, 20, seed=1)
    assert [forget for forget, _ in pairs] == shuffled_passes(5, 20, seed=0)
    assert {retain for _, retain in pairs} == {0, 1, 2}


@pytest.mark.parametrize(
    ("objective", "adapter"),
    [
        ("ga", "full"),
        ("npo", "lora"),
        ("ga_gdr", "full_bf16"),
        ("ga_klr", "lora"),
        ("npo_gdr", "full"),
        ("npo_klr", "full_bf16"),
    ],
)
def test_unlearning_raises_the_forget_nll(objective: str, adapter: Adapter, tmp_path: Path) -> None:
    settings = replace(UNLEARNING, epochs=4, lr=5e-3)
    model = with_adapter(tiny_llama().to(weight_dtype(adapter)), adapter, settings, seed=0)
    before = forget_nll(model)
    log = unlearn(model, PAD, FORGET, RETAIN, objective, adapter, settings, 0, tmp_path)
    assert forget_nll(model) > before + 0.3
    looks = {line["step"]: line["nll_forget"] for line in log if "nll_forget" in line}
    assert list(looks) == [2, 4, 6, 8, 10, 12]  # 12 rows * 4 epochs / 4 rows
    assert looks[12] == pytest.approx(forget_nll(model), rel=0.02)
    losses = [line for line in log if "loss" in line]
    assert [line["step"] for line in losses] == list(looks)
    for line in losses:
        assert ("loss_retain" in line) == ("_" in objective)
        whole = line["loss_forget"] + line.get("loss_retain", 0.0)  # gamma = alpha = 1
        assert line["loss"] == pytest.approx(whole, abs=2e-3)


def test_weights_of_the_terms(tmp_path: Path) -> None:
    settings = replace(UNLEARNING, gamma=0.5, alpha=3.0)
    log = unlearn(tiny_llama(), PAD, FORGET, RETAIN, "ga_gdr", "full", settings, 0, tmp_path)
    line = next(line for line in log if "loss" in line)
    whole = 0.5 * line["loss_forget"] + 3.0 * line["loss_retain"]
    assert line["loss"] == pytest.approx(whole, abs=2e-3)


def test_first_losses_are_those_of_the_untrained_model(tmp_path: Path) -> None:
    """NPO starts at 2/beta ln 2 and KLR at 0, under dropout-free autocast alike."""
    settings = replace(UNLEARNING, lr=1e-12, epochs=1, log_every=1, checkpoint_every=1)
    log = unlearn(tiny_llama(), PAD, FORGET, RETAIN, "npo_klr", "full", settings, 0, tmp_path)
    lines = [line for line in log if "loss" in line]
    assert len(lines) == 3
    for line in lines:
        assert line["loss_forget"] == pytest.approx(2 / 0.1 * 0.6931472, rel=5e-3)
        assert line["loss_retain"] == pytest.approx(0.0, abs=1e-3)


@pytest.mark.parametrize("objective", ["npo_klr", "ga_gdr"])
def test_micro_batches_make_the_same_update(objective: str, tmp_path: Path) -> None:
    """Of rows that differ in length, so that a mean of means would not be the mean."""
    settings = replace(UNLEARNING, autocast=False)
    found = []
    for micro in (0, 2):
        model = tiny_llama()
        whose = replace(settings, micro_batch_size=micro)
        checkpoints = tmp_path / str(micro)
        log = unlearn(model, PAD, FORGET, RETAIN, objective, "full", whose, 0, checkpoints)
        found.append((weights(model), log))
    start = weights(tiny_llama())
    for name, weight in found[0][0].items():
        # AdamW makes whole steps of rounding errors where a gradient is nearly 0: 1.4 % on AVX2.
        difference = (weight - found[1][0][name]).norm()
        assert difference < 0.03 * (weight - start[name]).norm(), name
    for line, other in zip(found[0][1], found[1][1], strict=True):
        # Of the gradient's norm .02 % on AVX2, after two such updates.
        assert line == pytest.approx(other, rel=1e-3, abs=1e-4)


def test_micro_batches_must_divide_the_batch(tmp_path: Path) -> None:
    settings = replace(UNLEARNING, micro_batch_size=3)
    with pytest.raises(InputError, match="micro_batch_size 3 does not divide batch_size 4"):
        unlearn(tiny_llama(), PAD, FORGET, RETAIN, "ga", "full", settings, 0, tmp_path)


def test_the_stop_rule_ends_a_run(tmp_path: Path) -> None:
    settings = replace(UNLEARNING, epochs=100, lr=5e-3, stop_nll=6.0)
    model = tiny_llama()
    assert forget_nll(model) < 6.0
    log = unlearn(model, PAD, FORGET, RETAIN, "ga", "full", settings, 0, tmp_path)
    *below, last = [line["nll_forget"] for line in log if "nll_forget" in line]
    assert below
    assert max(below) < 6.0 <= last
    assert log[-1]["step"] < 300 == 100 * 12 // 4
    assert forget_nll(model) == pytest.approx(last, rel=0.02)


def test_a_stopped_run_that_goes_on_stops_there_again(tmp_path: Path) -> None:
    """A kill between the stop and the output must not push the model further."""
    settings = replace(UNLEARNING, epochs=100, lr=5e-3, stop_nll=6.0, checkpoint_every=2)
    models, logs = [], []
    for _ in range(2):
        models.append(tiny_llama())
        logs.append(unlearn(models[-1], PAD, FORGET, RETAIN, "ga", "full", settings, 0, tmp_path))
        kept = [path.name for path in tmp_path.glob("checkpoint-*")]
        assert kept == [f"checkpoint-{logs[-1][-1]['step'] - 2}"]
    assert logs[0] == logs[1]
    assert same(weights(models[0]), weights(models[1]))


def test_no_stop_rule_no_stop(tmp_path: Path) -> None:
    settings = replace(UNLEARNING, stop_nll=0.0, lr=5e-2)
    log = unlearn(tiny_llama(), PAD, FORGET, RETAIN, "ga", "full", settings, 0, tmp_path)
    assert log[-1]["step"] == 6


@pytest.mark.parametrize("stop_nll", [0.0, 6.0])
@pytest.mark.parametrize("log_every", [1, 2])
def test_a_run_that_diverges_says_so_with_its_log(
    log_every: int, stop_nll: float, tmp_path: Path
) -> None:
    """Also when the stop rule looks at the ruined model before the next loss does."""
    settings = replace(UNLEARNING, lr=1e30, log_every=log_every, stop_nll=stop_nll)
    with pytest.raises(Diverged, match=r"nan at update 2|nan after update 1") as caught:
        unlearn(tiny_llama(), PAD, FORGET, RETAIN, "npo_gdr", "full", settings, 0, tmp_path)
    assert isinstance(caught.value.log, list)


def test_a_run_that_its_last_update_ruins_diverges(tmp_path: Path) -> None:
    """Its weights are finite and no loss comes after them, yet its logits overflow."""
    settings = replace(UNLEARNING, lr=1e30, epochs=0.1)
    model = tiny_llama()
    with pytest.raises(Diverged, match="the forget NLL is nan after update 1"):
        unlearn(model, PAD, FORGET, RETAIN, "npo_gdr", "full", settings, 0, tmp_path)
    assert all(torch.isfinite(weight).all() for weight in model.parameters())


def test_the_log_of_a_diverged_run_ends_where_it_diverged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_update(monkeypatch, 4, lambda trainer: trainer.model.lm_head.weight.data.fill_(torch.inf))
    with pytest.raises(Diverged, match="at update 5") as caught:
        unlearn(tiny_llama(), PAD, FORGET, RETAIN, "ga_gdr", "full", UNLEARNING, 0, tmp_path)
    assert [line["step"] for line in caught.value.log if "loss" in line] == [2, 4]


def test_seeds_differ(tmp_path: Path) -> None:
    found = []
    for seed in (0, 0, 1):
        model = tiny_llama()
        folder = tmp_path / str(len(found))
        unlearn(model, PAD, FORGET, RETAIN, "npo_gdr", "full", UNLEARNING, seed, folder)
        found.append(weights(model))
    assert same(found[0], found[1])
    assert not same(found[0], found[2])
