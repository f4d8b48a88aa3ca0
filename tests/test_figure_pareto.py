"""The figure of forgetting against Utility: points, intervals, arrows and crosses."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Annotation
from small_summaries import over_seeds

from qunlearn.analysis.metrics import Cell, Score, write_metrics
from qunlearn.analysis.summary import Key, write_summaries
from qunlearn.experiment.labels import LINES, REFERENCE_LINES
from qunlearn.report.figures import pareto
from qunlearn.report.figures.pareto import BETTER, gather, plot_pareto
from qunlearn.run.errors import InputError

SCRIPT = Path(__file__).resolve().parents[1] / "workflow/scripts/plot_pareto.py"
FULL, LORA = LINES["full"], LINES["lora"]
PRECISIONS = ("bf16", "int8", "nf4", "rtn3g64")


def scores_of(cell: str, forgetting: float | None, utility: float = 50.0) -> list[Score]:
    """VerMem, half of it as KnowMem, and Utility, each with an interval of -1 and +2."""
    parsed = Cell.parse(cell)
    if forgetting is None:
        missing = ("verbmem", "knowmem", "utility")
        return [Score.missing("mini", parsed, metric, "diverged") for metric in missing]
    values = {"verbmem": forgetting, "knowmem": forgetting / 2, "utility": utility}
    return [Score("mini", parsed, m, v, v - 1, v + 2, 32) for m, v in values.items()]


def experiment() -> list[Score]:
    """`full` and `lora`, each moved by every precision: the index of it to the right and down."""
    scores = []
    for index, precision in enumerate(PRECISIONS):
        scores += scores_of(f"news/target/{precision}", 90.0 - index, 80.0)
        scores += scores_of(f"news/retrain/{precision}", 10.0 + index, 60.0)
        scores += scores_of(f"news/npo_gdr/full/seed0/{precision}", 4.0 + index, 50.0 - index)
        scores += scores_of(f"news/npo_gdr/lora/seed0/{precision}", 8.0 + index, 40.0 - index)
    return scores


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are saved, instead of their files."""
    figures: list[Figure] = []
    monkeypatch.setattr(pareto, "save", lambda figure, folder, name: figures.append(figure))
    return figures


def paths(axes: Axes, colour: str) -> list[list[tuple[float, float]]]:
    """The lines of a colour, each as its points."""
    return [
        [(float(x), float(y)) for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]
        for line in axes.lines
        if line.get_color() == colour
    ]


def arrows(axes: Axes, colour: str) -> list[tuple[tuple[float, float], tuple[float, float], float]]:
    """Start, end and width of the arrows of a colour."""
    return [
        (text.xyann, text.xy, text.arrowprops["linewidth"])
        for text in axes.texts
        if isinstance(text, Annotation) and text.arrowprops["color"] == colour
    ]


def test_controls_and_midrise_grids_are_left_out() -> None:
    scores = experiment() + scores_of("news/npo_gdr/full/seed0/rtn3g64m", 1.0)
    scores += scores_of("news/ga/lora_matched/seed0/fp4", 1.0)
    moves = gather(scores, over_seeds(scores))

    assert moves.precisions == PRECISIONS
    assert moves.adapters == ("full", "lora")
    assert moves.bands == ((("news", "npo_gdr"),),)
    assert (moves.heavy, moves.thin) == ("rtn3g64", ("nf4",))


def test_without_a_variant_at_bf16_there_is_no_start() -> None:
    quantized = [score for score in experiment() if score.cell.precision != "bf16"]
    with pytest.raises(InputError, match="no unlearned model in bf16; evaluate an adapter of full"):
        gather(
            quantized + scores_of("news/npo_gdr/lora_matched/seed0/bf16", 1.0),
            over_seeds(quantized + scores_of("news/npo_gdr/lora_matched/seed0/bf16", 1.0)),
        )


def test_seeds_are_averaged() -> None:
    moves = gather(
        experiment() + scores_of("news/npo_gdr/full/seed1/bf16", 8.0, 70.0),
        over_seeds(experiment() + scores_of("news/npo_gdr/full/seed1/bf16", 8.0, 70.0)),
    )
    point = moves.points(Key("news", "npo_gdr", "full", "", "verbmem"))["bf16"]

    assert point.x == (6.0, 5.0, 8.0)
    assert point.y == (60.0, 59.0, 62.0)


