"""The figure of the update in units of the grid's step."""

import os
import subprocess
import sys
from math import sqrt
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from small_manifests import sign_measurements
from small_survival import BINS, write_cell

from qunlearn.analysis.metrics import Cell
from qunlearn.experiment.labels import LINES
from qunlearn.report.figures import steps
from qunlearn.report.figures.steps import moves, plot_update_over_step
from qunlearn.run.errors import InputError
from qunlearn.survival.table import Bin

SCRIPT = Path(__file__).resolve().parents[1] / "workflow/scripts/plot_update_over_step.py"
CELLS = [Cell("news", "npo_gdr", adapter, 0, "nf4") for adapter in ("full", "full_bf16")]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved, instead of their files."""
    figures: list[Figure] = []
    monkeypatch.setattr(steps, "save", lambda figure, folder, name: figures.append(figure))
    return figures


def test_counts_become_shares_of_all_weights() -> None:
    found = moves(BINS)  # 2000 weights, 600 of them unmoved

    assert found.unmoved == 0.3
    assert found.shares == pytest.approx((0.0995, 0.1, 0.5, 0.0005))
    assert found.edges == (0.01, 0.1, 1.0, 1.25893, 1.58489)


def test_flips_are_shares_of_their_bin_if_it_has_200_weights() -> None:
    found = moves(BINS)

    assert found.flips == (0.25, 1.0)
    assert found.centres == pytest.approx((sqrt(0.1 * 0.125893), sqrt(1.25893)))


def test_panels_show_shares_flips_and_the_prediction(tmp_path: Path, drawn: list[Figure]) -> None:
    write_cell(tmp_path, "news/npo_gdr/full/seed0/nf4")
    write_cell(
        tmp_path, "news/npo_gdr/full_bf16/seed0/nf4", bins=[*BINS[:2], Bin(0.1, 0.2, 400, 0, 9)]
    )
    plot_update_over_step(tmp_path, CELLS, tmp_path)

    (figure,) = drawn
    shares, flips = figure.axes
    assert shares.patches[1].get_data().values == pytest.approx([9.95, 10, 50, 0.05])
    assert shares.get_xlim() == flips.get_xlim() == (0.01, 1.58489)
    prediction, full, full_bf16, hollow = flips.lines
    x, y = prediction.get_xdata(), prediction.get_ydata()
    assert y == pytest.approx([min(place, 1.0) for place in x])
    assert list(full.get_ydata()) == [0.25, 1.0]
    assert list(full_bf16.get_ydata()) == []
    # No flip of 400: a logarithmic axis has no 0, so it is a hollow marker on the edge.
    assert list(hollow.get_ydata()) == [flips.get_ylim()[0]]
    assert hollow.get_markerfacecolor() == "white"
    assert hollow.get_markeredgecolor() == LINES["full_bf16"].colour
    names = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    assert names == [
        "FT (fp32 masters): 30.0 % with d = 0",
        "FT (bf16 weights): 50.0 % with d = 0",
        "expected: min(|d| / step, 1)",
        "no flip in the bin",
    ]


def test_a_diverged_variant_is_named_so(tmp_path: Path, drawn: list[Figure]) -> None:
    write_cell(tmp_path, "news/npo_gdr/full/seed0/nf4")
    write_cell(tmp_path, "news/npo_gdr/full_bf16/seed0/nf4", bins=[])
    plot_update_over_step(tmp_path, CELLS, tmp_path)
    plot_update_over_step(tmp_path, CELLS[1:], tmp_path)  # and where all did

    one, none = drawn
    assert [text.get_text() for text in one.legends[0].get_texts()] == [
        "FT (fp32 masters): 30.0 % with d = 0",
        "FT (bf16 weights): diverged",
    ]
    assert len(none.axes[0].patches) == 0


def test_a_model_that_did_not_move_is_drawn(tmp_path: Path, drawn: list[Figure]) -> None:
    still = [Bin(0.0, 0.0, 600, 0, 0), Bin(0.01, 0.0125893, 0, 0, 0)]
    write_cell(tmp_path, "news/npo_gdr/full/seed0/nf4", bins=still)
    plot_update_over_step(tmp_path, CELLS[:1], tmp_path)

    assert drawn[0].legends[0].get_texts()[0].get_text().endswith("100.0 % with d = 0")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"full/seed0/nf4_histogram\.csv: no such file"):
        plot_update_over_step(tmp_path, CELLS, tmp_path)
    with pytest.raises(InputError, match="adapters, precisions: none given"):
        plot_update_over_step(tmp_path, [], tmp_path)


def test_the_same_numbers_give_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    for cell in CELLS:
        write_cell(tmp_path / "s", f"news/npo_gdr/{cell.adapter}/seed0/nf4")
    sign_measurements(tmp_path / "s")
    plot_update_over_step(tmp_path / "s", CELLS, tmp_path / "here")
    command = [sys.executable, SCRIPT, "--survival", tmp_path / "s", "--corpus", "news"]
    command += ["--objective", "npo_gdr", "--seed", "0", "--adapters", "full", "full_bf16"]
    command += ["--precisions", "nf4", "--output", tmp_path / "there"]
    subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "7"}, check=True)

    names = ["update_over_step_news_npo_gdr.pdf", "update_over_step_news_npo_gdr.png"]
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == names
    for name in names:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()
