"""Survival of an update: a matrix by hand, and identities that hold for every one."""

import math
from dataclasses import astuple, replace

import numpy as np
import pytest
import torch
from survival_models import random_update, survival
from torch import Tensor

from qunlearn.models.updates import Update
from qunlearn.survival.histogram import BINS
from qunlearn.survival.measure import BLOCK_WEIGHTS, quantiles
from qunlearn.survival.table import MatrixRow

PRECISIONS = ("bf16", "int8", "nf4", "fp4", "rtn4", "rtn3g32", "rtn3g32m")


def numbers(row: MatrixRow) -> list[float]:
    """All columns but the module's name."""
    return [value for value in astuple(row) if not isinstance(value, str)]


def by_hand() -> Update:
    """On the grid of three bits a row has the steps 1 and 2; the update makes the second 3."""
    weight = torch.tensor([[3.0, 1.0, -1.4, 0.2], [-6.0, 2.0, 0.8, 0.0]])
    delta = torch.tensor([[0.0, 0.6, -0.2, 0.0], [-3.0, 0.0, 0.4, 0.5]])
    return Update("up_proj", -1, "up_proj", weight, delta)


def test_by_hand() -> None:
    row, _ = survival(by_hand(), "rtn3")

    # d_eff: fixed (0, 1, -1, 0, 0, 0, 2, 0), adaptive (0, 1, -1, 0, -3, 1, 0, 0).
    expected = MatrixRow(
        layer=-1,
        module="up_proj",
        n=8,
        norm_w=math.sqrt(52.64),
        norm_d=math.sqrt(9.81),
        relative_d=math.sqrt(9.81 / 52.64),
        moved=5 / 8,
        step_median=0.2,
        step_p99=0.6 + 0.93 * 0.9,
        flips_predicted=(0.6 + 0.2 + 1 + 0.2 + 0.25) / 8,
        flips_fixed=3 / 8,
        flips_adaptive=2 / 8,
        cosine_fixed=1.6 / math.sqrt(6 * 9.81),
        cosine_adaptive=9.8 / math.sqrt(12 * 9.81),
        error_fixed=math.sqrt(12.61 / 9.81),
        error_adaptive=math.sqrt(2.21 / 9.81),
        projection_fixed=1.6 / 9.81,
        projection_adaptive=9.8 / 9.81,
        rounding_error=math.sqrt(0.84 / 52.64),
        w_q10=0.7 * 0.2,
        w_q50=1.2,
        w_q90=3 + 0.3 * 3,
        moved_w_q10=0.4 * 0.8,
        moved_w_q50=1.0,
        moved_w_q90=1.4 + 0.6 * 4.6,
        zero_bin=3 / 8,
        zero_bin_moved=2 / 5,
    )
    assert (row.layer, row.module) == (-1, "up_proj")
    assert numbers(row) == pytest.approx(numbers(expected), rel=1e-6)


def test_histogram_by_hand() -> None:
    _, histogram = survival(by_hand(), "rtn3")

    bins = histogram.bins()
    assert len(bins) == 1 + BINS
    assert astuple(bins[0]) == (0.0, 0.0, 3, 0, 0)
    filled = {(round(b.low, 3), round(b.high, 3)): b for b in bins[1:] if b.count}
    assert {edges: astuple(b)[2:] for edges, b in filled.items()} == {
        (0.2, 0.251): (3, 2, 1),  # 0.2, 0.2, 0.25
        (0.501, 0.631): (1, 1, 1),
        (1.259, 1.585): (1, 0, 0),
    }


def test_histogram_gathers_both_ends() -> None:
    weight = torch.tensor([[1.0, -1.0, 0.5, 0.3]])
    delta = torch.tensor([[1e-9, 1e-42, 1e6, 0.0]])  # 1e-42 / step is next to nothing
    _, histogram = survival(Update("w", -1, "w", weight, delta), "rtn4")

    bins = histogram.bins()
    assert [b.count for b in (bins[0], bins[1], bins[-1])] == [1, 2, 1]
    assert (bins[1].low, bins[-1].high) == (1e-6, 100.0)