def test_a_variant_is_a_point_with_both_intervals(tmp_path: Path, drawn: list[Figure]) -> None:
    plot_pareto(experiment(), over_seeds(experiment()), tmp_path)

    verbmem, knowmem = drawn[0].axes
    assert paths(verbmem, FULL.colour) == [
        [(3.0, 50.0), (6.0, 50.0)],
        [(4.0, 49.0), (4.0, 52.0)],
        [(4.0, 50.0)],
    ]
    assert paths(knowmem, LORA.colour)[-1] == [(4.0, 40.0)]
    assert [text.get_text() for text in verbmem.texts].count(BETTER) == 1
    assert verbmem.get_xlabel().startswith("VerMem") and knowmem.get_xlabel().startswith("KnowMem")


def test_arrows_lead_to_few_bits_and_a_heavy_one_to_the_coarsest(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    plot_pareto(experiment(), over_seeds(experiment()), tmp_path)

    found = arrows(drawn[0].axes[0], FULL.colour)
    assert found == [
        ((4.0, 50.0), (6.0, 48.0), pareto.THIN),  # nf4; none to int8
        ((4.0, 50.0), (7.0, 47.0), pareto.HEAVY),
    ]
    names = [text.get_text() for text in drawn[0].legends[1].get_texts()]
    assert names == ["to RTN3 g64", "to NF4"]


def test_references_are_grey_markers_at_every_precision(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    plot_pareto(experiment(), over_seeds(experiment()), tmp_path)

    axes = drawn[0].axes[0]
    assert paths(axes, REFERENCE_LINES["target"].colour) == [
        [(90.0, 80.0), (89.0, 80.0), (88.0, 80.0), (87.0, 80.0)]
    ]
    assert [x for x, _ in paths(axes, REFERENCE_LINES["retrain"].colour)[0]] == [10, 11, 12, 13]


def test_variants_stand_apart_by_a_marker_at_the_same_value(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    scores = scores_of("news/npo_gdr/full/seed0/bf16", 4.0)
    plot_pareto(
        scores + scores_of("news/npo_gdr/lora/seed0/bf16", 4.0),
        over_seeds(scores + scores_of("news/npo_gdr/lora/seed0/bf16", 4.0)),
        tmp_path,
    )

    axes = drawn[0].axes[0]
    places = [
        line.get_transform().transform((4.0, 50.0))[0] / drawn[0].dpi
        for line in axes.lines
        if len(line.get_xdata()) == 1
    ]
    assert places[1] - places[0] == pytest.approx(pareto.SHIFT)
    assert len(drawn[0].legends) == 1  # bf16 alone: no arrow to explain


def test_every_value_and_interval_is_on_the_scale(tmp_path: Path, drawn: list[Figure]) -> None:
    plot_pareto(experiment(), over_seeds(experiment()), tmp_path)

    axes = drawn[0].axes[0]
    assert axes.get_xlim()[0] == 0 and axes.get_xlim()[1] > 92
    assert axes.get_ylim()[0] < 36 and axes.get_ylim()[1] > 82
    low, quarter, high = (axes.transScale.transform((x, 50.0))[0] for x in (0.0, 25.0, 100.0))
    assert quarter - low == pytest.approx((high - low) / 2)  # square roots


def test_a_diverged_variant_is_a_cross_in_the_bad_corner(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    scores = experiment() + scores_of("news/npo_gdr/full_bf16/seed0/bf16", None)
    plot_pareto(scores, over_seeds(scores), tmp_path)

    axes = drawn[0].axes[0]
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    assert [cross.get_color() for cross in crosses] == [LINES["full_bf16"].colour]
    x, y = axes.transAxes.inverted().transform(crosses[0].get_transform().transform((1.0, 0.05)))
    assert 0.9 < x < 1 and y < 0.1
    assert [text.get_text() for text in drawn[0].legends[1].get_texts()][-1] == "a run diverged"


def test_the_same_numbers_give_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    scores = experiment() + scores_of("news/npo_gdr/full_bf16/seed0/bf16", None)
    scores += scores_of("news/ga/full/seed0/bf16", 0.0) + scores_of("news/ga/full/seed0/nf4", 0.0)
    write_metrics(tmp_path / "metrics.csv", scores)
    write_summaries(tmp_path / "summary.csv", "mini", over_seeds(scores))
    plot_pareto(scores, over_seeds(scores), tmp_path / "here")
    command = [
        sys.executable,
        SCRIPT,
        "--metrics",
        tmp_path / "metrics.csv",
        "--summary",
        tmp_path / "summary.csv",
    ]
    command += ["--output", tmp_path / "there"]
    subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": "7"}, check=True)

    names = ["pareto.pdf", "pareto.png"]
    assert sorted(path.name for path in (tmp_path / "there").iterdir()) == names
    for name in names:
        assert (tmp_path / "here" / name).read_bytes() == (tmp_path / "there" / name).read_bytes()
