"""The tables that explain the reversions, from numbers that can be followed by hand."""

import csv
import io
from pathlib import Path

import pytest
from small_summaries import by_key, single
from small_survival import MATRIX, matrices, write_cell

from qunlearn.analysis.summary import Scores
from qunlearn.experiment.names import Cell
from qunlearn.report.mechanism_tables import arrivals, mechanism_markdown, write_mechanism
from qunlearn.run.errors import InputError

HALF = MATRIX | {"moved": 0.5, "flips_predicted": 0.2, "flips_adaptive": 0.4}
HALF |= {"projection_fixed": 0.6, "zero_bin": 0.2, "zero_bin_moved": 0.9}
OTHER = HALF | {"layer": 1, "n": 300, "zero_bin": 0.4, "zero_bin_moved": 0.5, "flips_adaptive": 0.0}


def score(cell: str, value: float | str, metric: str = "reversion_nll_forget") -> Scores:
    return {(Cell.parse(cell), metric): single(value, 0.1, 0.2)}


SCORES = {
    **score("news/target/rtn3g64", 0.4, "nll_forget"),
    **score("news/npo_gdr/full/seed0/rtn3g64", 0.5),
    **score("news/npo_gdr/full/seed1/rtn3g64", 0.7),
    **score("news/npo_gdr/lora/seed0/rtn3g64", "undefined"),
    **score("news/npo_gdr/spare_unmoved/seed0/rtn3g64", 0.9),
}


@pytest.fixture
def survival(tmp_path: Path) -> Path:
    for model, rows in (
        ("full/seed0", matrices(HALF, OTHER)),
        ("full/seed1", matrices(HALF)),
        ("lora/seed0", matrices()),  # diverged: a header without rows
    ):
        write_cell(tmp_path / "survival", f"news/npo_gdr/{model}/rtn3g64", rows)
    return tmp_path / "survival"


def test_zero_bins_are_weighed_by_the_weights_that_they_are_shares_of(survival: Path) -> None:
    first, second = arrivals(SCORES, survival).itertuples(index=False)
    assert first[:5] == ("news", "npo_gdr", "full", 0, "rtn3g64")
    assert first.zero_bin == pytest.approx((100 * 0.2 + 300 * 0.4) / 400)
    assert first.zero_bin_moved == pytest.approx((50 * 0.9 + 150 * 0.5) / 200)
    assert first.flips_adaptive == pytest.approx(0.1)
    assert second.zero_bin_moved == pytest.approx(0.9)


def test_mechanism_averages_seeds_and_leaves_out_what_has_no_update(survival: Path) -> None:
    table = mechanism_markdown(arrivals(SCORES, survival), by_key(SCORES))
    header, _, *lines = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()
    ]

    assert len(lines) == 1
    shown = dict(zip(header[4:], lines[0][4:], strict=True))
    assert lines[0][:4] == ["NEWS", "NPO+GDR", "FT (fp32 masters)", "RTN3 g64"]
    assert shown["codes flip: predicted"] == "0.200"
    assert shown["codes flip: measured"] == "0.250"  # of .1 and .4
    assert shown["reversion (NLL)"] == "0.70 [0.60, 0.90]"


def test_csv_has_every_number(survival: Path, tmp_path: Path) -> None:
    write_mechanism(tmp_path / "mechanism.csv", SCORES, arrivals(SCORES, survival))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "mechanism.csv").read_text())))
    assert [(row["adapter"], row["seed"]) for row in rows] == [("full", "0"), ("full", "1")]
    assert rows[1]["projection_fixed"] == "0.6"
    assert list(rows[1].values())[-4:] == ["0.7", "0.6", "0.9", "32"]
    assert all(value for row in rows for value in row.values())
    with pytest.raises(InputError, match=r"full/seed2/rtn3g64\.csv: no such file"):
        arrivals(score("news/npo_gdr/full/seed2/rtn3g64", 0.1), survival)