@pytest.mark.parametrize("name", PRECISIONS)
@pytest.mark.parametrize("size", [0.3, 0.01, 1e-4])
def test_identities(name: str, size: float) -> None:
    row, histogram = survival(random_update(96, 64, size), name)

    for kind in ("fixed", "adaptive"):
        cosine, error, projection = (
            getattr(row, f"{figure}_{kind}") for figure in ("cosine", "error", "projection")
        )
        ratio = math.sqrt(max(error**2 - 1 + 2 * projection, 0))
        assert cosine * ratio == pytest.approx(projection, abs=1e-5)
        assert -1 <= cosine <= 1
    bins = histogram.bins()
    assert sum(b.count for b in bins) == row.n
    assert sum(b.flips_fixed for b in bins) == pytest.approx(row.flips_fixed * row.n)
    assert sum(b.flips_adaptive for b in bins) == pytest.approx(row.flips_adaptive * row.n)
    assert sum(b.count for b in bins[1:]) == pytest.approx(row.moved * row.n)


@pytest.mark.parametrize("name", PRECISIONS)
def test_no_update_is_undefined_and_flips_nothing(name: str) -> None:
    update = random_update(64, 32, 0.0)
    row, histogram = survival(update, name)

    assert (row.flips_fixed, row.flips_adaptive, row.flips_predicted, row.moved) == (0, 0, 0, 0)
    absent = [field for field, value in vars(row).items() if value is None]
    assert absent == [
        *("cosine_fixed", "cosine_adaptive", "error_fixed", "error_adaptive"),
        *("projection_fixed", "projection_adaptive"),
        *("moved_w_q10", "moved_w_q50", "moved_w_q90", "zero_bin_moved"),
    ]
    assert histogram.bins()[0].count == row.n


def test_an_update_of_which_nothing_arrives() -> None:
    row, _ = survival(random_update(64, 32, 1e-12), "rtn3")

    assert (row.cosine_fixed, row.error_fixed, row.projection_fixed) == (0, 1, 0)
    assert row.flips_fixed == 0 < row.flips_predicted


@pytest.mark.parametrize("name", PRECISIONS)
def test_a_matrix_of_zeros_has_no_relative_figures(name: str) -> None:
    """The steps are next to nothing there: |d| / step would not be finite."""
    update = random_update(64, 32, 10.0)
    row, _ = survival(replace(update, weight=torch.zeros(64, 32)), name)

    assert (row.relative_d, row.rounding_error) == (None, None)
    assert row.flips_predicted > 0.9
    assert math.isfinite(row.step_p99)


@pytest.mark.parametrize("name", ["rtn4", "rtn3g32m", "nf4"])
def test_weights_spread_evenly_flip_as_often_as_predicted(name: str) -> None:
    generator = torch.Generator().manual_seed(3)
    weight = torch.rand(512, 256, generator=generator) * 2 - 1
    weight[:, ::32], weight[:, 1::32] = 1.0, -1.0  # the ends of every grid stay where they are
    delta = 0.05 * torch.randn(weight.shape, generator=generator)
    delta[:, ::32] = delta[:, 1::32] = 0
    row, histogram = survival(Update("w", 0, "w", weight, delta), name)

    assert row.flips_fixed == pytest.approx(row.flips_predicted, rel=0.03)
    assert 0.1 < row.flips_predicted < 0.5
    for b in histogram.bins()[1:]:
        if b.count > 5000 and b.high < 1:
            middle = math.sqrt(b.low * b.high)
            assert b.flips_fixed / b.count == pytest.approx(middle, rel=0.15)


@pytest.mark.parametrize("name", PRECISIONS)
def test_blocks_of_rows_make_no_difference(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    update = random_update(200, 96, 0.05)
    assert update.weight.numel() < BLOCK_WEIGHTS
    whole, bins = survival(update, name)
    monkeypatch.setattr("qunlearn.survival.measure.BLOCK_WEIGHTS", 1000)
    pieces, other_bins = survival(update, name)

    assert numbers(pieces) == pytest.approx(numbers(whole), rel=1e-12)
    assert other_bins.bins() == bins.bins()


def test_the_matrix_is_left_as_it_was() -> None:
    update = random_update(64, 32, 0.1)
    before: list[Tensor] = [update.weight.clone(), update.delta.clone()]
    for name in PRECISIONS:
        survival(update, name)
    assert torch.equal(update.weight, before[0])
    assert torch.equal(update.delta, before[1])


@pytest.mark.parametrize("n", [1, 2, 3, 100, 1001])
def test_quantiles_are_numpys(n: int) -> None:
    values = np.random.default_rng(0).normal(size=n).astype(np.float32)
    shares = (0.1, 0.5, 0.9, 0.99)
    assert quantiles(values.copy(), shares) == pytest.approx(np.quantile(values, shares), rel=1e-5)
