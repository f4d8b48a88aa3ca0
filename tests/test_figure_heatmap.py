"""The heat map of what arrives of the update."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from small_manifests import sign_measurements
from small_survival import MATRIX, STILL, write_cell

from qunlearn.analysis.metrics import Cell
from qunlearn.report.figures import heatmap
from qunlearn.report.figures.heatmap import grid, plot_update_survival
from qunlearn.run.errors import InputError

SCRIPT = Path(__file__).resolve().parents[1] / "workflow/scripts/plot_update_survival.py"
CELLS = [
    Cell("news", "npo_gdr", adapter, 0, precision)
    for precision in ("nf4", "rtn3g64m")
    for adapter in ("full", "lora")
]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved, instead of their files."""
    figures: list[Figure] = []
    monkeypatch.setattr(heatmap, "save", lambda figure, folder, name: figures.append(figure))
    return figures


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def images(figure: Figure) -> list[np.ndarray]:
    """The values of each panel, colour bars left out."""
    panels = [axes for axes in figure.axes if axes.yaxis_inverted()]
    return [np.asarray(axes.collections[0].get_array().filled(np.nan)) for axes in panels]


def test_a_grid_has_a_row_a_layer_and_a_column_a_module() -> None:
    rows = [
        replace(MATRIX, layer=1, module="up_proj", cosine_adaptive=0.9),
        replace(MATRIX, layer=0, module="q_proj", cosine_adaptive=0.1),
        replace(STILL, layer=0, module="up_proj"),
    ]
    found = grid(rows, "cosine_adaptive")

    assert (found.layers, found.modules) == ((0, 1), ("up_proj", "q_proj"))
    np.testing.assert_equal(found.values, [[np.nan, 0.1], [0.9, np.nan]])


def test_matrices_of_one_layer_and_name_count_as_one() -> None:
    """Two experts of equal norm, of which one arrives and one does not."""
    rows = [MATRIX, replace(MATRIX, projection_adaptive=0.0, cosine_adaptive=0.0)]

    assert grid(rows, "projection_adaptive").values == pytest.approx(np.array([[0.5]]))


def test_the_whole_model_is_not_the_mean_of_its_matrices() -> None:
    rows = [
        replace(MATRIX, norm_d=3.0, projection_adaptive=1.0),
        replace(MATRIX, layer=1, norm_d=1.0, projection_adaptive=0.0, cosine_adaptive=0.0),
    ]

    assert grid(rows, "projection_adaptive").whole == pytest.approx(0.9)
    assert grid([STILL], "projection_adaptive").whole is None


def test_every_panel_has_its_model_and_its_number(tmp_path: Path, drawn: list[Figure]) -> None:
    for number, cell in enumerate(CELLS, start=1):
        rows = [replace(MATRIX, layer=n, cosine_adaptive=number / 10) for n in range(3)]
        path = f"news/npo_gdr/{cell.adapter}/seed0/{cell.precision}"
        write_cell(tmp_path, path, [replace(row, projection_adaptive=number) for row in rows])
    plot_update_survival(tmp_path, CELLS, tmp_path)

    (figure,) = drawn
    numbers = [word.split()[1] for word in words(figure) if word.startswith("overall")]
    assert numbers == ["0.10", "0.20", "0.30", "0.40", "1.00", "2.00", "3.00", "4.00"]
    means = [image.mean() for image in images(figure)]
    assert means == pytest.approx([0.1, 0.2, 0.3, 0.4, 1, 2, 3, 4])
    assert {"NF4", "RTN3\ng64\nmid-rise", "LoRA", "NEWS · NPO+GDR · seed 0"} <= set(words(figure))
    # All panels of a quantity share one scale: 0 to 1, 0 to 1.2.
    limits = [axes.collections[0].get_clim() for axes in figure.axes if axes.yaxis_inverted()]
    assert limits == [(0, 1)] * 4 + [(0, 1.2)] * 4
    assert not figure.legends


def test_a_still_matrix_is_explained_and_a_diverged_model_said(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    write_cell(tmp_path, "news/npo_gdr/full/seed0/nf4", [])
    write_cell(tmp_path, "news/npo_gdr/lora/seed0/nf4", [MATRIX, replace(STILL, layer=1)])
    plot_update_survival(tmp_path, CELLS[:2], tmp_path)

    (figure,) = drawn
    assert words(figure).count("diverged") == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [heatmap.UNCHANGED_NAME]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"lora/seed0/nf4\.csv: no such file"):
        plot_update_survival(tmp_path, [Cell("news", "npo_gdr", "lora", 0, "nf4")], tmp_path)
    with pytest.raises(InputError, match="adapters, precisions: none given"):
        plot_update_survival(tmp_path, [], tmp_path)


def test_the_same_numbers_give_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    for cell in CELLS:
        write_cell(tmp_path / "s", f"news/npo_gdr/{cell.adapter}/seed0/{cell.precision}")
    sign_measurements(tmp_path / "s")
    plot_update_survival(tmp_path / "s", CELLS, tmp_path / "here")
    command = [sys.executable, SCRIPT, "--survival", tmp_path / "s", "--corpus", "news"]
    command += ["--objective", "npo_gdr", "--seed", "0", "--adapters", "full", "lora"]
    command += ["--precisions", "nf4", "rtn3g64m", "--output", tmp_path / "there"]
    subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "7"}, check=True)

    names = ["update_survival_news_npo_gdr.pdf", "update_survival_news_npo_gdr.png"]
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == names
    for name in names:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()
