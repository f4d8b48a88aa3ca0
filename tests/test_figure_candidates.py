"""The figure of all candidates: where each stands, the front, and the ring of the choice."""

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from qunlearn.analysis.selection.choice import Selection, choose
from qunlearn.analysis.selection.scores import Asked, Candidate, Scores
from qunlearn.experiment.labels import LINES
from qunlearn.report.figures.candidates import draw

FRONT = [(0.0, 30.0), (10.0, 40.0), (50.0, 60.0)]
BEATEN = [(20.0, 35.0)]


def selection(cell: str, shift: float = 0.0) -> Selection:
    """Of which the rule takes (10, 40), moved to the right by `shift`; one candidate diverged."""
    standing = [
        Candidate(f"r{index}", "epoch5", Scores(x + shift, y, 2.0), 1, 0)
        for index, (x, y) in enumerate(FRONT + BEATEN)
    ]
    broken = Candidate("r9", "epoch5", None, 1, 1)
    return choose(
        cell,
        "muse",
        "split",
        "",
        Asked(30, 30),
        target=Scores(80, 62, 0.1),
        retrain=Scores(15 + shift, 55, 4.0),
        candidates=[*standing, broken],
    )


def panels(figure: Figure) -> list[Axes]:
    return list(figure.axes)


def marks(axes: Axes, colour: str, marker: str) -> set[tuple[float, float]]:
    return {
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in axes.lines
        if line.get_marker() == marker and line.get_color() == colour
    }


def rings(axes: Axes) -> list[tuple[float, float]]:
    return [
        (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
        for line in axes.lines
        if line.get_markerfacecolor() == "none"
    ]


def test_every_standing_candidate_is_drawn_and_the_chosen_one_is_ringed() -> None:
    (axes,) = panels(draw([selection("news/npo_gdr/lora")]))
    lora = LINES["lora"]
    assert marks(axes, lora.colour, lora.marker) == set(FRONT + BEATEN)
    assert rings(axes) == [(10.0, 40.0)]
    assert "LoRA: r1 after 5 epochs" in [text.get_text() for text in axes.texts]


def test_the_front_is_a_line_from_left_to_right() -> None:
    (axes,) = panels(draw([selection("news/npo_gdr/full")]))
    lines = [
        list(zip(map(float, line.get_xdata()), map(float, line.get_ydata()), strict=True))
        for line in axes.lines
        if len(line.get_xdata()) > 1 and line.get_color() == LINES["full"].colour
    ]
    assert lines == [FRONT]


def test_target_and_retrain_stand_in_each_panel() -> None:
    cells = ["news/npo_gdr/full", "news/npo_gdr/lora", "books/npo_gdr/lora", "news/ga/lora"]
    figure = draw([selection(cell) for cell in cells])
    assert len(panels(figure)) == 3
    for axes in panels(figure):
        drawn = {
            (float(line.get_xdata()[0]), float(line.get_ydata()[0]))
            for line in axes.lines
            if line.get_marker() in "DP"
        }
        assert drawn == {(80.0, 62.0), (15.0, 55.0)}
        low, high = axes.get_ylim()
        assert low < 30 and high > 62
    first = panels(figure)[0]
    assert len(rings(first)) == 2 and len([t for t in first.texts if "after" in t.get_text()]) == 2


@pytest.mark.parametrize("count", [1, 2, 8])
def test_nothing_is_cut_off_or_written_over(count: int) -> None:
    cells = [
        f"{corpus}/{objective}/{adapter}"
        for corpus in ("news", "books")
        for objective in ("ga_gdr", "npo_klr")
        for adapter in ("full_bf16", "lora")
    ]
    figure = draw([selection(cell) for cell in cells[:count]])
    figure.draw_without_rendering()
    page = figure.bbox
    boxes = [
        text.get_window_extent()
        for axes in panels(figure)
        for text in [*axes.texts, axes.xaxis.label, axes.title]
        if text.get_text()
    ]
    assert all(page.x0 <= box.x0 and box.x1 <= page.x1 and box.y0 >= page.y0 for box in boxes)
    for index, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[index + 1 :])
