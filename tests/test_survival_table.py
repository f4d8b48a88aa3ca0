"""The CSV files of survival, and a model's figures from its matrices'."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_grids import grid_of
from survival_models import random_update, survival
from torch import Tensor

from qunlearn.models.updates import Update
from qunlearn.quantize.grids import Grid
from qunlearn.quantize.method import Precision
from qunlearn.run.errors import InputError
from qunlearn.survival.rounding import Rounded
from qunlearn.survival.table import (
    Bin,
    MatrixRow,
    overall,
    read_histogram,
    read_survival,
    write_histogram,
    write_survival,
)


def still(update: Update) -> Update:
    return replace(update, delta=torch.zeros_like(update.delta))


def rounded(grid: Grid, weight: Tensor) -> Tensor:
    return Rounded.nearest(grid, weight).values


def rows() -> list[MatrixRow]:
    update = random_update(64, 32, 0.05)
    return [survival(update, "rtn3")[0], survival(still(update), "rtn3")[0]]


def test_columns_stand_in_order(tmp_path: Path) -> None:
    write_survival(tmp_path / "a.csv", [])
    assert (tmp_path / "a.csv").read_text() == (
        "layer,module,n,norm_w,norm_d,relative_d,moved,step_median,step_p99,flips_predicted,"
        "flips_fixed,flips_adaptive,cosine_fixed,cosine_adaptive,error_fixed,error_adaptive,"
        "projection_fixed,projection_adaptive,rounding_error,w_q10,w_q50,w_q90,"
        "moved_w_q10,moved_w_q50,moved_w_q90,zero_bin,zero_bin_moved\n"
    )
    assert read_survival(tmp_path / "a.csv") == []


def test_rows_come_back_to_six_digits(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_survival(path, rows())
    back = read_survival(path)
    assert back[0].norm_w == pytest.approx(rows()[0].norm_w, rel=5e-6)
    assert (back[0].n, back[0].module, back[0].layer) == (2048, "up_proj", 3)
    assert back[1].cosine_fixed is None
    assert ",undefined,undefined," in path.read_text()
    assert "nan" not in path.read_text()

    write_survival(tmp_path / "b.csv", back)
    assert (tmp_path / "b.csv").read_bytes() == path.read_bytes()


def test_bins_come_back(tmp_path: Path) -> None:
    bins = [Bin(0.0, 0.0, 7, 0, 0), Bin(1e-6, 1.2589254e-6, 3, 2, 1)]
    write_histogram(tmp_path / "h.csv", bins)
    lines = ["low,high,count,flips_fixed,flips_adaptive", "0,0,7,0,0", "1e-06,1.25893e-06,3,2,1"]
    assert (tmp_path / "h.csv").read_text().splitlines() == lines
    assert read_histogram(tmp_path / "h.csv")[0] == bins[0]


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("layer,", "depth,", "the first line must be layer,module"),
        ("3,up_proj,2048", "3,up_proj,many", "line 2 does not parse .*many"),
        ("3,up_proj,2048,", "3,up_proj,2048,nan,", "line 2 has 28 fields, not 27"),
        ("3,up_proj,2048", "3,up_proj,undefined", "line 2 does not parse .*undefined"),
    ],
)
def test_a_bad_file_is_told_by_line(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    path = tmp_path / "a.csv"
    write_survival(path, rows())
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=complaint):
        read_survival(path)


def test_a_number_that_is_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    write_survival(path, rows())
    words = path.read_text().split(",")
    words[words.index("up_proj") + 2] = "inf"
    path.write_text(",".join(words))
    with pytest.raises(InputError, match="norm_w is inf"):
        read_survival(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; measure the survival first"):
        read_histogram(tmp_path / "h.csv")


@pytest.mark.parametrize("name", ["bf16", "nf4", "rtn3"])
def test_overall_is_the_concatenation(tmp_path: Path, name: str) -> None:
    """Through the file's six digits; with a matrix that nothing reaches and one that rests."""
    matrices = [
        random_update(64, 32, 0.1, seed=1),
        random_update(32, 128, 0.02, seed=2),
        random_update(32, 64, 1e-12, seed=3),
        still(random_update(64, 64, 1.0, seed=4)),
    ]
    write_survival(tmp_path / "a.csv", [survival(matrix, name)[0] for matrix in matrices])
    found = overall(read_survival(tmp_path / "a.csv"))

    precision = Precision.parse(name)
    weight, delta, fixed, adaptive = [], [], [], []
    for matrix in matrices:
        unlearned = matrix.weight + matrix.delta
        grid = grid_of(precision.name, matrix.weight)
        before = rounded(grid, matrix.weight)
        weight.append((matrix.weight.view(-1), (before - matrix.weight).view(-1)))
        delta.append(matrix.delta.view(-1))
        fixed.append((rounded(grid, unlearned) - before).view(-1))
        own = rounded(grid_of(precision.name, unlearned), unlearned)
        adaptive.append((own - before).view(-1))
    w, rounding = (torch.cat(parts).double() for parts in zip(*weight, strict=True))
    d = torch.cat(delta).double()
    assert found.n == len(w)
    assert found.norm_w == pytest.approx(float(w.norm()), rel=1e-5)
    assert found.relative_d == pytest.approx(float(d.norm() / w.norm()), rel=1e-5)
    assert found.moved == pytest.approx(float((d != 0).double().mean()), rel=1e-5)
    assert found.rounding_error == pytest.approx(float(rounding.norm() / w.norm()), rel=1e-5)
    for kind, parts in (("fixed", fixed), ("adaptive", adaptive)):
        arrived = torch.cat(parts).double()
        dot, norm = float(arrived @ d), float(d.norm())
        cosine = dot / (float(arrived.norm()) * norm)
        assert getattr(found, f"cosine_{kind}") == pytest.approx(cosine, rel=1e-5)
        assert getattr(found, f"projection_{kind}") == pytest.approx(dot / norm**2, rel=1e-5)
        error = float((arrived - d).norm()) / norm
        assert getattr(found, f"error_{kind}") == pytest.approx(error, rel=1e-5)
        changed = float((arrived != 0).double().mean())
        if kind == "fixed":
            assert found.flips_fixed == pytest.approx(changed, rel=1e-5)


def test_overall_without_any_update_is_undefined() -> None:
    found = overall(rows()[1:])
    assert (found.cosine_adaptive, found.error_fixed, found.projection_fixed) == (None, None, None)
    assert found.flips_adaptive == 0
    assert found.rounding_error is not None
    with pytest.raises(ValueError, match="diverged"):
        overall([])
