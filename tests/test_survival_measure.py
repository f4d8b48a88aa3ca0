"""Survival of an update: a matrix by hand, identities that hold for every one, a model, files."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small_survival import write
from survival_models import grid_of, random_update, rounded_to, survival

from qunlearn.models.updates import Update
from qunlearn.quantize.method import Precision
from qunlearn.survival.measure import BINS, BLOCK_WEIGHTS, measure_matrix
from qunlearn.survival.table import ARRIVED, overall, read_histogram, read_survival

PRECISIONS = ("bf16", "int8", "nf4", "fp4", "rtn4", "rtn3g32", "rtn3g32m")


def still(update: Update) -> Update:
    return replace(update, delta=torch.zeros_like(update.delta))


def by_hand() -> Update:
    """On the grid of three bits a row has the steps 1 and 2; the update makes the second 3."""
    weight = torch.tensor([[3.0, 1.0, -1.4, 0.2], [-6.0, 2.0, 0.8, 0.0]])
    delta = torch.tensor([[0.0, 0.6, -0.2, 0.0], [-3.0, 0.0, 0.4, 0.5]])
    return Update("up_proj", -1, "up_proj", weight, delta)


def test_by_hand() -> None:
    row, bins = survival(by_hand(), "rtn3")

    # d_eff: fixed (0, 1, -1, 0, 0, 0, 2, 0), adaptive (0, 1, -1, 0, -3, 1, 0, 0).
    expected = {
        "layer": -1,
        "module": "up_proj",
        "n": 8,
        "norm_w": math.sqrt(52.64),
        "norm_d": math.sqrt(9.81),
        "relative_d": math.sqrt(9.81 / 52.64),
        "moved": 5 / 8,
        "flips_predicted": (0.6 + 0.2 + 1 + 0.2 + 0.25) / 8,
        "flips_fixed": 3 / 8,
        "flips_adaptive": 2 / 8,
        "cosine_fixed": 1.6 / math.sqrt(6 * 9.81),
        "cosine_adaptive": 9.8 / math.sqrt(12 * 9.81),
        "error_fixed": math.sqrt(12.61 / 9.81),
        "error_adaptive": math.sqrt(2.21 / 9.81),
        "projection_fixed": 1.6 / 9.81,
        "projection_adaptive": 9.8 / 9.81,
        "rounding_error": math.sqrt(0.84 / 52.64),
        "zero_bin": 3 / 8,
        "zero_bin_moved": 2 / 5,
    }
    names = row.pop("layer"), row.pop("module"), expected.pop("layer"), expected.pop("module")
    assert names == (-1, "up_proj") * 2
    assert row.to_dict() == pytest.approx(expected, rel=1e-6)
    assert len(bins) == 1 + BINS
    filled = {
        (round(low, 3), round(high, 3)): (count, flips)
        for low, high, count, flips in bins.itertuples(index=False)
        if count
    }
    assert filled == {
        (0, 0): (3, 0),
        (0.2, 0.251): (3, 2),  # 0.2, 0.2, 0.25
        (0.501, 0.631): (1, 1),
        (1.259, 1.585): (1, 0),
    }


def test_the_codes_of_fp4_beside_zero_count_as_zero() -> None:
    """For a weight that moves between them stays as good as zero."""
    weight, delta = torch.ones(1, 64), torch.zeros(1, 64)
    weight[0, :4] = torch.tensor([0.0, 0.05, -0.08, 0.1])
    delta[0, 1:4] = 0.01
    row, _ = survival(Update("w", -1, "w", weight, delta), "fp4")
    assert row.zero_bin == 3 / 64 and row.zero_bin_moved == pytest.approx(2 / 3)


def test_histogram_gathers_both_ends() -> None:
    weight = torch.tensor([[1.0, -1.0, 0.5, 0.3]])
    delta = torch.tensor([[1e-9, 1e-42, 1e6, 0.0]])  # 1e-42 / step is next to nothing
    _, bins = survival(Update("w", -1, "w", weight, delta), "rtn4")

    assert bins["count"].iloc[[0, 1, -1]].tolist() == [1, 2, 1]
    assert (bins["low"][1], bins["high"].iloc[-1]) == (1e-6, 100.0)


@pytest.mark.parametrize("name", PRECISIONS)
def test_what_is_undefined_without_an_update_or_without_weights(name: str) -> None:
    row, bins = survival(random_update(64, 64, 0.0), name)
    assert (row.flips_fixed, row.flips_adaptive, row.flips_predicted, row.moved) == (0, 0, 0, 0)
    assert set(row.index[row.isna()]) == {*ARRIVED, "zero_bin_moved"}
    assert bins["count"][0] == row.n

    empty = replace(random_update(64, 64, 10.0), weight=torch.zeros(64, 64))
    row, _ = survival(empty, name)
    assert np.isnan([row.relative_d, row.rounding_error]).all()
    assert 0.9 < row.flips_predicted <= 1  # though the steps are next to nothing


@pytest.mark.parametrize("name", ["rtn4", "rtn3g32m", "nf4"])
def test_weights_spread_evenly_flip_as_often_as_predicted(name: str) -> None:
    generator = torch.Generator().manual_seed(3)
    weight = torch.rand(512, 256, generator=generator) * 2 - 1
    weight[:, ::32], weight[:, 1::32] = 1.0, -1.0  # the ends of every grid stay where they are
    delta = 0.05 * torch.randn(weight.shape, generator=generator)
    delta[:, ::32] = delta[:, 1::32] = 0
    row, bins = survival(Update("w", 0, "w", weight, delta), name)

    assert row.flips_fixed == pytest.approx(row.flips_predicted, rel=0.03)
    assert 0.1 < row.flips_predicted < 0.5
    for low, high, count, flips in bins[1:].itertuples(index=False):
        if count > 5000 and high < 1:
            assert flips / count == pytest.approx(math.sqrt(low * high), rel=0.15)


@pytest.mark.parametrize("name", PRECISIONS)
def test_blocks_of_rows_make_no_difference(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    update = random_update(200, 64, 0.05)
    before = update.weight.clone(), update.delta.clone()
    assert update.weight.numel() < BLOCK_WEIGHTS
    whole, bins = survival(update, name)
    monkeypatch.setattr("qunlearn.survival.measure.BLOCK_WEIGHTS", 1000)
    pieces, other_bins = survival(update, name)

    numbers = [each.drop("module").to_dict() for each in (pieces, whole)]
    assert numbers[0] == pytest.approx(numbers[1], rel=1e-12)
    assert other_bins.equals(bins)
    assert torch.equal(update.weight, before[0]) and torch.equal(update.delta, before[1])


def test_threads_change_no_bit() -> None:
    update, precision = random_update(2 * BLOCK_WEIGHTS // 64 + 100, 64, 0.02), "nf4"
    alone, counts = measure_matrix(update, Precision.parse(precision))
    with ThreadPoolExecutor(3) as executor:
        shared, others = measure_matrix(update, Precision.parse(precision), (), executor)
    assert shared == alone
    assert np.array_equal(counts, others)


def test_files_come_back_to_six_digits(tmp_path: Path) -> None:
    update = random_update(64, 32, 0.05)
    measured = [survival(each, "rtn3") for each in (update, still(update))]
    rows, path = pd.DataFrame([row for row, _ in measured]), tmp_path / "a.csv"
    write(path, rows)
    back = read_survival(path)
    assert back["norm_w"].tolist() == pytest.approx(rows["norm_w"].tolist(), rel=5e-6)
    assert back.loc[0, ["n", "module", "layer"]].tolist() == [2048, "up_proj", 3]
    assert np.isnan(back["cosine_fixed"][1]) and ",undefined,undefined," in path.read_text()
    write(tmp_path / "b.csv", back)
    assert (tmp_path / "b.csv").read_bytes() == path.read_bytes()
    write(tmp_path / "h.csv", measured[0][1])
    pd.testing.assert_frame_equal(read_histogram(tmp_path / "h.csv"), measured[0][1], rtol=5e-6)


@pytest.mark.parametrize("name", ["bf16", "nf4", "rtn3"])
def test_overall_is_the_concatenation(tmp_path: Path, name: str) -> None:
    """Through the file's six digits; with a matrix that nothing reaches and one that rests."""
    matrices = [
        random_update(64, 64, 0.1, seed=1),
        random_update(32, 128, 0.02, seed=2),
        random_update(32, 64, 1e-12, seed=3),
        still(random_update(64, 64, 1.0, seed=4)),
    ]
    write(tmp_path / "a.csv", pd.DataFrame([survival(matrix, name)[0] for matrix in matrices]))
    found = overall(read_survival(tmp_path / "a.csv"))

    parts = []
    for matrix in matrices:
        unlearned = matrix.weight + matrix.delta
        grid = grid_of(name, matrix.weight)
        before = rounded_to(name, matrix.weight)
        fixed, adaptive = grid.values(grid.codes(unlearned)), rounded_to(name, unlearned)
        all_five = matrix.weight, matrix.delta, before, fixed, adaptive
        parts.append(torch.stack([each.view(-1) for each in all_five]).double())
    w, d, before, *after = torch.cat(parts, dim=1)
    expected = {
        "n": len(w),
        "norm_w": w.norm(),
        "norm_d": d.norm(),
        "relative_d": d.norm() / w.norm(),
        "moved": (d != 0).double().mean(),
        "flips_fixed": (after[0] != before).double().mean(),
        "rounding_error": (before - w).norm() / w.norm(),
        "zero_bin": (before == 0).double().mean(),
        "zero_bin_moved": (before == 0)[d != 0].double().mean(),
    }
    for kind, rounded in zip(("fixed", "adaptive"), after, strict=True):
        arrived = rounded - before
        expected[f"cosine_{kind}"] = arrived @ d / (arrived.norm() * d.norm())
        expected[f"projection_{kind}"] = arrived @ d / d.norm() ** 2
        expected[f"error_{kind}"] = (arrived - d).norm() / d.norm()
    for figure, value in expected.items():
        assert found[figure] == pytest.approx(float(value), rel=1e-5), figure

    undefined = overall(pd.DataFrame([survival(still(matrices[0]), name)[0]]))
    assert undefined[["cosine_adaptive", "error_fixed"]].isna().all()
    assert undefined["flips_adaptive"] == 0
